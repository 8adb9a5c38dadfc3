// A photo with its caption beneath, as one picture.

const LONGEST_SIDE = 1600;
const PAPER = "#ffffff";
const INK = "#1f1b2d";
const QUIET = "#625c70";
const GLOW = "#fbe3bf";

/**
 * Draw a photo, the heatmap over it if there is one, and the caption below.
 *
 * @param {HTMLImageElement} picture The photo, loaded.
 * @param {object} poster What else is drawn.
 * @param {string[]} poster.words The caption's words.
 * @param {number | null} poster.active The word whose heatmap is shown.
 * @param {HTMLCanvasElement} poster.heatmap Drawn over the photo.
 * @param {boolean} poster.isSmooth Whether the heatmap is stretched smoothly.
 * @param {string} poster.note A line below the caption.
 * @returns {HTMLCanvasElement} The picture.
 */
export function drawPoster(picture, { words, active, heatmap, isSmooth, note }) {
  const { naturalWidth, naturalHeight } = picture;
  const zoom = Math.min(1, LONGEST_SIDE / Math.max(naturalWidth, naturalHeight));
  const width = Math.max(360, Math.round(naturalWidth * zoom));
  const height = Math.round((naturalHeight * width) / naturalWidth);
  const size = Math.max(16, Math.round(width / 28));
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  context.font = captionFont(size);
  const lines = layOut(words, width - 2 * size, (text) => context.measureText(text).width);
  canvas.width = width;
  canvas.height = height + Math.round(size * (1.4 * lines.length + 2.6));
  context.fillStyle = PAPER;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, width, height);
  context.imageSmoothingEnabled = isSmooth;
  context.drawImage(heatmap, 0, 0, width, height);
  drawText(context, { lines, active, note, size, top: height + size });
  return canvas;
}

/** Break words into lines, each a list of [index, word, x]. */
function layOut(words, width, measure) {
  const [lines, space] = [[[]], measure(" ")];
  let x = 0;
  words.forEach((word, index) => {
    const length = measure(word);
    if (x > 0 && x + length > width) {
      lines.push([]);
      x = 0;
    }
    lines.at(-1).push([index, word, x]);
    x += length + space;
  });
  return lines;
}

function drawText(context, { lines, active, note, size, top }) {
  context.font = captionFont(size);
  context.textBaseline = "middle";
  lines.forEach((line, row) => {
    const middle = top + size * (1.4 * row + 0.6);
    for (const [index, word, x] of line) {
      if (index === active) mark(context, size + x, middle, context.measureText(word).width, size);
      context.fillStyle = INK;
      context.fillText(word, size + x, middle);
    }
  });
  context.font = `${Math.round(size * 0.55)}px system-ui, sans-serif`;
  context.fillStyle = QUIET;
  context.fillText(note, size, top + size * (1.4 * lines.length + 0.5));
}

function mark(context, x, middle, width, size) {
  context.fillStyle = GLOW;
  context.beginPath();
  context.roundRect(x - size * 0.15, middle - size * 0.62, width + size * 0.3, size * 1.2, size * 0.2);
  context.fill();
}

function captionFont(size) {
  return `500 ${size}px ui-serif, Charter, Georgia, "Noto Serif", serif`;
}
