// The captions that the model found, to choose one from.

import { confidenceOf, logProbability, verdict } from "./confidence.js";
import { t } from "./language.js";

/** A list of captions, each with its confidence; there only when there is a choice. */
export class Choices {
  /**
   * @param {HTMLFieldSetElement} fieldset Holds an empty list.
   * @param {(index: number) => void} onChoice Called when the visitor chooses a caption.
   */
  constructor(fieldset, onChoice) {
    this.fieldset = fieldset;
    this.list = fieldset.querySelector("ol");
    fieldset.addEventListener("change", (event) => onChoice(Number(event.target.value)));
  }

  /** List captions as the service gives them, and mark the one that is shown; null marks none. */
  load(captions, shown) {
    const isChoice = captions.length > 1;
    const focused = this.list.querySelector(":focus")?.value;
    this.list.replaceChildren(...(isChoice ? captions.map((caption, i) => item(caption, i, i === shown)) : []));
    this.fieldset.hidden = !isChoice;
    if (focused) this.list.querySelector(`[value="${focused}"]`)?.focus();
  }
}

function item(caption, index, isShown) {
  const radio = document.createElement("input");
  Object.assign(radio, { type: "radio", name: "choice", value: index, checked: isShown });
  const text = element("span", "choice-text", caption.text || t("empty_caption"));
  if (caption.text) text.lang = "en";
  const confidence = element("span", "choice-confidence", `${verdict(caption)} · `);
  confidence.append(element("span", "", t("log_probability", { value: logProbability(caption.log_prob) })));
  const meter = element("span", "meter", "");
  meter.style.setProperty("--sure", confidenceOf(caption).toFixed(3));
  const label = element("label", "choice", "");
  label.append(radio, text, meter, confidence);
  const entry = document.createElement("li");
  entry.append(label);
  return entry;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
