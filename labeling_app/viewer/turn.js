// One tab per annotator and browser has the bench: the newest. Two would show the same item, and send what is kept twice.

import { newId } from "./dom.js";
import { SPACE } from "./project.js";
import { keep, kept } from "./storage.js";

export class Turn {
  #key;
  #own = newId();
  #isTaken = false;
  #onOver;

  /** @param onOver called once, when another tab takes the bench. */
  constructor(user, onOver, signal) {
    this.#key = `vfi.tab${SPACE}/${user}`;
    this.#onOver = onOver;
    window.addEventListener("storage", () => this.#look(), { signal });
  }

  /** Take the bench from whichever tab has it; false when this one had it and lost it. */
  take() {
    if (this.isOver) return false;
    this.#isTaken = true;
    keep(this.#key, this.#own);
    return true;
  }

  get isOver() {
    const holder = kept(this.#key);
    return this.#isTaken && holder !== null && holder !== this.#own;
  }

  get isOwn() {
    return this.#isTaken && !this.isOver;
  }

  #look() {
    if (!this.isOver) return;
    this.#onOver?.();
    this.#onOver = null;
  }
}
