// A moving picture: it plays with the caption of each shot, and the heatmap moves with its frames.

import { requestShots } from "./api.js";
import { verdict } from "./confidence.js";
import { Heatmap } from "./heatmap.js";
import { t } from "./language.js";
import { checkSize } from "./limits.js";
import { Problem } from "./problem.js";
import { persist } from "./retry.js";

const TICK_MS = 80;
const VIDEO = /^video\//;

/** The section of the page that watches clips, one at a time. Nothing of a clip outlives the page. */
export class ClipPanel {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {(problem: Problem) => void} onLocked Called when the service wants a key.
   */
  constructor(part, onLocked) {
    Object.assign(this, { part, onLocked });
    this.heatmap = new Heatmap(part("clip-heatmap"));
    this.request = new AbortController();
    Object.assign(this, { blob: null, url: null, timer: null });
    this.forget();
    part("clip-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.watch(target.files[0]);
      target.value = ""; // so that choosing the same file again counts as a change
    });
    part("clip-play").addEventListener("click", () => (this.timer === null ? this.play() : this.stop()));
  }

  /** Ask for the captions of a clip, instead of what was asked before. */
  async watch(blob) {
    this.request.abort();
    this.request = new AbortController();
    const { signal } = this.request;
    this.stop();
    this.forget();
    this.blob = blob;
    this.show();
    try {
      checkSize(blob);
      const retry = (problem) => this.tell(problem);
      this.load(await persist(() => requestShots(blob, signal), signal, retry, new EventTarget()));
    } catch (error) {
      if (signal.aborted) return;
      this.tell(Problem.of(error));
      if (error.kind === "locked") this.onLocked(error);
    }
  }

  /** Ask again for what was refused without a key. */
  askAgain() {
    if (this.problem?.kind === "locked") this.watch(this.blob);
  }

  /** Say all in the language of the page. */
  show() {
    const { part, watched, problem } = this;
    part("clip-panel").hidden = !this.blob;
    part("clip-screen").hidden = !watched;
    part("clip-play").hidden = !watched;
    part("clip-problem").hidden = !problem;
    part("clip-problem").textContent = problem ? `${problem.title}. ${problem.said || problem.advice}` : "";
    part("clip-status").textContent = this.blob && !watched && !problem ? t("clip_looking") : "";
    part("clip-shots").replaceChildren(...(watched?.shots ?? []).map(entry));
    part("clip-play").textContent = t(this.timer === null ? "play_clip" : "stop");
    if (watched) this.mark();
  }

  forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    Object.assign(this, { url: null, watched: null, problem: null, shot: -1, frame: -1 });
  }

  tell(problem) {
    this.problem = problem;
    this.show();
  }

  /** Take the answer: of each frame that was looked at, how much each place was on all words. */
  load(watched) {
    Object.assign(this, { watched, problem: null, url: URL.createObjectURL(this.blob) });
    this.maps = watched.shots.flatMap((shot) => shot.frames.map((_, frame) => mapOf(shot.caption.words, frame)));
    this.heatmap.load(this.maps, ...(watched.attention_grid ?? [0, 0]));
    const isVideo = VIDEO.test(this.blob.type);
    this.screen = this.part(isVideo ? "clip-video" : "clip-picture");
    this.part("clip-video").hidden = !isVideo;
    this.part("clip-picture").hidden = isVideo;
    this.part("clip-screen").style.setProperty("--ratio", watched.clip.width / watched.clip.height);
    this.show();
    this.play();
  }

  /** Play from the beginning to the end, once. */
  async play() {
    const isVideo = this.screen === this.part("clip-video");
    this.part("clip-still").hidden = true;
    this.screen.src = isVideo ? this.url : this.renew();
    const start = () => (this.began = performance.now());
    if (isVideo) this.screen.play().catch(() => this.stop());
    else this.screen.decode().then(start, () => this.stop());
    start();
    this.timer = setInterval(() => this.tick(isVideo), TICK_MS);
    this.move(0);
    this.show();
  }

  stop() {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    if (this.screen === this.part("clip-video")) this.screen.pause();
    else this.hold();
    this.show();
  }

  tick(isVideo) {
    const now = isVideo ? this.screen.currentTime : (performance.now() - this.began) / 1000;
    if (isVideo ? this.screen.ended : now >= this.watched.clip.seconds) this.stop();
    else this.move(now);
  }

  /** Show the caption of a time, and where the model looked in the frame that stands for it. */
  move(now) {
    const { shots } = this.watched;
    const shot = last(shots.map(({ start }) => start), now);
    const frame = last(shots[shot].frames, now);
    if (shot === this.shot && frame === this.frame) return;
    Object.assign(this, { shot, frame });
    this.mark();
    const index = shots.slice(0, shot).reduce((sum, one) => sum + one.frames.length, 0) + frame;
    if (!this.maps[index]) return;
    const [own, most] = [total(this.maps[index]), Math.max(...shots[shot].frames.map((_, k) => total(this.maps[index - frame + k])))];
    this.heatmap.setStrength(0.35 + 0.65 * (own / most)); // a frame that was hardly looked at shows less
    this.heatmap.show(index);
  }

  mark() {
    const caption = this.watched.shots[Math.max(0, this.shot)].caption.text;
    this.part("clip-caption").textContent = caption;
    for (const [index, item] of [...this.part("clip-shots").children].entries()) {
      if (index === this.shot) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
  }

  /** An animation begins anew under a new address, and at no other time. */
  renew() {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(this.blob);
    return this.url;
  }

  /** An animation cannot be stopped, but hidden behind its first frame. */
  hold() {
    const still = this.part("clip-still");
    const { naturalWidth: width, naturalHeight: height } = this.screen;
    if (!width) return;
    Object.assign(still, { width, height, hidden: false });
    still.getContext("2d").drawImage(this.screen, 0, 0);
    this.heatmap.show(null);
  }
}

function entry({ start, end, caption }) {
  const item = document.createElement("li");
  const times = Object.assign(document.createElement("span"), { className: "clip-times" });
  times.textContent = t("clip_times", { start: start.toFixed(1), end: end.toFixed(1) });
  const text = Object.assign(document.createElement("span"), { lang: "en", className: "clip-text" });
  text.textContent = caption.text;
  const sure = Object.assign(document.createElement("span"), { className: "clip-sure" });
  sure.textContent = verdict(caption);
  sure.classList.toggle("doubtful", Boolean(caption.needs_review));
  item.append(times, " ", text, " ", sure);
  return item;
}

/** The attention of all words over one frame, or null. */
function mapOf(words, frame) {
  const maps = words.map((word) => word.attention?.[frame]).filter(Boolean);
  return maps.length ? maps[0].map((_, cell) => maps.reduce((sum, map) => sum + map[cell], 0) / maps.length) : null;
}

function total(map) {
  return map.reduce((sum, weight) => sum + weight, 0);
}

/** The last of some rising times that is not after now, or the first. */
function last(times, now) {
  return Math.max(0, times.filter((time) => time <= now).length - 1);
}
