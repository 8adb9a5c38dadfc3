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
   */
  showReply({ question, answers, unknown_words: unknown }, hasCaption) {
    const [{ text, probability }, ...rest] = answers;
    const others = rest.map((other) => `${other.text} ${percent(other.probability)}`).join(", ");
    this.text.replaceChildren(...mixed("answered", { question, answer: text }, { share: percent(probability) }));
    const notes = others ? mixed("otherwise", { others }) : [];
    if (unknown.length) notes.push(" ", ...mixed("unheard", { words: unknown.join(", ") }));
    this.note.replaceChildren(...notes);
    this.button.hidden = !hasCaption;
    this.panel.hidden = false;
  }

  hide() {
    this.panel.hidden = true;
  }
}

/** Return a text of the page's language as nodes, what stays English in it marked so. */
function mixed(key, english, values = {}) {
  const places = Object.fromEntries(Object.keys(english).map((name) => [name, `\n${name}\n`]));
  const pieces = t(key, { ...values, ...places }).split("\n");
  return pieces.map((piece, index) => (index % 2 ? inEnglish(english[piece]) : piece));
}

function inEnglish(text) {
  return Object.assign(document.createElement("span"), { lang: "en", textContent: text });
}
