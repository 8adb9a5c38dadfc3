// How the visitor wants the model to search.

const SEARCHES = {
  best: () => ({}),
  varied: (count) => ({ groups: count, beam_size: count }), // one beam per group, so that no two captions are kin
  creative: () => ({ search: "sample", top_p: 0.9 }), // the unlikeliest tenth of words is mostly nonsense
};

/** A panel of options, whose state is what the next request asks for. */
export class OptionsPanel {
  /**
   * @param {HTMLDetailsElement} panel Holds the form, and in its summary an element that tells the state.
   * @param {() => void} onSend Called when the visitor wants them applied to the present photo.
   */
  constructor(panel, onSend) {
    this.form = panel.querySelector("form");
    this.summary = panel.querySelector("summary span");
    this.form.addEventListener("input", () => this.update());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSend();
    });
    this.update();
  }

  /** The parameters of POST /v1/captions; what is not given is the service's default. */
  get fields() {
    const { search, count, longest, beginning } = this.values;
    const fields = { ...SEARCHES[search](count) };
    if (count > 1) fields.num_captions = count;
    if (longest !== null) fields.max_length = longest;
    if (beginning) fields.beginning = beginning;
    return fields;
  }

  get values() {
    const { search, count, longest, beginning } = this.form.elements;
    const isUsual = longest.value === longest.defaultValue || !longest.validity.valid;
    return {
      search: search.value,
      count: Number(count.value),
      longest: isUsual ? null : Number(longest.value),
      beginning: beginning.value.trim(),
    };
  }

  update() {
    const { count, search } = this.form.elements;
    const single = count.options[0];
    single.disabled = search.value === "varied"; // one caption differs from nothing
    if (single.disabled && single.selected) count.value = "3";
    this.summary.textContent = this.describe();
  }

  /** Say what differs from the usual. */
  describe() {
    const { search, count, longest, beginning } = this.values;
    const parts = [];
    if (search !== "best") parts.push(search);
    if (count > 1) parts.push(`${count} captions`);
    if (longest !== null) parts.push(`up to ${longest} words`);
    if (beginning) parts.push(`“${beginning} …”`);
    return parts.join(", ");
  }
}
