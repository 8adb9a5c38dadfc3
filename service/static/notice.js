// What went wrong, and what can be done about it.

import { t } from "./language.js";

const CALM = ["cancelled", "locked"];

/** Shows one problem at a time. */
export class Notice {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {object} actions What its buttons do.
   * @param {() => void} actions.onRetry Try again, or now instead of later.
   * @param {() => void} actions.onGiveUp Do not try again.
   */
  constructor(part, { onRetry, onGiveUp }) {
    this.part = part;
    this.told = "";
    part("retry").addEventListener("click", onRetry);
    part("give-up").addEventListener("click", onGiveUp);
  }

  /** Move to the top of another part of the page. */
  place(parent) {
    if (this.part("notice").parentNode !== parent) parent.prepend(this.part("notice"));
  }

  hide() {
    this.told = "";
    this.part("notice").hidden = true;
  }

  /**
   * Tell a problem.
   *
   * @param {Problem} problem The problem.
   * @param {"none" | "retry" | "countdown"} offer What the visitor may do.
   * @param {number | null} seconds Until it is tried again; null: until the connection is back.
   */
  show(problem, offer, seconds = null) {
    const told = [problem.title, problem.advice, problem.said].join("\n");
    if (told !== this.told) this.tell(problem);
    this.told = told;
    this.part("retry").hidden = offer === "none";
    this.part("retry").textContent = t(offer === "countdown" ? "try_now" : "try_again");
    this.part("give-up").hidden = offer !== "countdown";
    this.part("countdown").hidden = offer !== "countdown";
    this.part("countdown").textContent = seconds === null ? t("countdown_online") : t("countdown", { seconds });
  }

  tell({ title, advice, said, kind, passing }) {
    this.part("notice").classList.toggle("calm", passing || CALM.includes(kind));
    this.part("notice").hidden = false; // before it is filled, or it would not be announced
    this.part("notice-title").textContent = title;
    this.part("notice-advice").textContent = advice;
    this.part("notice-said").hidden = !said;
    this.part("notice-said").querySelector("q").textContent = said;
    this.part("notice").scrollIntoView({ block: "nearest" });
  }
}
