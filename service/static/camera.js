// Photos from the camera.

import { t } from "./language.js";

const JPEG_QUALITY = 0.92;
const WISHES = { video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false };

/** A dialog with what the camera sees; without a camera that pages may use, the phone's own is asked for. */
export class Camera {
  /**
   * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
   * @param {(photo: File) => void} onPhoto Called with a photo.
   */
  constructor(part, onPhoto) {
    this.part = part;
    this.onPhoto = onPhoto;
    this.dialog = part("camera");
    this.video = this.dialog.querySelector("video");
    this.note = this.dialog.querySelector(".camera-note");
    part("use-camera").addEventListener("click", () => this.open());
    part("shoot").addEventListener("click", () => this.shoot());
    part("camera-close").addEventListener("click", () => this.dialog.close());
    part("camera-other").addEventListener("click", () => this.chooseInstead());
    this.dialog.addEventListener("close", () => this.stop());
  }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.part("capture").click(); // browsers lend the camera to pages on localhost and over HTTPS only
      return;
    }
    this.show("camera_starting");
    this.dialog.showModal();
    try {
      await this.start(await navigator.mediaDevices.getUserMedia(WISHES));
    } catch (error) {
      this.show(error.name === "NotFoundError" ? "camera_missing" : "camera_refused", { other: true });
    }
  }

  async start(stream) {
    this.video.srcObject = stream;
    if (!this.dialog.open) {
      this.stop(); // closed before the camera came
      return;
    }
    await this.video.play();
    this.show(null, { ready: true });
    this.part("shoot").focus();
  }

  stop() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  /** Show a note, or what the camera sees. */
  show(key, { ready = false, other = false } = {}) {
    this.note.textContent = key ? t(key) : "";
    this.note.hidden = !key;
    this.video.hidden = !ready;
    this.part("shoot").disabled = !ready;
    this.part("shoot").hidden = other;
    this.part("camera-other").hidden = !other;
  }

  shoot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.video.videoWidth, this.video.videoHeight];
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    canvas.toBlob((blob) => this.onPhoto(new File([blob], "camera.jpg")), "image/jpeg", JPEG_QUALITY);
    this.dialog.close();
  }

  chooseInstead() {
    this.dialog.close();
    this.part("file").click();
  }
}
