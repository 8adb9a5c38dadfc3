// The page: photos come in, their captions come back, and the words show where the model looked.

import { Album } from "./album.js";
import { Camera } from "./camera.js";
import { ask, cancel, caption, correct, score, withdraw } from "./captioning.js";
import { ClipPanel } from "./clip.js";
import { CorrectionForm } from "./correction.js";
import { listenForPhotos } from "./intake.js";
import { listenForKeys } from "./keys.js";
import { offerLanguages, t } from "./language.js";
import { Lock } from "./lock.js";
import { Notice } from "./notice.js";
import { OptionsPanel } from "./options.js";
import { Problem } from "./problem.js";
import { Result } from "./result.js";
import { copyText, saveAnswers, savePicture } from "./saving.js";
import { Search } from "./search.js";
import { SentenceForm } from "./sentence.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";

const part = (id) => document.getElementById(id);

let locked = null; // the form whose sending the service wants a key for
let trouble = null; // a problem of no photo: there was none, or the visitor's sentence met it

const album = new Album(() => show());
const result = new Result(part, (change) => {
  Object.assign(album.current, change);
  show();
});
const stage = new Stage(part, result);
const notice = new Notice(part, { onRetry: tryAgain, onGiveUp: () => cancel(album.current) });
const strip = new Strip(part("strip").querySelector("ul"), (photo) => {
  trouble = null;
  album.select(photo);
});
const lock = new Lock(part, () => askAgain());
const sentence = new SentenceForm(part("sentence-form"), (text) => send(sentence, score, text));
const question = new SentenceForm(part("question-form"), (text) => send(question, ask, text));
const correction = part("correction-form") && new CorrectionForm(
  part,
  (text) => send(correction, correct, text),
  () => send(correction, (photo, _, onPause) => withdraw(photo, onPause), ""),
);
const clip = new ClipPanel(part, (problem) => {
  trouble = problem;
  showProblem();
});
const options = new OptionsPanel(part("options"), () => captionAgain());
const search = part("search") && new Search(part("search"), (problem) => wantKey(problem, search.form));

function show() {
  stage.show(album.current);
  strip.show(album);
  correction?.show(album.current);
  showProgress();
  showProblem();
}

function showProblem() {
  const photo = album.current;
  const problem = trouble ?? photo?.problem;
  const isLocked = problem?.kind === "locked";
  notice.place(part(photo ? "reading" : "main"));
  if (!problem) notice.hide();
  else if (trouble || isLocked || problem.ofPhoto || problem.kind === "option") notice.show(problem, "none");
  else notice.show(problem, photo.state === "paused" ? "countdown" : "retry", photo.seconds);
  lock.show(isLocked);
}

function showProgress() {
  const { photos, pending, done } = album;
  const isSeveral = photos.length > 1;
  part("progress").textContent = isSeveral ? t("progress", { done: done.length, count: photos.length }) : "";
  part("cancel-all").hidden = !isSeveral || !pending.length;
  part("save-all").hidden = done.length < 2;
}

async function receive(arriving) {
  trouble = null;
  try {
    for (const photo of album.add(await arriving)) caption(photo, options.fields);
  } catch (error) {
    trouble = Problem.of(error);
    showProblem();
  }
}

function captionAgain() {
  trouble = null;
  caption(album.current, options.fields);
  part("photo").scrollIntoView({ block: "nearest" }); // the button that asked may be far below it
}

function tryAgain() {
  if (album.current.state === "paused") album.current.impatience.dispatchEvent(new Event("now"));
  else captionAgain();
}

/** Ask with the key for what was refused without it. */
function askAgain() {
  const form = trouble?.kind === "locked" ? locked : null;
  trouble = null;
  for (const photo of album.locked) caption(photo, options.fields);
  show();
  (form?.querySelector("input") ?? part("caption")).focus(); // the form that had the focus is gone
  form?.requestSubmit();
  clip.askAgain();
}

/** Send what the visitor wrote in a form, by `request`, and explain there what goes wrong. */
async function send(form, request, text) {
  const photo = album.current;
  const explain = (problem, isRetried) => {
    const words = problem.kind === "option" ? problem.said : `${problem.title}. ${problem.advice}`;
    form.showProblem(isRetried ? `${problem.title}. ${t("retrying")}` : words);
  };
  try {
    await request(photo, text, (problem) => explain(problem, true));
    form.showProblem("");
    part("whose").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (error.kind === "locked") wantKey(error, form.form);
    else if (error.name !== "AbortError") explain(Problem.of(error), false);
  }
}

function wantKey(problem, form) {
  trouble = problem;
  locked = form;
  showProblem();
}

function clear() {
  album.clear();
  result.tell(t("cleared"), false);
  part("file").focus(); // the button that had the focus is gone
}

listenForPhotos(document, receive);
listenForKeys(result, part);
offerLanguages(() => {
  options.update();
  search?.update();
  clip.show();
  show();
});
new Camera(part, (photo) => receive(Promise.resolve([photo])));
part("photo").addEventListener("click", () => result.caption.clear());
part("cancel").addEventListener("click", () => cancel(album.current));
part("cancel-all").addEventListener("click", () => album.pending.forEach(cancel));
part("clear").addEventListener("click", clear);
part("save-all").addEventListener("click", () => saveAnswers(album.done));
part("save-json").addEventListener("click", () => saveAnswers([album.current]));
part("save-picture").addEventListener("click", () => savePicture(album.current, part("picture"), result.poster));
part("copy").addEventListener("click", async () => {
  await copyText(result.poster.words.join(" "), part("copy"));
  result.tell(t("copied"), false);
});
