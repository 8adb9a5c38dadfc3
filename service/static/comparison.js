// The visitor's sentence beside the model's caption, or the answer to the visitor's question.

import { logProbability, percent } from "./confidence.js";
import { t } from "./language.js";

/** Says how likely the model finds the visitor's sentence, and offers the way back to its own captions. */
export class Comparison {
  /**
   * @param {HTMLElement} panel Holds `.comparison-text` and `.comparison-note`.
   * @param {HTMLButtonElement} button The way back.
   * @param {() => void} onBack Called when the visitor takes it.
   */
  constructor(panel, button, onBack) {
    this.panel = panel;
    this.text = panel.querySelector(".comparison-text");
    this.note = panel.querySelector(".comparison-note");
    this.button = button;
    button.addEventListener("click", onBack);
  }

  /**
   * Compare two captions as the service gives them.
   *
   * @param {object} score The visitor's sentence.
   * @param {object | null} caption The model's caption; null when there is none.
   * @returns {string} What is shown.
   */
  show(score, caption) {
    const own = logProbability(score.log_prob);
    const model = caption && logProbability(caption.log_prob);
    this.text.textContent = t(caption ? "compared" : "compared_alone", { own, model });
    const isStrange = score.words.some((word) => word.known === false);
    this.note.textContent = isStrange ? `${t("nearer")} ${t("strange")}` : t("nearer");
    this.button.hidden = !caption;
    this.panel.hidden = false;
    return this.text.textContent;
  }

  /**
   * Tell an answer, and what else it might be.
   *
   * @param {object} reply The answer of POST /v1/answers.
   * @param {boolean} hasCaption Whether there is a caption to go back to.
   * @returns {string} What is shown.
   */
  showReply({ question, answers, unknown_words: unknown }, hasCaption) {
    const [{ text, probability }, ...rest] = answers;
    const others = rest.map((other) => `${other.text} ${percent(other.probability)}`).join(", ");
    this.text.textContent = t("answered", { question, answer: text, share: percent(probability) });
    const notes = others ? [t("otherwise", { others })] : [];
    if (unknown.length) notes.push(t("unheard", { words: unknown.join(", ") }));
    this.note.textContent = notes.join(". ");
    this.button.hidden = !hasCaption;
    this.panel.hidden = false;
    return this.text.textContent;
  }

  hide() {
    this.panel.hidden = true;
  }
}
