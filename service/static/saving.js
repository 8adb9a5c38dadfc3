// What the visitor takes along: the caption as text, the picture, the numbers.

import { t } from "./language.js";
import { drawPoster } from "./poster.js";

const SHOWN_MS = 2000;

/** Copy text, and say so on the button. */
export async function copyText(text, button) {
  await writeClipboard(text);
  button.textContent = t("copied");
  setTimeout(() => {
    button.textContent = t("copy");
  }, SHOWN_MS);
}

/** Save a photo with its caption, and with the heatmap of a word when one is shown. */
export async function savePicture(photo, picture, poster) {
  const canvas = drawPoster(picture, poster);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  save(blob, `${stem(photo)}-caption.png`);
}

/** Save the service's answers about some photos, as they came. */
export function saveAnswers(photos) {
  const answers = photos.map((photo) => ({ file: photo.name, ...photo.answer }));
  const text = JSON.stringify(answers.length === 1 ? answers[0] : answers, null, 2);
  const name = answers.length === 1 ? `${stem(photos[0])}-caption.json` : "captions.json";
  save(new Blob([text], { type: "application/json" }), name);
}

/** The clipboard is lent to pages on localhost and over HTTPS only; elsewhere a selection is copied. */
async function writeClipboard(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  focused.focus();
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), SHOWN_MS);
}

function stem({ name }) {
  return name.replace(/\.[^.]*$/, "") || "photo";
}
