// What a word's attention map says, in words.

import { percent } from "./confidence.js";
import { t } from "./language.js";

/** Say where in the photo the strongest cell lies, and how much of the attention it has. */
export function describeAttention(map, rows, cols) {
  const high = Math.max(...map);
  const cell = map.indexOf(high);
  const place = t(`place_${third(Math.floor(cell / cols), rows)}_${third(cell % cols, cols)}`);
  const key = high < 2 / map.length ? "looked_all_over" : "looked";
  return t(key, { place, share: percent(high) });
}

/** The least and the most of several maps, as [low, high]. */
export function extremes(maps) {
  const ends = maps.filter(Boolean).map((map) => [Math.min(...map), Math.max(...map)]);
  return [Math.min(...ends.map(([low]) => low)), Math.max(...ends.map(([, high]) => high))];
}

function third(index, count) {
  return Math.min(2, Math.floor(((index + 0.5) * 3) / count));
}
