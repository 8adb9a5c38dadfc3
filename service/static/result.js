// What the model says of the photo that is shown: one caption at a time, the model's or the visitor's.

import { extremes } from "./attention.js";
import { CaptionView } from "./caption.js";
import { Choices } from "./choices.js";
import { Comparison } from "./comparison.js";
import { percent, verdict } from "./confidence.js";
import { Heatmap } from "./heatmap.js";
import { t } from "./language.js";
import { Lens } from "./lens.js";
import { Player } from "./player.js";

/** Shows answers of the service in the parts of the page that are made for them. */
export class Result {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {(change: object) => void} onChoice Called when the visitor chooses another caption to be shown.
   */
  constructor(part, onChoice) {
    this.part = part;
    this.heatmap = new Heatmap(part("heatmap"));
    this.lens = new Lens(part, this.heatmap);
    this.lens.load([]);
    this.caption = new CaptionView(part("caption"), part("detail"), (index) => this.lens.show(index));
    this.player = new Player((index) => this.caption.select(index), (playing) => this.showPlaying(playing));
    this.choices = new Choices(part("choices"), (index) => onChoice({ chosen: index, score: null, reply: null }));
    this.comparison = new Comparison(part("comparison"), part("back"), () => {
      onChoice({ score: null, reply: null });
      part("caption").focus(); // the button that had the focus is gone
    });
    part("play").addEventListener("click", () => this.togglePlay());
    part("caption").addEventListener("pointerdown", () => this.player.stop());
  }

  /** Show what is known of a photo. */
  show(photo) {
    const { answer, score, reply, chosen } = photo;
    this.choices.load(answer?.captions ?? [], score || reply ? null : chosen);
    this.comparison.hide();
    this.part("whose").hidden = !score && !reply;
    this.part("whose").textContent = t(reply ? "answer_to" : "your_sentence");
    this.part("caption").setAttribute("aria-label", t(reply ? "answer_group" : score ? "sentence_group" : "caption_group"));
    if (reply) this.showReply(reply, Boolean(answer));
    else if (score) this.showScore(score, answer?.captions[chosen]);
    else if (answer) this.showCaption(answer, chosen);
    else this.load(null, null);
    this.showTiming(reply ?? score ?? answer, reply ? "answered_in" : score ? "scored_in" : "captioned_in");
  }

  /** Tell how things stand; what the page shows anyway is told to screen readers only. */
  tell(text, isVisible, caption = "") {
    const english = document.createElement("span");
    Object.assign(english, { lang: "en", textContent: caption });
    this.part("status").classList.toggle("visually-hidden", !isVisible);
    this.part("status").replaceChildren(text, ...(caption ? [" ", english] : []));
  }

  /** What is shown, for a picture of it. */
  get poster() {
    const { caption, lens, heatmap, words } = this;
    const { active } = caption;
    const map = active === null ? null : words[active].attention;
    const told = map && { word: words[active].text, share: percent(extremes([map])[1]) };
    return {
      words: words.map((word) => word.text),
      active: map ? active : null,
      heatmap: this.part("heatmap"),
      isSmooth: heatmap.scale === "normalised",
      note: told && !lens.panel.hidden ? t("picture_heat", told) : this.part("timing").textContent,
    };
  }

  showCaption(answer, chosen) {
    const caption = answer.captions[chosen];
    const isFound = caption.words.length > 0;
    this.load(caption, answer.attention_grid);
    if (isFound) this.tell(t("caption_is"), false, caption.text);
    else this.tell(t("no_words"), true);
  }

  showScore({ score, attention_grid: grid }, caption) {
    this.load(score, grid);
    this.tell(this.comparison.show(score, caption ?? null), false);
  }

  /** Show the likeliest answer as a word, and where the network looked for it. */
  showReply(reply, hasCaption) {
    const [{ text, probability }] = reply.answers;
    const word = { text, log_prob: Math.log(Math.max(probability, Number.MIN_VALUE)), attention: reply.attention };
    this.load({ words: [word] }, reply.attention_grid);
    this.comparison.showReply(reply, hasCaption);
    this.tell(t("answer_is"), false, text);
    this.caption.select(0);
  }

  load(caption, grid) {
    this.words = caption?.words ?? [];
    this.player.stop();
    this.showPlaying(false);
    this.heatmap.load(this.words.map((word) => word.attention), ...(grid ?? [0, 0]));
    this.lens.load(this.words);
    this.caption.load(this.words, grid);
    this.part("controls").hidden = !this.words.length;
    this.part("unattending").hidden = Boolean(grid);
    this.part("verdict").textContent = caption ? verdict(caption) : "";
    this.part("verdict").classList.toggle("doubtful", Boolean(caption?.needs_review));
  }

  showTiming(answer, key) {
    if (!answer) {
      this.part("timing").textContent = "";
      return;
    }
    const model = document.createElement("span");
    model.translate = false;
    model.textContent = `${answer.model.name} ${answer.model.version}`;
    this.part("timing").replaceChildren(t(key, { ms: Math.round(answer.timing_ms.total) }), " · ", model);
  }

  showPlaying(playing) {
    this.part("play").classList.toggle("playing", playing);
    this.part("play-label").textContent = t(playing ? "stop" : "play");
  }

  togglePlay() {
    if (this.player.playing) this.player.stop();
    else this.player.play(this.caption.length);
  }
}
