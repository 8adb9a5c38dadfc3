// The page: a photo comes in, its captions come back, and the words show where the model looked.

import { Problem, requestCaptions, requestScore } from "./api.js";
import { listenForPhotos } from "./intake.js";
import { OptionsPanel } from "./options.js";
import { Result } from "./result.js";
import { SentenceForm } from "./sentence.js";

const MEBIBYTE = 2 ** 20;
const part = (id) => document.getElementById(id);

const result = new Result(part);
const sentence = new SentenceForm(part("sentence-form"), scoreSentence);
const options = new OptionsPanel(part("options"), () => attempt(captionPhoto, showProblem));
let photo = null;
let request = new AbortController();

/** Do the latest thing that the visitor asked for, and nothing that was asked before. */
async function attempt(task, onProblem) {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  part("problem").hidden = true;
  sentence.showProblem("");
  part("result").classList.add("waiting");
  try {
    await task(signal);
  } catch (error) {
    if (!signal.aborted) onProblem(error);
  } finally {
    if (!signal.aborted) part("result").classList.remove("waiting");
  }
}

function receive(arriving) {
  attempt(async (signal) => {
    const arrived = checkSize(await arriving);
    signal.throwIfAborted();
    showPhoto(arrived);
    await captionPhoto(signal);
  }, showProblem);
}

async function captionPhoto(signal) {
  const answer = await requestCaptions(photo, options.fields, signal);
  signal.throwIfAborted();
  result.showCaptions(answer);
  part("tools").hidden = false;
  part("photo").scrollIntoView({ block: "nearest" }); // the button that asked may be far below it
}

function scoreSentence(text) {
  const show = async (signal) => {
    const answer = await requestScore(photo, text, signal);
    signal.throwIfAborted();
    result.showScore(answer);
    part("whose").scrollIntoView({ block: "nearest" });
  };
  attempt(show, (error) => sentence.showProblem(explain(error).detail));
}

function checkSize(arrived) {
  const limit = Number(document.body.dataset.maxUploadBytes);
  if (arrived.size <= limit) return arrived;
  const [size, most] = [arrived.size, limit].map((bytes) => `${(bytes / MEBIBYTE).toFixed(1)} MiB`);
  throw new Problem("Photo too large", `That file has ${size}; this service takes up to ${most}.`);
}

function showPhoto(arrived) {
  photo = arrived;
  result.clear();
  const picture = part("picture");
  URL.revokeObjectURL(picture.src);
  picture.alt = "Your photo, not yet described";
  picture.src = URL.createObjectURL(photo);
  part("result").hidden = false;
  part("tools").hidden = true;
  result.tell("Looking at the photo…", true);
  part("result").scrollIntoView({ block: "nearest" });
}

function fitPhoto() {
  const { naturalWidth, naturalHeight } = part("picture");
  part("photo").style.setProperty("--ratio", naturalWidth / naturalHeight);
}

/** Say what went wrong; a photo that is not to blame stays, to be tried again with other options. */
function showProblem(error) {
  if (error.ofPhoto) photo = null;
  part("result").hidden = !photo;
  part("tools").hidden = !photo;
  if (!result.answer) result.tell("", false);
  const { title, detail } = explain(error);
  part("problem-title").textContent = title;
  part("problem-detail").textContent = detail;
  part("problem").hidden = false;
  part("problem").scrollIntoView({ block: "nearest" });
}

function explain(error) {
  if (error instanceof Problem) return { title: error.title, detail: error.message };
  console.error(error);
  return { title: "That did not work", detail: "Something went wrong on this page. Please try again." };
}

const KEYS = {
  ArrowLeft: () => result.caption.step(-1),
  ArrowRight: () => result.caption.step(1),
  Escape: () => result.caption.clear(),
};
const KEYS_ON_WORDS = {
  Home: () => result.caption.focus(0),
  End: () => result.caption.focus(result.caption.length - 1),
};

function handleKey(event) {
  const isWithin = (id) => part(id).contains(event.target);
  const action = KEYS[event.key] ?? (isWithin("caption") ? KEYS_ON_WORDS[event.key] : undefined);
  const isMeantOtherwise = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  if (!action || !result.caption.length || isMeantOtherwise || isWithin("choices") || isWithin("tools")) return;
  event.preventDefault();
  result.player.stop();
  action();
}

listenForPhotos(document, receive);
part("picture").addEventListener("load", fitPhoto);
part("photo").addEventListener("click", () => result.caption.clear());
document.addEventListener("keydown", handleKey);
