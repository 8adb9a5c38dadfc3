// The service's HTTP interface, as one function.

/** A problem that can be shown to the visitor as it is. */
export class Problem extends Error {
  constructor(title, detail) {
    super(detail);
    this.title = title;
  }
}

/**
 * Ask the service for the caption of a photo.
 *
 * @param {Blob} photo The file's bytes.
 * @param {AbortSignal} signal Aborts the request; the promise then rejects with an AbortError.
 * @returns {Promise<object>} The answer of POST /v1/captions.
 */
export async function requestCaption(photo, signal) {
  const form = new FormData();
  form.append("image", photo, "photo");
  const response = await send(form, signal);
  if (!response.ok) throw await readProblem(response);
  return response.json();
}

async function send(form, signal) {
  try {
    return await fetch("/v1/captions", { method: "POST", body: form, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("No answer", "The service could not be reached. Check the connection and try again.");
  }
}

async function readProblem(response) {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  if (!isProblem) return new Problem("That did not work", `The service answered with status ${response.status}.`);
  const problem = await response.json();
  return new Problem(problem.title, sentence(problem.detail));
}

function sentence(text) {
  const capitalised = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capitalised) ? capitalised : `${capitalised}.`;
}
