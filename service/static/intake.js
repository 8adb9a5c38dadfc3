// The ways in which photos come in: chosen, dropped anywhere, pasted anywhere, or clicked among the samples.

import { Problem } from "./problem.js";

/**
 * Listen for photos.
 *
 * @param {Document} page The document.
 * @param {(photos: Promise<Blob[]>) => void} onPhotos Called with photos, which may still be on their way.
 */
export function listenForPhotos(page, onPhotos) {
  for (const id of ["file", "capture"]) listenForFiles(page.getElementById(id), onPhotos);
  listenForDrops(page, onPhotos);
  page.addEventListener("paste", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    onPhotos(files(event.clipboardData, "clipboard"));
  });
  for (const button of page.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => onPhotos(fetchSample(button.dataset.sample)));
  }
}

function listenForFiles(input, onPhotos) {
  input.addEventListener("change", () => {
    if (input.files.length) onPhotos(Promise.resolve([...input.files]));
    input.value = ""; // so that choosing the same file again counts as a change
  });
}

function listenForDrops(page, onPhotos) {
  const mark = (on) => page.body.classList.toggle("dragging", on);
  page.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would open the file
    mark(true);
  });
  page.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false); // the pointer left the window
  });
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    onPhotos(files(event.dataTransfer, "drop"));
  });
}

/** Whether text is pasted into a field for text. */
function isText(event) {
  return event.target.matches("input") && !event.clipboardData?.files.length;
}

async function files(transfer, problem) {
  const found = [...(transfer?.files ?? [])];
  if (!found.length) throw new Problem(problem);
  return found;
}

async function fetchSample(address) {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new Problem("sample");
  return [new File([await response.blob()], address.split("/").at(-1))];
}
