// The ways in which a photo comes in: chosen, dropped anywhere, pasted anywhere, or clicked among the samples.

import { Problem } from "./api.js";

/**
 * Listen for photos.
 *
 * @param {Document} page The document.
 * @param {(photo: Promise<Blob>) => void} onPhoto Called with each photo, which may still be on its way.
 */
export function listenForPhotos(page, onPhoto) {
  listenForFiles(page.querySelector("#file"), onPhoto);
  listenForDrops(page, onPhoto);
  page.addEventListener("paste", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    onPhoto(firstFile(event.clipboardData, "There is no photo in the clipboard."));
  });
  for (const button of page.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => onPhoto(fetchSample(button.dataset.sample)));
  }
}

function listenForFiles(input, onPhoto) {
  input.addEventListener("change", () => {
    const [photo] = input.files;
    if (photo) onPhoto(Promise.resolve(photo));
    input.value = ""; // so that choosing the same file again counts as a change
  });
}

function listenForDrops(page, onPhoto) {
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
    onPhoto(firstFile(event.dataTransfer, "Only a file can be dropped here; save the photo first."));
  });
}

/** Whether text is pasted into a field for text. */
function isText(event) {
  return event.target.matches("input") && !event.clipboardData?.files.length;
}

async function firstFile(transfer, otherwise) {
  const [photo] = transfer?.files ?? [];
  if (!photo) throw new Problem("No photo", otherwise);
  return photo;
}

async function fetchSample(address) {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new Problem("No answer", "The sample photo could not be loaded.");
  return response.blob();
}
