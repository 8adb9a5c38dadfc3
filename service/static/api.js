// The service's HTTP interface, as functions.

import { credential, headersFor } from "./credential.js";
import { megabytes, mostBytes } from "./limits.js";
import { Problem } from "./problem.js";

const ROOT = new URL("..", import.meta.url); // where the service is, which need not be a host's root
const NOTHING = 204;
const LOCKED = 401;
const KINDS = {
  400: "unreadable",
  403: "forbidden",
  413: "too_large",
  415: "unsupported",
  422: "unreadable",
  429: "limited",
  503: "busy",
  504: "late",
  507: "full",
};

/**
 * Ask the service for captions of a photo.
 *
 * @param {Blob} photo The file's bytes.
 * @param {Object<string, string | number>} options Parameters of POST /v1/captions.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/captions.
 */
export function requestCaptions(photo, options, signal) {
  return request("v1/captions", posted(photo, options), signal);
}

/**
 * Ask the service how likely the model finds a sentence as the caption of a photo.
 *
 * @param {Blob} photo The file's bytes.
 * @param {string} text The sentence.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/scores.
 */
export function requestScore(photo, text, signal) {
  return request("v1/scores", posted(photo, { text }), signal);
}

/**
 * Ask the service a question about a photo.
 *
 * @param {Blob} photo The file's bytes.
 * @param {string} question In English.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/answers.
 */
export function requestAnswers(photo, question, signal) {
  return request("v1/answers", posted(photo, { question }), signal);
}

/**
 * Let the service keep a photo and the sentence that describes it.
 *
 * @param {Blob} photo The file's bytes.
 * @param {string} text The sentence.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/corrections.
 */
export function requestCorrection(photo, text, signal) {
  return request("v1/corrections", posted(photo, { text }), signal);
}

/** Let the service forget a correction; see requestCorrection. */
export function requestDeletion(id, signal) {
  return request(`v1/corrections/${encodeURIComponent(id)}`, { method: "DELETE" }, signal);
}

/**
 * Ask the service for photos of its index.
 *
 * @param {string} words What to look for.
 * @param {number} limit How many at most.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of GET /v1/photos.
 */
export function requestPhotos(words, limit, signal) {
  return request(`v1/photos?${new URLSearchParams({ q: words, limit })}`, {}, signal);
}

/** Ask the service for a small picture of a photo of its index. */
export async function requestThumbnail(id, signal) {
  return (await respond(`v1/photos/${id}/thumbnail`, {}, signal)).blob();
}

/**
 * Ask the service for the captions of a clip's shots.
 *
 * @param {Blob} clip The file's bytes.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/clips.
 */
export function requestShots(clip, signal) {
  return request("v1/clips", posted(clip, {}), signal);
}

/** Ask the service whether it accepts a key. Where it does not answer, what is asked with the key will tell why. */
export async function isAccepted(key) {
  const headers = headersFor(key);
  if (!headers) return false;
  const response = await fetch(new URL("v1/model", ROOT), { headers, cache: "no-store" }).catch(() => null);
  return response?.status !== LOCKED;
}

function posted(photo, fields) {
  const body = new FormData();
  body.append("image", photo, "photo");
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return { method: "POST", body };
}

async function request(address, how, signal) {
  const response = await respond(address, how, signal);
  const answer = response.status === NOTHING ? null : await response.json();
  signal.throwIfAborted();
  return answer;
}

async function respond(address, how, signal) {
  if (credential.isWanted) throw new Problem("locked"); // before the photo is sent for nothing
  const { key } = credential;
  const response = await send(address, how, signal);
  if (response.status === LOCKED) {
    if (credential.key === key) credential.refuse();
    return respond(address, how, signal); // with the key that came meanwhile, if one did
  }
  if (!response.ok) throw await readProblem(response);
  return response;
}

async function send(address, how, signal) {
  try {
    return await fetch(new URL(address, ROOT), { ...how, headers: headersFor(credential.key), signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem(navigator.onLine ? "unreachable" : "offline");
  }
}

async function readProblem(response) {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const { type = "", detail = "" } = isProblem ? await response.json() : {};
  const kind = type.endsWith(":option") ? "option" : (KINDS[response.status] ?? "broken");
  return new Problem(kind, { values: { most: megabytes(mostBytes()) }, said: sentence(detail), seconds: wait(response) });
}

/** The seconds of a Retry-After header; its other form, a date, is not worth a clock that may be wrong. */
function wait(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After"), 10);
  return seconds >= 0 ? seconds : null;
}

function sentence(text) {
  const capitalised = text.charAt(0).toUpperCase() + text.slice(1);
  return !text || /[.!?]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}
