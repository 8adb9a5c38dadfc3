// How the visitor wants the model to search.

import { t } from "./language.js";

const SEARCHES = {
  best: () => ({}),
  varied: (count) => ({ groups: count, beam_size: count }), // one beam per group, so that no two captions are kin
  creative: () => ({ search: "sample", top_p: 0.9 }), // the unlikeliest tenth of words is mostly nonsense
};
const USUAL_COUNT = 3;

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
    const { search, count, beams, longest, beginning } = this.values;
    const fields = { ...SEARCHES[search](count), num_captions: count };
    if (beams !== null) fields.beam_size = beams;
    if (longest !== null) fields.max_length = longest;
    if (beginning) fields.beginning = beginning;
    return fields;
  }

  get values() {
    const { search, count, beams, longest, beginning } = this.form.elements;
    return {
      search: search.value,
      count: Number(count.value),
      beams: search.value === "best" ? unusual(beams) : null,
      longest: unusual(longest),
      beginning: beginning.value.trim(),
    };
  }

  /** Keep the options compatible, and say what differs from the usual. */
  update() {
    const { count, search, beams } = this.form.elements;
    const single = count.options[0];
    single.disabled = search.value === "varied"; // one caption differs from nothing
    if (single.disabled && single.selected) count.value = "3";
    beams.min = count.value; // a beam holds the captions that are asked for
    beams.disabled = search.value !== "best";
    this.summary.textContent = this.describe();
  }

  describe() {
    const { search, count, beams, longest, beginning } = this.values;
    const parts = [];
    if (search !== "best") parts.push(t(`search_${search}`));
    if (count !== USUAL_COUNT) parts.push(count === 1 ? t("told_count_one") : t("told_count", { count }));
    if (beams !== null) parts.push(t("told_beams", { count: beams }));
    if (longest !== null) parts.push(t("told_longest", { count: longest }));
    if (beginning) parts.push(t("told_beginning", { text: beginning }));
    return parts.join(", ");
  }
}

function unusual(field) {
  const isUsual = field.value === field.defaultValue || !field.validity.valid;
  return isUsual ? null : Number(field.value);
}
