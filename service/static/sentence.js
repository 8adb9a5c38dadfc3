// The forms in which visitors write a sentence or a question of their own.

/** Hands over a sentence, and shows what is wrong with it while the sentence stays as it is. */
export class SentenceForm {
  /**
   * @param {HTMLFormElement} form Holds a text field and an element of the role alert.
   * @param {(text: string) => void} onSentence Called with the sentence when the form is sent.
   */
  constructor(form, onSentence) {
    this.form = form;
    this.field = form.querySelector("input");
    this.problem = form.querySelector("[role=alert]");
    this.field.addEventListener("input", () => this.showProblem(""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.showProblem("");
      onSentence(this.field.value);
    });
  }

  /** Say what is wrong; an empty text says nothing. */
  showProblem(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
    this.field.setAttribute("aria-invalid", String(Boolean(text)));
  }
}
