// How sure the model is, in words.

import { t } from "./language.js";

/** Write a share of one as a percentage, small ones with a decimal. */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.1) return t("under_tenth");
  if (value < 9.95) return `${value.toFixed(1).replace(".0", "")}%`;
  return `${Math.round(value)}%`;
}

/** Write a natural-log probability with one decimal and a proper minus sign. */
export function logProbability(value) {
  return value.toFixed(1).replace(/^-(?=.*[1-9])/, "−").replace("-", "");
}

/** How sure the model was of a word: calibrated, or else the probability that it gave the word. */
export function surenessOf(word) {
  return word.confidence ?? Math.exp(word.log_prob);
}

/** Say how good a caption is: as a calibrated probability, or else as a mean of those of its words. */
export function verdict(caption) {
  if (typeof caption.confidence !== "number") return t("per_word", { share: percent(surenessPerWord(caption)) });
  return t(caption.needs_review ? "review" : "good", { share: percent(caption.confidence) });
}

/** The share of one that `verdict` tells. */
export function confidenceOf(caption) {
  return caption.confidence ?? surenessPerWord(caption);
}

/** The geometric mean of the probabilities of a caption's words, which does not fall with its length. */
function surenessPerWord(caption) {
  const total = caption.words.reduce((sum, word) => sum + word.log_prob, 0);
  return Math.exp(total / Math.max(1, caption.words.length));
}
