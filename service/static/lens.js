// How the heatmap is drawn, and what its colours mean.

import { extremes } from "./attention.js";
import { percent } from "./confidence.js";
import { t } from "./language.js";

const USUAL_OPACITY = 70;

/** The controls of a heatmap, with the true numbers behind its colours. */
export class Lens {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {Heatmap} heatmap What is controlled.
   */
  constructor(part, heatmap) {
    this.panel = part("lens");
    this.measure = part("measure");
    this.heatmap = heatmap;
    this.ends = this.panel.querySelectorAll(".ramp span");
    this.opacity = this.panel.querySelector("[type=range]");
    this.index = null;
    this.opacity.addEventListener("input", () => heatmap.setStrength(this.opacity.value / USUAL_OPACITY));
    this.panel.addEventListener("change", (event) => {
      if (event.target.name === "scale") this.rescale(event.target.value);
    });
  }

  /** Take the maps of another caption. */
  load(words) {
    this.words = words;
    this.panel.hidden = !words.some((word) => word.attention);
    this.show(null);
  }

  /** Draw the attention of a word; null draws none. */
  show(index) {
    this.index = index;
    this.heatmap.show(index);
    if (!this.panel.hidden) this.tell();
  }

  rescale(scale) {
    this.heatmap.setScale(scale, this.index);
    this.tell();
  }

  /** Tell the true extremes: normalised maps look sharp however flat the attention is. */
  tell() {
    const { scale } = this.heatmap;
    const all = this.words.map((word) => word.attention);
    const ownMap = this.index === null ? null : all[this.index];
    const [low, high] = extremes(ownMap ? [ownMap] : all);
    const values = { low: percent(low), high: percent(high) };
    this.measure.textContent = t(`${scale}_${ownMap ? "word" : "caption"}`, values);
    const [, highest] = extremes(all);
    const isOwn = scale === "normalised" && ownMap;
    this.ends[0].textContent = isOwn ? percent(low) : percent(0);
    this.ends[1].textContent = percent(isOwn ? high : highest);
    this.panel.querySelector(".ramp").classList.toggle("vague", scale === "normalised" && !ownMap);
  }
}
