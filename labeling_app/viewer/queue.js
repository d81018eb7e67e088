// The items this annotator holds: the one on the bench and the ones fetched ahead.

import { Refused, Unreachable } from "./api.js";
import { copyCanvas, loadCanvas } from "./images.js";

const AHEAD = 5;
const RETRY_MS = 2000;
const IDLE_MS = 1500;

/** One item: the server's description, and its pictures as they arrive. */
export class Item {
  constructor(description) {
    Object.assign(this, description);
    this.canvases = {};
    this.abort = new AbortController();
    this.pairNames = this.paired ? ["left", "right"] : this.blind ? ["a", "b"] : ["gt", "pred"];
    this.neededNames = this.paired ? [...this.pairNames, "gt"] : this.pairNames;
    this.loads = {};
  }

  get id() {
    return this.assignment_id;
  }

  get isReady() {
    return this.neededNames.every((name) => this.canvases[name]);
  }

  get hasInputs() {
    return Boolean(this.canvases.img0 && this.canvases.img1);
  }

  /** Resolves when the two compared pictures are there, and of two predictions the truth. */
  pair() {
    return Promise.all(this.neededNames.map((name) => this.load(name)));
  }

  /** Resolves when the two outer frames are there. */
  inputs() {
    return Promise.all(["img0", "img1"].map((name) => this.load(name)));
  }

  /** The truth, once for each of two predictions. */
  truths() {
    this.doubled ??= copyCanvas(this.canvases.gt);
    return [this.canvases.gt, this.doubled];
  }

  load(name) {
    this.loads[name] ??= loadCanvas(this.images[name], this.abort.signal).then(
      (canvas) => (this.canvases[name] = canvas),
      (error) => {
        delete this.loads[name]; // so that it can be tried again
        throw error;
      },
    );
    return this.loads[name];
  }

  /** Stop loading what is not there yet; it can be asked for again. */
  cancel() {
    this.abort.abort();
    this.abort = new AbortController();
  }

  /** Give the pictures' memory back: four canvases of 1080p hold 33 MB. They can be loaded again. */
  drop() {
    this.cancel();
    this.canvases = {};
    this.loads = {};
    this.doubled = null;
  }
}

export class Queue {
  #api;
  #filling = false;
  #asked = false;
  #idle = 0;
  #done = new Set(); // rated or skipped here: a reply that was on its way must not bring them back

  /** @param onChange called whenever items or their pictures came, or the server has none left. */
  constructor(api, onChange) {
    this.#api = api;
    this.onChange = onChange;
    this.items = [];
    this.nothingLeft = false;
    this.reason = "";
    this.retakesLeft = 0;
  }

  get current() {
    return this.items[0] ?? null;
  }

  /** Ask for items until five are held, and load their pictures: the compared pairs first. */
  async fill() {
    this.#asked = true;
    if (this.#filling) return;
    this.#filling = true;
    this.#asked = false;
    this.#loadAhead();
    try {
      const reply = await this.#api.post("/api/items", { count: AHEAD }, "low");
      this.#take(reply);
    } catch (error) {
      if (error instanceof Unreachable) setTimeout(() => this.fill(), RETRY_MS);
      else if (!(error instanceof Refused)) throw error;
    } finally {
      this.#filling = false;
    }
    if (this.#asked) await this.fill(); // something was rated while the answer was on its way
  }

  #take(reply) {
    const held = new Set(this.items.map((item) => item.id));
    const fresh = reply.items.filter((item) => !held.has(item.assignment_id) && !this.#done.has(item.assignment_id));
    this.items.push(...fresh.map((description) => new Item(description)));
    this.nothingLeft = reply.nothing_left && this.items.length === 0;
    this.reason = reply.reason ?? "";
    this.retakesLeft = reply.retakes_left ?? 0;
    this.#loadAhead();
    this.onChange();
  }

  #loadAhead() {
    const ignore = () => {}; // the bench asks again and shows the failure when the item is due
    for (const item of this.items) if (!item.isReady) item.pair().then(() => this.onChange(), ignore);
    for (const item of this.items.slice(0, 2)) item.inputs().catch(ignore);
    clearTimeout(this.#idle); // the other outer frames wait for a pause in the keying: decoding takes the time of the pairs
    this.#idle = setTimeout(() => this.items.forEach((item) => item.inputs().catch(ignore)), IDLE_MS);
  }

  /** Take the current item off the bench: rated, skipped, or no longer held. */
  leave(item) {
    this.#done.add(item.id);
    item.cancel();
    this.items = this.items.filter((other) => other !== item);
  }

  /** Put an item first: one that was undone. */
  putFirst(item) {
    this.#done.delete(item.id);
    this.items = [item, ...this.items.filter((other) => other.id !== item.id)];
    this.nothingLeft = false;
  }

  ids() {
    return this.items.filter((item) => !item.corrects).map((item) => item.id); // what is corrected is not held
  }
}
