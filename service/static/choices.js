// The captions that the model found, to choose one from.

import { logProbability, percent, surenessPerWord } from "./confidence.js";

/** A list of captions, each with its confidence; there only when there is a choice. */
export class Choices {
  /**
   * @param {HTMLFieldSetElement} fieldset Holds an empty list.
   * @param {(index: number) => void} onChoice Called when the visitor chooses a caption.
   */
  constructor(fieldset, onChoice) {
    this.fieldset = fieldset;
    this.list = fieldset.querySelector("ol");
    this.load([]);
    fieldset.addEventListener("change", (event) => onChoice(Number(event.target.value)));
  }

  /** List captions as the service gives them. */
  load(captions) {
    const isChoice = captions.length > 1;
    this.list.replaceChildren(...(isChoice ? captions.map(item) : []));
    this.radios = [...this.list.querySelectorAll("input")];
    this.fieldset.hidden = !isChoice;
  }

  /** Mark the caption that is shown; null marks none. */
  mark(index) {
    this.radios.forEach((radio, i) => {
      radio.checked = i === index;
    });
  }
}

function item(caption, index) {
  const radio = document.createElement("input");
  Object.assign(radio, { type: "radio", name: "choice", value: index });
  const text = element("span", "choice-text", caption.text || "(no words)");
  const confidence = element("span", "choice-confidence", `${percent(surenessPerWord(caption))} sure per word, `);
  confidence.append(element("span", "", `log-probability ${logProbability(caption.log_prob)}`));
  const label = element("label", "choice", "");
  label.append(radio, text, confidence);
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
