// The visitor's sentence beside the model's caption.

import { logProbability } from "./confidence.js";
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

  hide() {
    this.panel.hidden = true;
  }
}
