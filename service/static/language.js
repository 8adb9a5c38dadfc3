// The language of the page: one table of texts per language, the same that the service fills the page with at first.

import en from "./strings/en.json" with { type: "json" };
import ko from "./strings/ko.json" with { type: "json" };

const TABLES = { en, ko };
const MEMORY = "captioner-language";
const ATTRIBUTES = { label: "aria-label", alt: "alt" };

const page = document.documentElement;
const buttons = [...document.querySelectorAll("#languages button")];

/** Return a text in the language of the page, its {names} replaced by values. */
export function t(key, values = {}) {
  return TABLES[page.lang][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Let the visitor switch, and call `onChange` when what is made by scripts must be said anew. */
export function offerLanguages(onChange) {
  const change = (code) => {
    speak(code);
    onChange();
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      remember(button.lang);
      change(button.lang);
    });
  }
  if (Object.hasOwn(TABLES, remembered()) && remembered() !== page.lang) change(remembered());
}

function speak(code) {
  page.lang = code;
  document.title = t("title");
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.lang === code));
  for (const element of page.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of page.querySelectorAll(`[data-${name}]`)) {
      element.setAttribute(attribute, t(element.dataset[name]));
    }
  }
}

function remember(code) {
  try {
    localStorage.setItem(MEMORY, code);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

function remembered() {
  try {
    return localStorage.getItem(MEMORY);
  } catch {
    return null;
  }
}
