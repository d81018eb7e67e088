// What is said of the item on the bench beside its level: flag, comment, and in blind mode which picture is real.

import { find } from "./dom.js";
import { SPACE } from "./project.js";
import { forget, keep, kept } from "./storage.js";

export class Marks {
  #root;
  #user;

  constructor(root, user) {
    this.#root = root;
    this.#user = user;
    this.clear();
  }

  all() {
    return { flagged: this.flagged, comment: this.comment, choice: this.choice };
  }

  /** Change some of them for an item. */
  change(item, some) {
    Object.assign(this, some);
    item.marks = this.all();
    this.keep(item);
    this.#draw();
  }

  /** What is said before the vote outlives a reload. */
  keep(item) {
    if (item.corrects) return;
    const { flagged, comment, choice } = item.marks;
    if (flagged || comment || choice) keep(this.#key(item), JSON.stringify(item.marks));
    else this.forget(item);
  }

  forget(item) {
    forget(this.#key(item));
  }

  load(item) {
    item.marks ??= JSON.parse(kept(this.#key(item)) ?? "null");
    Object.assign(this, item.marks ?? {});
    this.#draw();
  }

  clear() {
    Object.assign(this, { flagged: false, comment: "", choice: null });
    this.#draw();
  }

  #key(item) {
    return `vfi.draft${SPACE}/${this.#user}/${item.id}`;
  }

  #draw() {
    find(this.#root, "flag-button").setAttribute("aria-pressed", String(this.flagged));
    find(this.#root, "comment-button").setAttribute("aria-pressed", String(this.comment !== ""));
    for (const button of this.#root.querySelectorAll("[data-real]")) {
      button.setAttribute("aria-pressed", String(button.dataset.real === this.choice));
    }
  }
}
