// The service's HTTP interface, as functions.

/** A problem that can be shown to the visitor as it is. */
export class Problem extends Error {
  /**
   * @param {string} title A few words.
   * @param {string} detail A sentence.
   * @param {boolean} ofPhoto Whether another photo may do where this one did not.
   */
  constructor(title, detail, ofPhoto = false) {
    super(detail);
    this.title = title;
    this.ofPhoto = ofPhoto;
  }
}

const TITLES = { option: "That option does not fit" };
const PHOTO_PROBLEMS = ["bad-upload", "image-too-large", "unsupported-image", "invalid-image"];

/**
 * Ask the service for captions of a photo.
 *
 * @param {Blob} photo The file's bytes.
 * @param {Object<string, string | number>} options Parameters of POST /v1/captions.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/captions.
 */
export function requestCaptions(photo, options, signal) {
  return request("/v1/captions", photo, options, signal);
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
  return request("/v1/scores", photo, { text }, signal);
}

async function request(address, photo, fields, signal) {
  const form = new FormData();
  form.append("image", photo, "photo");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const response = await send(address, form, signal);
  if (!response.ok) throw await readProblem(response);
  return response.json();
}

async function send(address, form, signal) {
  try {
    return await fetch(address, { method: "POST", body: form, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("No answer", "The service could not be reached. Check the connection and try again.");
  }
}

async function readProblem(response) {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  if (!isProblem) return new Problem("That did not work", `The service answered with status ${response.status}.`);
  const problem = await response.json();
  const kind = problem.type.split(":").at(-1);
  return new Problem(TITLES[kind] ?? problem.title, sentence(problem.detail), PHOTO_PROBLEMS.includes(kind));
}

function sentence(text) {
  const capitalised = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}
