// Photos of the operator's index, found by words.

import { requestPhotos, requestThumbnail } from "./api.js";
import { t } from "./language.js";

const SOME = 24;

/** Looks for photos, and shows those that are found. */
export class Search {
  /**
   * @param {HTMLElement} section Holds the form, a status and a list.
   * @param {(error: Error) => void} onLocked Called when the service wants a key first.
   */
  constructor(section, onLocked) {
    this.form = section.querySelector("form");
    this.field = section.querySelector("input");
    this.status = section.querySelector("[role=status]");
    this.list = section.querySelector("ul");
    this.onLocked = onLocked;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(this.field.value);
    });
  }

  /** Say again how many there are, after a change of the language. */
  update() {
    this.status.textContent = this.count === undefined ? "" : t(this.count ? "found" : "found_none", { count: this.count });
  }

  async find(words) {
    this.running?.abort();
    const { signal } = (this.running = new AbortController());
    try {
      const { photos } = await requestPhotos(words, SOME, signal);
      this.show(photos, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.show([], signal);
      if (error.kind === "locked") {
        this.count = undefined;
        this.onLocked(error);
      }
      this.status.textContent = error.kind === "locked" ? "" : (error.said || error.title || t("problem_page_title"));
    }
  }

  show(photos, signal) {
    for (const image of this.list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.count = photos.length;
    this.update();
    this.list.replaceChildren(...photos.map((photo) => item(photo, signal)));
  }
}

function item(photo, signal) {
  const entry = document.createElement("li");
  const image = new Image();
  const text = document.createElement("span");
  image.alt = "";
  text.lang = "en";
  text.textContent = photo.description || photo.caption;
  entry.title = photo.name;
  entry.append(image, text);
  requestThumbnail(photo.id, signal).then(
    (blob) => (image.src = URL.createObjectURL(blob)),
    () => entry.classList.add("broken"),
  );
  return entry;
}
