// A few requests at a time, the others in the order in which they came.

/** Lets so many tasks run at once. */
export class Queue {
  /** @param {number} places How many. */
  constructor(places) {
    this.places = places;
    this.waiting = [];
  }

  /** Run a task when it is its turn; an aborted one gives up its turn. */
  async run(task, signal) {
    await this.turn(signal);
    try {
      signal.throwIfAborted();
      return await task();
    } finally {
      this.places += 1;
      this.call();
    }
  }

  turn(signal) {
    return new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      signal.addEventListener("abort", () => {
        const place = this.waiting.indexOf(resolve);
        if (place === -1) return;
        this.waiting.splice(place, 1);
        reject(signal.reason);
      });
      this.call();
    });
  }

  call() {
    while (this.places > 0 && this.waiting.length) {
      this.places -= 1;
      this.waiting.shift()();
    }
  }
}
