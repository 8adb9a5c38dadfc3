// What a word's attention map says, in words.

import { percent } from "./confidence.js";

const PLACES = [
  ["in the upper left", "at the top", "in the upper right"],
  ["on the left", "in the middle", "on the right"],
  ["in the lower left", "at the bottom", "in the lower right"],
];

/** Say how much of the attention the strongest cell has, and where in the photo it lies. */
export function describeAttention(map, rows, cols) {
  const peak = Math.max(...map);
  const cell = map.indexOf(peak);
  const place = PLACES[third(Math.floor(cell / cols), rows)][third(cell % cols, cols)];
  const spread = peak < 2 / map.length ? "spread over the whole photo, " : "";
  return `${spread}peak ${percent(peak)} of attention, ${place}`;
}

function third(index, count) {
  return Math.min(2, Math.floor(((index + 0.5) * 3) / count));
}
