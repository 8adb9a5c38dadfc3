// How sure the model is, in words.

/** Write a share of one as a percentage. */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 1) return "under 1%";
  return `${Math.round(value)}%`;
}

/** Write a natural-log probability with one decimal and a proper minus sign. */
export function logProbability(value) {
  return value.toFixed(1).replace(/^-(?=.*[1-9])/, "−").replace("-", "");
}

/** The geometric mean of the probabilities of a caption's words, which does not fall with its length. */
export function surenessPerWord(caption) {
  const total = caption.words.reduce((sum, word) => sum + word.log_prob, 0);
  return Math.exp(total / Math.max(1, caption.words.length));
}
