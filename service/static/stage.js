// The photo that is shown, large.

import { t } from "./language.js";

/** Shows one photo of the session, and how far its caption is. */
export class Stage {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {Result} result Shows what is known of the photo.
   */
  constructor(part, result) {
    this.part = part;
    this.result = result;
    this.picture = part("picture");
    this.picture.addEventListener("load", () => this.fit());
    this.picture.addEventListener("error", () => part("photo").classList.add("broken"));
    this.shown = {};
  }

  /** Show a photo as it is now; null shows none. */
  show(photo) {
    this.part("stage").hidden = !photo;
    if (photo) {
      this.showPicture(photo);
      this.showState(photo);
      return;
    }
    this.picture.removeAttribute("src");
    this.shown = {};
  }

  showPicture({ url, answer, chosen }) {
    const isNew = this.picture.src !== url;
    if (isNew) {
      this.part("photo").classList.remove("broken");
      this.picture.src = url;
      this.part("photo").scrollIntoView({ block: "nearest" }); // the button that chose it may be far below
    }
    const text = answer?.captions[chosen].text;
    this.picture.lang = text ? "en" : "";
    this.picture.alt = text || t(answer ? "your_photo" : "undescribed");
  }

  /** Show the state; what the model says is made anew only when it changed, or the word in focus would lose it. */
  showState(photo) {
    const isWaiting = photo.state === "waiting" || photo.state === "working";
    this.part("stage").classList.toggle("waiting", isWaiting);
    this.part("cancel").hidden = !isWaiting;
    this.part("tools").hidden = isWaiting ? !photo.answer : photo.state === "locked" || Boolean(photo.problem?.ofPhoto);
    const { answer, score, reply, chosen } = photo;
    const shown = { answer, score, reply, chosen, isWaiting, lang: document.documentElement.lang };
    if (Object.keys(shown).some((key) => this.shown[key] !== shown[key])) this.result.show(photo);
    this.shown = shown;
    if (isWaiting) this.result.tell(t(photo.state === "working" ? "looking" : "waiting"), !answer);
    else if (!answer) this.result.tell("", false);
  }

  fit() {
    const { naturalWidth, naturalHeight } = this.picture;
    this.part("photo").style.setProperty("--ratio", naturalWidth / naturalHeight);
  }
}
