// How large a photo the service takes.

import { Problem } from "./problem.js";

const MEBIBYTE = 2 ** 20;

/** The most bytes of a photo. */
export function mostBytes() {
  return Number(document.body.dataset.maxUploadBytes);
}

/** Write a number of bytes. */
export function megabytes(bytes) {
  return `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
}

/** Refuse a photo that the service would refuse, before it is sent. */
export function checkSize(photo) {
  if (photo.size <= mostBytes()) return;
  const [size, most] = [photo.size, mostBytes()].map(megabytes);
  throw new Problem("too_large_here", { values: { size, most } });
}
