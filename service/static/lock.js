// The form that asks for the service's key, and the way to forget the key.

import { isAccepted } from "./api.js";
import { credential } from "./credential.js";
import { t } from "./language.js";

/** Asks for the key where the service does; shows nothing of it elsewhere. */
export class Lock {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {() => void} onKey Called when there is a key that the service accepts.
   */
  constructor(part, onKey) {
    this.part = part;
    this.onKey = onKey;
    this.hasAsked = false;
    this.isChecking = false;
    part("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.isChecking) this.check(part("key").value.trim());
    });
    part("key").addEventListener("input", () => {
      credential.isRefused = false; // what is typed now is another key
      this.showProblem("");
    });
    part("forget-key").addEventListener("click", () => this.forget());
    this.show(false);
  }

  /** Show the form or not, and whether a key is kept. */
  show(isAsked) {
    this.part("key-form").hidden = !isAsked;
    this.showProblem(credential.isRefused ? t("key_refused") : "");
    this.showNote(credential.key ? t("key_kept") : "");
    if (isAsked && !this.hasAsked) this.part("key").focus(); // once: looking through the photos keeps the focus
    this.hasAsked = credential.isWanted && (this.hasAsked || isAsked);
  }

  async check(key) {
    this.isChecking = true;
    this.showProblem(""); // so that the same words are announced again
    if (await isAccepted(key)) {
      credential.take(key);
      this.part("key").value = "";
      this.onKey();
    } else {
      credential.refuse(key);
      this.showProblem(t("key_refused"));
      this.part("key").select();
    }
    this.isChecking = false;
  }

  forget() {
    credential.forget();
    this.showNote(t("key_forgotten"));
    this.part("key-note").focus(); // the button that had the focus is gone
  }

  showProblem(text) {
    if (this.part("key-problem").textContent !== text) this.part("key-problem").textContent = text;
    this.part("key-problem").hidden = !text;
    this.part("key").setAttribute("aria-invalid", String(Boolean(text)));
  }

  showNote(text) {
    this.part("key-note").hidden = !text;
    this.part("key-note").querySelector("span").textContent = text;
    this.part("forget-key").hidden = !credential.key;
  }
}
