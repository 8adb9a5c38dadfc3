// What the model says of the present photo: one caption at a time, the model's or the visitor's.

import { CaptionView } from "./caption.js";
import { Choices } from "./choices.js";
import { Comparison } from "./comparison.js";
import { Heatmap } from "./heatmap.js";
import { Player } from "./player.js";

/** Shows answers of the service in the parts of the page that are made for them. */
export class Result {
  /** @param {(id: string) => HTMLElement} part Gives an element of the page by its id. */
  constructor(part) {
    this.part = part;
    this.heatmap = new Heatmap(part("heatmap"));
    this.caption = new CaptionView(part("caption"), part("detail"), (index) => this.heatmap.show(index));
    this.player = new Player((index) => this.caption.select(index), (playing) => this.showPlaying(playing));
    this.choices = new Choices(part("choices"), (index) => this.showChoice(index));
    this.comparison = new Comparison(part("comparison"), part("back"), () => this.goBack());
    part("play").addEventListener("click", () => this.togglePlay());
    part("caption").addEventListener("pointerdown", () => this.player.stop());
    this.clear();
  }

  /** Show nothing. */
  clear() {
    this.answer = null;
    this.choices.load([]);
    this.show(null, null);
    this.part("timing").textContent = "";
  }

  /** Show the answer of POST /v1/captions, its best caption first. */
  showCaptions(answer) {
    this.answer = answer;
    this.choices.load(answer.captions);
    this.showChoice(0);
  }

  /** Show one of the model's captions. */
  showChoice(index) {
    this.chosen = index;
    const caption = this.answer.captions[index];
    this.show(caption, this.answer.attention_grid);
    this.choices.mark(index);
    this.showTiming("captioned", this.answer);
    this.part("picture").alt = caption.text || "Your photo";
    const found = caption.words.length > 0;
    this.tell(found ? `Caption: ${caption.text}` : "The model found no words for this photo.", !found);
  }

  /** Show the answer of POST /v1/scores. */
  showScore(answer) {
    this.show(answer.score, answer.attention_grid);
    this.choices.mark(null);
    this.part("whose").hidden = false;
    this.part("caption").setAttribute("aria-label", "Your sentence, word by word");
    this.tell(this.comparison.show(answer.score, this.answer?.captions[this.chosen] ?? null), false);
    this.showTiming("scored", answer);
  }

  /** Tell how things stand; what the page shows anyway is told to screen readers only. */
  tell(text, visible) {
    this.part("status").classList.toggle("visually-hidden", !visible);
    this.part("status").textContent = text;
  }

  show(caption, grid) {
    const words = caption?.words ?? [];
    this.player.stop();
    this.heatmap.load(words.map((word) => word.attention), ...(grid ?? [0, 0]));
    this.caption.load(words, grid);
    this.comparison.hide();
    this.part("whose").hidden = true;
    this.part("caption").setAttribute("aria-label", "Caption, word by word");
    this.part("controls").hidden = !words.length;
    this.part("play").hidden = !grid;
    this.part("unattending").hidden = Boolean(grid);
  }

  goBack() {
    this.showChoice(this.chosen);
    this.part("caption").focus(); // the button that had the focus is gone
  }

  showTiming(done, { model, timing_ms: times }) {
    this.part("timing").textContent = `${done} in ${Math.round(times.total)} ms by ${model.name} ${model.version}`;
  }

  showPlaying(playing) {
    this.part("play").classList.toggle("playing", playing);
    this.part("play-label").textContent = playing ? "Stop" : "Play";
  }

  togglePlay() {
    if (this.player.playing) this.player.stop();
    else this.player.play(this.caption.length);
  }
}
