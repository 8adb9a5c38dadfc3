// Plays a caption: its words become active one after the other.

const WORD_MS = 850;

/** Calls `show(0)`, `show(1)`, ... in time, and tells through `onChange(playing)` when it starts and stops. */
export class Player {
  constructor(show, onChange) {
    this.show = show;
    this.onChange = onChange;
    this.timer = null;
  }

  get playing() {
    return this.timer !== null;
  }

  /** Play a number of words from the first to the last, then show none. */
  play(count) {
    this.stop();
    let index = 0;
    const advance = () => {
      this.show(index < count ? index : null);
      if (index >= count) this.stop();
      index += 1;
    };
    this.timer = setInterval(advance, WORD_MS);
    this.onChange(true);
    advance();
  }

  /** Stop where it is. */
  stop() {
    if (!this.playing) return;
    clearInterval(this.timer);
    this.timer = null;
    this.onChange(false);
  }
}
