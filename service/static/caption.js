// A caption as a row of words, of which at most one is active: pointed at, or else selected by key, tap or play.

import { describeAttention } from "./attention.js";
import { percent, surenessOf } from "./confidence.js";
import { t } from "./language.js";

/** Shows the words, and tells through `onChange(index or null)` which one is active. */
export class CaptionView {
  /**
   * @param {HTMLElement} words Where the word buttons go.
   * @param {HTMLElement} detail Where the active word is explained.
   * @param {(index: number | null) => void} onChange Called when another word becomes active.
   */
  constructor(words, detail, onChange) {
    this.words = words;
    this.detail = detail;
    this.onChange = onChange;
    this.load([], null);
    words.addEventListener("pointerover", (event) => this.point(event));
    words.addEventListener("pointerleave", () => this.activate({ hovered: null }));
    words.addEventListener("focusin", (event) => this.select(this.indexOf(event.target)));
    words.addEventListener("click", (event) => this.select(this.indexOf(event.target)));
  }

  /** Show the words of a caption as the service gives them. */
  load(words, grid) {
    this.hint = words.length ? t(grid ? "hint_looked" : "hint_sure") : "";
    this.explanations = words.map((word) => explain(word, grid));
    this.buttons = words.map((word, index) => this.button(word, index));
    this.words.replaceChildren(...this.buttons);
    [this.hovered, this.selected, this.active] = [null, null, null];
    this.explain(null);
  }

  get length() {
    return this.buttons.length;
  }

  /** Select a word, or none with null, without moving the focus. */
  select(index) {
    if (index === -1) return;
    this.buttons.forEach((button, i) => {
      button.tabIndex = i === (index ?? 0) ? 0 : -1;
    });
    this.activate({ selected: index });
  }

  /** Select a word and move the focus there; beyond either end is the end. */
  focus(index) {
    const last = this.length - 1;
    this.buttons[Math.min(last, Math.max(0, index))]?.focus();
  }

  /** Move by some words from the selected one; without one, start at the end that is moved away from. */
  step(by) {
    const start = by > 0 ? -1 : this.length;
    this.focus((this.selected ?? start) + by);
  }

  /** Select nothing, and give up the focus. */
  clear() {
    if (this.words.contains(document.activeElement)) document.activeElement.blur();
    this.hovered = null;
    this.select(null);
  }

  button(word, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "word";
    button.setAttribute("aria-pressed", "false");
    const meaning = element("span", ` ${this.explanations[index].join(", ")}`);
    meaning.className = "visually-hidden";
    button.append(element("span", word.text, "en"), meaning);
    if (word.known === false) {
      button.classList.add("unknown");
      button.title = t("unknown");
    }
    button.tabIndex = index === 0 ? 0 : -1;
    button.style.setProperty("--sure", surenessOf(word).toFixed(3));
    return button;
  }

  indexOf(target) {
    return this.buttons.indexOf(target.closest(".word"));
  }

  point(event) {
    const index = this.indexOf(event.target);
    if (event.pointerType !== "touch" && index !== -1) this.activate({ hovered: index });
  }

  activate(change) {
    Object.assign(this, change);
    const active = this.hovered ?? this.selected;
    if (active === this.active) return;
    this.active = active;
    this.buttons.forEach((button, i) => {
      button.classList.toggle("active", i === active);
      button.setAttribute("aria-pressed", String(i === active));
    });
    this.explain(active);
    this.onChange(active);
  }

  explain(index) {
    if (index === null) {
      this.detail.textContent = this.hint;
      return;
    }
    const name = element("b", this.buttons[index].firstChild.textContent, "en");
    this.detail.replaceChildren(name, ` ${this.explanations[index].join(" · ")}`);
  }
}

function explain(word, grid) {
  const parts = word.known === false ? [t("unknown")] : [];
  parts.push(t("sure", { share: percent(surenessOf(word)) }));
  if (word.attention && grid) parts.push(describeAttention(word.attention, ...grid));
  return parts;
}

function element(name, text, lang = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (lang) made.lang = lang;
  return made;
}
