// What can go wrong, in words for the visitor.

import { t } from "./language.js";

const OF_PHOTO = ["too_large", "too_large_here", "unsupported", "unreadable"];
const PASSING = ["busy", "limited", "late", "offline"];

/** A problem that can be told to the visitor in any language. */
export class Problem extends Error {
  /**
   * @param {string} kind Names its rows among the strings.
   * @param {object} about What else is known of it.
   * @param {Object<string, string>} [about.values] What the rows leave open.
   * @param {string} [about.said] What the service says of it, in English.
   * @param {number | null} [about.seconds] In how many seconds the service wants to be asked again.
   */
  constructor(kind, { values = {}, said = "", seconds = null } = {}) {
    super(said || kind);
    Object.assign(this, { kind, values, said, seconds });
  }

  get title() {
    return t(`problem_${this.kind}_title`);
  }

  get advice() {
    return t(`problem_${this.kind}`, this.values);
  }

  /** Whether another photo may do where this one did not. */
  get ofPhoto() {
    return OF_PHOTO.includes(this.kind);
  }

  /** Whether it goes away by itself. */
  get passing() {
    return PASSING.includes(this.kind);
  }

  /** Return a problem for any error. */
  static of(error) {
    if (error instanceof Problem) return error;
    console.error(error);
    return new Problem("page");
  }
}
