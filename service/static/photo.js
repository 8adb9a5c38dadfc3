// One photo of this session.

const BUSY = ["waiting", "working", "paused"];

/** A photo, and all that is known of it; forgotten with the page. */
export class Photo {
  /**
   * @param {Blob} blob The file's bytes.
   * @param {string} name The file's name.
   * @param {number} number Its place among the photos of the session, from 1.
   */
  constructor(blob, name, number) {
    Object.assign(this, { blob, name, number });
    this.url = URL.createObjectURL(blob);
    this.state = "waiting"; // waiting, working, paused, done, locked, failed or cancelled
    this.problem = null; // why it is paused or has failed
    this.seconds = null; // until a pause ends; null: until the connection is back
    this.answer = null; // of POST /v1/captions
    this.chosen = 0; // which of its captions is shown
    this.score = null; // the answer of POST /v1/scores, when that is shown instead
    this.reply = null; // the answer of POST /v1/answers, when that is shown instead
    this.correction = null; // the last one that the service keeps; false once that is deleted
    this.request = new AbortController(); // for captions
    this.scoring = new AbortController();
    this.impatience = new EventTarget();
    this.onChange = () => {};
  }

  get busy() {
    return BUSY.includes(this.state);
  }

  /** Enter a state. */
  become(state, { problem = null, seconds = null } = {}) {
    Object.assign(this, { state, problem, seconds });
    this.onChange();
  }

  /** Stop what is under way and return the signal of what comes instead. */
  begin() {
    this.request.abort();
    this.request = new AbortController();
    return this.request.signal;
  }

  /** Let go of everything. */
  forget() {
    this.onChange = () => {};
    this.request.abort();
    this.scoring.abort();
    URL.revokeObjectURL(this.url);
  }
}
