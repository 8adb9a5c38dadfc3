// The page: a photo comes in, its caption comes back, and the words show where the model looked.

import { Problem, requestCaption } from "./api.js";
import { CaptionView } from "./caption.js";
import { Heatmap } from "./heatmap.js";
import { listenForPhotos } from "./intake.js";
import { Player } from "./player.js";

const MEBIBYTE = 2 ** 20;
const part = (id) => document.getElementById(id);

const heatmap = new Heatmap(part("heatmap"));
const caption = new CaptionView(part("caption"), part("detail"), (index) => heatmap.show(index));
const player = new Player((index) => caption.select(index), showPlaying);
let request = new AbortController();

async function receive(arriving) {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  try {
    forget();
    const photo = checkSize(await arriving);
    if (signal.aborted) return;
    showPhoto(photo);
    const answer = await requestCaption(photo, signal);
    if (!signal.aborted) showAnswer(answer);
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  }
}

function checkSize(photo) {
  const limit = Number(document.body.dataset.maxUploadBytes);
  if (photo.size <= limit) return photo;
  const [size, most] = [photo.size, limit].map((bytes) => `${(bytes / MEBIBYTE).toFixed(1)} MiB`);
  throw new Problem("Photo too large", `That file has ${size}; this service takes up to ${most}.`);
}

function forget() {
  player.stop();
  heatmap.load([], 0, 0);
  caption.load([], null);
  part("problem").hidden = true;
  part("controls").hidden = true;
  part("timing").textContent = "";
}

function showPhoto(photo) {
  const picture = part("picture");
  URL.revokeObjectURL(picture.src);
  picture.alt = "Your photo, not yet described";
  picture.src = URL.createObjectURL(photo);
  part("result").hidden = false;
  part("photo").classList.add("waiting");
  showStatus("Looking at the photo…", true);
  part("result").scrollIntoView({ block: "nearest" });
}

function fitPhoto() {
  const { naturalWidth, naturalHeight } = part("picture");
  part("photo").style.setProperty("--ratio", naturalWidth / naturalHeight);
}

/** Tell how things stand; what the page shows anyway is told to screen readers only. */
function showStatus(text, visible) {
  part("status").classList.toggle("visually-hidden", !visible);
  part("status").textContent = text;
}

function showAnswer(answer) {
  const [best] = answer.captions;
  const found = best.words.length > 0;
  heatmap.load(best.words.map((word) => word.attention), ...(answer.attention_grid ?? [0, 0]));
  caption.load(best.words, answer.attention_grid);
  showStatus(found ? `Caption: ${best.text}` : "The model found no words for this photo.", !found);
  part("photo").classList.remove("waiting");
  part("picture").alt = best.text || "Your photo";
  part("controls").hidden = !answer.attention_grid || !found;
  const { name, version } = answer.model;
  part("timing").textContent = `captioned in ${Math.round(answer.timing_ms.total)} ms by ${name} ${version}`;
}

function showProblem(error) {
  if (!(error instanceof Problem)) console.error(error);
  part("result").hidden = true;
  part("status").textContent = "";
  part("problem-title").textContent = error.title ?? "That did not work";
  part("problem-detail").textContent = error instanceof Problem ? error.message : "Please try another photo.";
  part("problem").hidden = false;
  part("problem").scrollIntoView({ block: "nearest" });
}

function showPlaying(playing) {
  part("play").classList.toggle("playing", playing);
  part("play-label").textContent = playing ? "Stop" : "Play";
}

function togglePlay() {
  if (player.playing) player.stop();
  else player.play(caption.length);
}

const KEYS = {
  ArrowLeft: () => caption.step(-1),
  ArrowRight: () => caption.step(1),
  Escape: () => caption.clear(),
};
const KEYS_ON_WORDS = { Home: () => caption.focus(0), End: () => caption.focus(caption.length - 1) };

function handleKey(event) {
  const onWords = part("caption").contains(event.target);
  const action = KEYS[event.key] ?? (onWords ? KEYS_ON_WORDS[event.key] : undefined);
  if (!action || !caption.length || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  player.stop();
  action();
}

listenForPhotos(document, receive);
part("picture").addEventListener("load", fitPhoto);
part("play").addEventListener("click", togglePlay);
part("caption").addEventListener("pointerdown", () => player.stop());
part("photo").addEventListener("click", () => caption.clear());
document.addEventListener("keydown", handleKey);
