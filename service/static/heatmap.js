// Attention over the photo: one field per word, drawn on a canvas that covers the photo exactly.

import { extremes } from "./attention.js";

const FADE_MS = 220;

// Colours from least to most attention, as [position, red, green, blue, alpha]: a dark veil lifts into a warm glow, so
// that brightness tells the same story as colour.
const RAMP = [
  [0.0, 10, 8, 36, 0.64],
  [0.3, 48, 16, 92, 0.54],
  [0.55, 190, 52, 92, 0.4],
  [0.78, 255, 146, 56, 0.32],
  [1.0, 255, 226, 140, 0.24],
];

/** Draws the attention of one word at a time, and fades from word to word. */
export class Heatmap {
  /** @param {HTMLCanvasElement} canvas Its width and height are the resolution; its style stretches it over the photo. */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.pixels = this.context.createImageData(canvas.width, canvas.height);
    this.colours = rampColours();
    this.stillness = matchMedia("(prefers-reduced-motion: reduce)");
    this.scale = "normalised";
    this.strength = 1;
    this.load([], 0, 0);
  }

  /** Take the maps of a caption's words: arrays of rows * cols weights, or null for a word without attention. */
  load(maps, rows, cols) {
    Object.assign(this, { maps, rows, cols });
    this.fields = this.computeFields();
    this.field = null; // what is drawn now
    this.opacity = 0;
    cancelAnimationFrame(this.frame);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /**
   * Draw each word stretched to all colours and smoothly ("normalised"), or the cells as they are, with the colours on
   * one scale from zero to the strongest cell of all words ("raw").
   */
  setScale(scale, index) {
    this.scale = scale;
    this.canvas.classList.toggle("cells", scale === "raw");
    this.fields = this.computeFields();
    this.show(index);
  }

  /** Draw more or less opaquely than usual, which is 1. */
  setStrength(strength) {
    this.strength = strength;
    if (this.field) this.draw();
  }

  /** Fade to the attention of a word; null fades to the bare photo. */
  show(index) {
    const target = index === null ? null : this.fields[index];
    const from = { field: this.field ?? target, opacity: this.opacity };
    const to = { field: target ?? this.field, opacity: target ? 1 : 0 };
    cancelAnimationFrame(this.frame);
    if (!to.field) return;
    const start = performance.now();
    const duration = this.stillness.matches ? 0 : FADE_MS;
    const advance = (now) => {
      const progress = duration === 0 ? 1 : Math.min(1, Math.max(0, now - start) / duration);
      this.blend(from, to, progress * progress * (3 - 2 * progress));
      if (progress < 1) this.frame = requestAnimationFrame(advance);
    };
    advance(start);
  }

  computeFields() {
    const size = [this.rows, this.cols, this.canvas.width, this.canvas.height];
    if (this.scale === "normalised") return this.maps.map((map) => map && stretch(smooth(map, ...size)));
    const [, high] = extremes(this.maps);
    return this.maps.map((map) => map && cells(map, ...size).map((weight) => weight / high));
  }

  blend(from, to, share) {
    this.opacity = from.opacity + (to.opacity - from.opacity) * share;
    if (share === 1 || from.field === to.field) this.field = to.field;
    else this.field = from.field.map((value, i) => value + (to.field[i] - value) * share);
    this.draw();
  }

  draw() {
    const { data } = this.pixels;
    const opacity = this.opacity * this.strength;
    for (let i = 0; i < this.field.length; i += 1) {
      const colour = this.colours[Math.round(this.field[i] * 255)];
      data[4 * i] = colour[0];
      data[4 * i + 1] = colour[1];
      data[4 * i + 2] = colour[2];
      data[4 * i + 3] = colour[3] * opacity; // what is above 255 is 255
    }
    this.context.putImageData(this.pixels, 0, 0);
  }
}

/** Stretch a grid of weights over a field, each cell a rectangle of its own weight. */
function cells(map, rows, cols, width, height) {
  return Float32Array.from({ length: width * height }, (_, i) => {
    const row = Math.floor((Math.floor(i / width) * rows) / height);
    return map[row * cols + Math.floor(((i % width) * cols) / width)];
  });
}

/** Stretch a grid of weights over a field smoothly, by quadratic B-splines. */
function smooth(map, rows, cols, width, height) {
  const across = Array.from({ length: width }, (_, x) => taps(x, width, cols));
  const field = new Float32Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const down = taps(y, height, rows);
    for (let x = 0; x < width; x += 1) {
      let value = 0;
      for (const [row, rowShare] of down) {
        for (const [col, colShare] of across[x]) value += map[row * cols + col] * rowShare * colShare;
      }
      field[y * width + x] = value;
    }
  }
  return field;
}

/** The three cells that a pixel lies nearest to, each with its share; cells beyond the edge repeat the edge. */
function taps(pixel, pixels, cells) {
  const position = ((pixel + 0.5) * cells) / pixels - 0.5; // cell centres lie at whole numbers
  const nearest = Math.round(position);
  const offset = position - nearest; // -0.5 ... 0.5
  const shares = [0.5 * (0.5 - offset) ** 2, 0.75 - offset ** 2, 0.5 * (0.5 + offset) ** 2];
  return shares.map((share, i) => [Math.min(cells - 1, Math.max(0, nearest - 1 + i)), share]);
}

/** Bring the least of a field to 0 and the most to 1. */
function stretch(field) {
  const low = field.reduce((a, b) => Math.min(a, b), Infinity);
  const high = field.reduce((a, b) => Math.max(a, b), -Infinity);
  const range = high - low;
  return field.map((value) => (range > 0 ? (value - low) / range : 0.5));
}

function rampColours() {
  return Array.from({ length: 256 }, (_, i) => {
    const position = i / 255;
    const next = Math.max(1, RAMP.findIndex(([stop]) => stop >= position));
    const [low, high] = [RAMP[next - 1], RAMP[next]];
    const share = (position - low[0]) / (high[0] - low[0]);
    const [red, green, blue, alpha] = [1, 2, 3, 4].map((k) => low[k] + (high[k] - low[k]) * share);
    return [red, green, blue, alpha * 255];
  });
}
