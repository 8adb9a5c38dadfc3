// The photos of this session, one of which is shown.

import { Photo } from "./photo.js";

/** Photos in the order in which they came. Nothing of them outlives the page. */
export class Album {
  /** @param {() => void} onChange Called when photos come or go, when another one is shown, or one changes. */
  constructor(onChange) {
    this.photos = [];
    this.current = null;
    this.count = 0;
    this.onChange = onChange;
  }

  /** Take in files, show the first of them, and return their photos. */
  add(blobs) {
    const photos = blobs.map((blob) => new Photo(blob, blob.name ?? "", (this.count += 1)));
    for (const photo of photos) photo.onChange = this.onChange;
    this.photos.push(...photos);
    this.select(photos[0]);
    return photos;
  }

  select(photo) {
    this.current = photo;
    this.onChange();
  }

  /** The photos that are not done yet. */
  get pending() {
    return this.photos.filter((photo) => photo.busy);
  }

  get done() {
    return this.photos.filter((photo) => photo.answer);
  }

  /** The photos for which the service wants a key. */
  get locked() {
    return this.photos.filter((photo) => photo.state === "locked");
  }

  /** Forget all photos. */
  clear() {
    for (const photo of this.photos) photo.forget();
    this.photos = [];
    this.count = 0;
    this.select(null);
  }
}
