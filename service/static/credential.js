// The key that opens the service, where its operator asks for one.

const HEADER = "X-API-Key";
const MEMORY = "captioner-key";
const UNSENDABLE = /[^\x20-\xff]/; // what a header cannot carry

/** The visitor's key: kept until the tab is closed, or with the page where the browser keeps nothing. */
class Credential {
  constructor() {
    this.key = recall();
    this.isWanted = false; // the service has asked for one, and there is none
    this.isRefused = false; // the service did not accept the last one
  }

  /** Send a key from now on. */
  take(key) {
    this.change({ key, isWanted: false, isRefused: false });
  }

  /** Learn that the service did not accept a key, or none. */
  refuse(key = this.key) {
    this.change({ key: "", isWanted: true, isRefused: this.isRefused || key !== "" });
  }

  /** Send no key from now on. */
  forget() {
    this.change({ key: "", isRefused: false });
  }

  change(change) {
    Object.assign(this, change);
    remember(this.key);
  }
}

export const credential = new Credential();

/** Return the headers that carry a key, none for no key; null if no header can. */
export function headersFor(key) {
  if (UNSENDABLE.test(key)) return null;
  return key ? { [HEADER]: key } : {};
}

function remember(key) {
  try {
    if (key) sessionStorage.setItem(MEMORY, key);
    else sessionStorage.removeItem(MEMORY);
  } catch {
    // A browser that keeps nothing asks again after a reload.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(MEMORY) ?? "";
  } catch {
    return "";
  }
}
