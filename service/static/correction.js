// The form by which visitors fix a caption, where the operator wants to hear of it.

import { t } from "./language.js";
import { SentenceForm } from "./sentence.js";

/** A form with the caption in it, and what became of a correction. */
export class CorrectionForm extends SentenceForm {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {(text: string) => void} onSentence Called with the sentence when the form is sent.
   * @param {() => void} onUndo Called when the visitor takes the correction back.
   */
  constructor(part, onSentence, onUndo) {
    super(part("correction-form"), onSentence);
    this.kept = part("correction-kept");
    this.undo = part("correction-undo");
    this.undo.addEventListener("click", () => {
      onUndo();
      this.field.focus(); // the button that had the focus is gone
    });
    this.shown = null;
  }

  /** Show the caption to be fixed, until the visitor writes something else, and whether it has been. */
  show(photo) {
    const text = photo?.answer?.captions[photo.chosen].text;
    if (this.shown !== text) this.field.value = text ?? "";
    this.shown = text;
    const { correction = null } = photo ?? {};
    const told = correction ? t("corrected") : correction === false ? t("correction_deleted") : "";
    if (this.kept.textContent !== told) this.kept.textContent = told;
    this.undo.hidden = !correction;
  }
}
