// Photos on their way to the service and back.

import { requestAnswers, requestCaptions, requestCorrection, requestDeletion, requestScore } from "./api.js";
import { checkSize } from "./limits.js";
import { Problem } from "./problem.js";
import { Queue } from "./queue.js";
import { persist } from "./retry.js";

const AT_ONCE = 2;
const queue = new Queue(AT_ONCE);

/** Ask for captions of a photo, instead of what was asked before; its state tells the rest. */
export async function caption(photo, fields) {
  const signal = photo.begin();
  photo.become("waiting");
  try {
    checkSize(photo.blob);
    photo.answer = await queue.run(() => patiently(photo, fields, signal), signal);
    Object.assign(photo, { chosen: 0, score: null, reply: null });
    photo.become("done");
  } catch (error) {
    if (!signal.aborted) fail(photo, Problem.of(error));
  }
}

/** Stop asking for captions of a photo. */
export function cancel(photo) {
  photo.begin();
  photo.become("cancelled", { problem: new Problem("cancelled") });
}

/** Ask for the score of a sentence; `onPause` is called when the service makes it wait. */
export async function score(photo, text, onPause) {
  photo.score = await instead(photo, (signal) => requestScore(photo.blob, text, signal), onPause);
  photo.reply = null;
  photo.onChange();
}

/** Ask a question; `onPause` is called when the service makes it wait. */
export async function ask(photo, question, onPause) {
  photo.reply = await instead(photo, (signal) => requestAnswers(photo.blob, question, signal), onPause);
  photo.score = null;
  photo.onChange();
}

/** Send a sentence for the service to learn from; `onPause` is called when the service makes it wait. */
export async function correct(photo, text, onPause) {
  const { correction } = await instead(photo, (signal) => requestCorrection(photo.blob, text, signal), onPause);
  photo.correction = correction;
  photo.onChange();
}

/** Take the last correction of a photo back; `onPause` is called when the service makes it wait. */
export async function withdraw(photo, onPause) {
  await instead(photo, (signal) => requestDeletion(photo.correction.id, signal), onPause);
  photo.correction = false;
  photo.onChange();
}

/** Ask for what is shown in place of the caption, and no longer for what was asked so before. */
function instead(photo, request, onPause) {
  photo.scoring.abort();
  photo.scoring = new AbortController();
  const { signal } = photo.scoring;
  return persist(() => request(signal), signal, onPause, photo.impatience);
}

function fail(photo, problem) {
  photo.become(problem.kind === "locked" ? "locked" : "failed", { problem });
}

function patiently(photo, fields, signal) {
  const ask = () => {
    photo.become("working");
    return requestCaptions(photo.blob, fields, signal);
  };
  return persist(ask, signal, (problem, seconds) => photo.become("paused", { problem, seconds }), photo.impatience);
}
