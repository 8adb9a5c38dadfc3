// Asking again, when the service says that it is busy.

const MOST_TRIES = 6;

/**
 * Ask until there is an answer, a problem that does not pass by itself, or no patience left.
 *
 * @param {() => Promise<object>} ask Asks once.
 * @param {AbortSignal} signal Ends the waiting; the promise then rejects with an AbortError.
 * @param {(problem: Problem, seconds: number | null) => void} onPause Called once a second with how many remain;
 *   null means until the connection is back.
 * @param {EventTarget} impatience Its event "now" ends a pause.
 */
export async function persist(ask, signal, onPause, impatience) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (problem) {
      if (signal.aborted || !problem.passing || tries === MOST_TRIES) throw problem;
      const seconds = problem.kind === "offline" ? null : (problem.seconds ?? 2 ** tries);
      await pause(seconds, signal, (left) => onPause(problem, left), impatience);
    }
  }
}

function pause(seconds, signal, onTick, impatience) {
  return new Promise((resolve, reject) => {
    let [left, timer] = [seconds, null];
    const end = (how) => () => {
      clearInterval(timer);
      window.removeEventListener("online", go);
      how(signal.reason);
    };
    const go = end(resolve);
    const tick = () => {
      if (left !== null && left <= 0) go();
      else onTick(left);
      left = left && left - 1;
    };
    impatience.addEventListener("now", go, { once: true });
    signal.addEventListener("abort", end(reject), { once: true });
    if (seconds === null) window.addEventListener("online", go);
    else timer = setInterval(tick, 1000);
    tick();
  });
}
