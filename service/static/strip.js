// The photos of the session as thumbnails.

import { t } from "./language.js";

const ROOM = 4; // pixels of the frame around a thumbnail

/** A row of buttons, one per photo, that tell how far each is. */
export class Strip {
  /**
   * @param {HTMLUListElement} list Where the thumbnails go.
   * @param {(photo: Photo) => void} onSelect Called when the visitor wants to see one.
   */
  constructor(list, onSelect) {
    this.list = list;
    this.onSelect = onSelect;
    this.thumbnails = new Map();
    this.current = null;
  }

  /** Show the photos of an album as they are now. */
  show(album) {
    for (const photo of album.photos) {
      if (!this.thumbnails.has(photo)) this.append(photo);
      update(this.thumbnails.get(photo), photo, photo === album.current);
    }
    if (album.current !== this.current) this.reveal(this.thumbnails.get(album.current));
    this.current = album.current;
    for (const [photo, thumbnail] of this.thumbnails) {
      if (album.photos.includes(photo)) continue;
      thumbnail.parentNode.remove();
      this.thumbnails.delete(photo);
    }
  }

  /** Scroll the row, and not the page, to a thumbnail. */
  reveal(thumbnail) {
    if (!thumbnail) return;
    const [row, item] = [this.list, thumbnail].map((element) => element.getBoundingClientRect());
    this.list.scrollLeft += Math.min(0, item.left - ROOM - row.left) + Math.max(0, item.right + ROOM - row.right);
  }

  append(photo) {
    const thumbnail = document.createElement("button");
    thumbnail.type = "button";
    const image = document.createElement("img");
    Object.assign(image, { src: photo.url, alt: "", draggable: false });
    image.addEventListener("error", () => thumbnail.classList.add("broken"));
    const mark = span("mark");
    mark.setAttribute("aria-hidden", "true");
    const told = span("visually-hidden");
    told.append(span("thumbnail-state"), span("thumbnail-caption"));
    told.lastChild.lang = "en";
    thumbnail.append(image, mark, told);
    thumbnail.addEventListener("click", () => this.onSelect(photo));
    const item = document.createElement("li");
    item.append(thumbnail);
    this.list.append(item);
    this.thumbnails.set(photo, thumbnail);
  }
}

function span(className) {
  const made = document.createElement("span");
  made.className = className;
  return made;
}

function update(thumbnail, photo, isCurrent) {
  thumbnail.dataset.state = photo.state;
  thumbnail.title = photo.name;
  if (isCurrent) thumbnail.setAttribute("aria-current", "true");
  else thumbnail.removeAttribute("aria-current");
  const state = `${t("photo_number", { number: photo.number })}, ${t(`state_${photo.state}`)}`;
  tell(thumbnail, ".thumbnail-state", state);
  tell(thumbnail, ".thumbnail-caption", photo.answer ? `: ${photo.answer.captions[photo.chosen].text}` : "");
}

function tell(thumbnail, selector, text) {
  const element = thumbnail.querySelector(selector);
  if (element.textContent !== text) element.textContent = text;
}
