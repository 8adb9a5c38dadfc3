// Attention over the photo: one field per word, drawn on a canvas that covers the photo exactly.

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
    this.load([], 0, 0);
  }

  /** Take the maps of a caption's words: arrays of rows * cols weights, or null for a word without attention. */
  load(maps, rows, cols) {
    this.fields = maps.map((map) => map && upscale(map, rows, cols, this.canvas.width, this.canvas.height));
    this.field = null; // what is drawn now
    this.opacity = 0;
    cancelAnimationFrame(this.frame);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
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

  blend(from, to, share) {
    this.opacity = from.opacity + (to.opacity - from.opacity) * share;
    if (share === 1 || from.field === to.field) this.field = to.field;
    else this.field = from.field.map((value, i) => value + (to.field[i] - value) * share);
    this.draw();
  }

  draw() {
    const { data } = this.pixels;
    for (let i = 0; i < this.field.length; i += 1) {
      const colour = this.colours[Math.round(this.field[i] * 255)];
      data[4 * i] = colour[0];
      data[4 * i + 1] = colour[1];
      data[4 * i + 2] = colour[2];
      data[4 * i + 3] = colour[3] * this.opacity;
    }
    this.context.putImageData(this.pixels, 0, 0);
  }
}

/** Interpolate a grid of weights smoothly (quadratic B-splines), and stretch the result to 0 ... 1 for display. */
export function upscale(map, rows, cols, width, height) {
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
  return stretch(field);
}

/** The three cells that a pixel lies nearest to, each with its share; cells beyond the edge repeat the edge. */
function taps(pixel, pixels, cells) {
  const position = ((pixel + 0.5) * cells) / pixels - 0.5; // cell centres lie at whole numbers
  const nearest = Math.round(position);
  const offset = position - nearest; // -0.5 ... 0.5
  const shares = [0.5 * (0.5 - offset) ** 2, 0.75 - offset ** 2, 0.5 * (0.5 + offset) ** 2];
  return shares.map((share, i) => [Math.min(cells - 1, Math.max(0, nearest - 1 + i)), share]);
}

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
