// What the server must not miss, kept in the browser's storage until the server has acknowledged it, sent in order.

import { Refused, Unreachable } from "./api.js";
import { newId } from "./dom.js";
import { SPACE } from "./project.js";
import { forget, keep, kept, keptKeys } from "./storage.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;
const LATE_MS = 1000; // an answer that takes longer is worth a word; a note for every vote would only flash

export class Outbox {
  #api;
  #prefix;
  #waiting = new Map(); // storage key -> {resolve, reject} of the caller, where this page made the entry
  #awaitAway = [];
  #signal;
  #sending = false;
  #retryMs = FIRST_RETRY_MS;
  #timer = 0;

  /**
   * @param onChange called with {unsent, offline, isLate} whenever one of them changes.
   * @param onOrphan called with the server's answer, or a Refused, to what an earlier page had kept.
   * @param signal ends the sending: another tab sends from then on.
   */
  constructor(api, user, onChange, onOrphan, signal) {
    this.#api = api;
    this.#prefix = `vfi.outbox${SPACE}/${user}/`; // no name has a slash: one name may begin like another
    this.#signal = signal;
    this.onChange = onChange;
    this.onOrphan = onOrphan;
    this.offline = false;
    window.addEventListener("online", () => this.flush(), { signal });
  }

  get unsent() {
    return this.#keys().length;
  }

  /**
   * Keep `body` for `path`, then send.
   *
   * Returns two promises. `answer`: the server's word, whenever it comes; rejects with Refused. `soon`: the same word, a
   * Refused as a value, or "offline" as soon as the server turns out to be away.
   */
  add(path, body) {
    const key = this.#nextKey();
    keep(key, JSON.stringify({ path, body }));
    const answer = new Promise((resolve, reject) => this.#waiting.set(key, { resolve, reject }));
    this.#report();
    const soon = Promise.race([answer.catch((error) => error), this.#away()]);
    this.flush();
    return { answer, soon };
  }

  #away() {
    if (this.offline) return Promise.resolve("offline");
    return new Promise((resolve) => this.#awaitAway.push(() => resolve("offline")));
  }

  /** Send what is kept, oldest first, until all is acknowledged or the server cannot be reached. */
  async flush() {
    if (this.#sending || this.#signal.aborted) return;
    this.#sending = true;
    clearTimeout(this.#timer);
    try {
      for (let keys = this.#keys(); keys.length > 0 && !this.#signal.aborted; keys = this.#keys()) await this.#sendOne(keys[0]);
      this.#awaitAway = [];
      this.#setOffline(false);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      this.#setOffline(true);
      for (const tell of this.#awaitAway.splice(0)) tell();
      this.#timer = setTimeout(() => this.flush(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    } finally {
      this.#sending = false;
    }
  }

  async #sendOne(key) {
    const entry = kept(key);
    if (entry === null) return; // another tab was sending it just now
    const { path, body } = JSON.parse(entry);
    const caller = this.#waiting.get(key);
    const late = setTimeout(() => this.onChange({ unsent: this.unsent, offline: this.offline, isLate: true }), LATE_MS);
    try {
      const answer = await this.#api.post(path, body, "high");
      this.#remove(key);
      if (caller) caller.resolve(answer);
      else this.onOrphan(answer);
    } catch (error) {
      // Signed out is not an answer to this entry: it stays, and goes out after the next sign-in.
      if (!(error instanceof Refused) || error.status === 401) throw new Unreachable(String(error));
      this.#remove(key);
      if (caller) caller.reject(error);
      else this.onOrphan(error);
    } finally {
      clearTimeout(late);
    }
    this.#retryMs = FIRST_RETRY_MS;
  }

  #remove(key) {
    forget(key);
    this.#waiting.delete(key);
    this.#report();
  }

  #setOffline(offline) {
    if (this.offline === offline) return;
    this.offline = offline;
    this.#report();
  }

  #report() {
    if (this.#signal.aborted) return; // another tab's by now
    this.onChange({ unsent: this.unsent, offline: this.offline, isLate: false });
  }

  #keys() {
    return keptKeys()
      .filter((key) => key.startsWith(this.#prefix))
      .sort();
  }

  /** The next key in order; of two tabs that count to the same number, neither writes over the other. */
  #nextKey() {
    const last = this.#keys().at(-1)?.slice(this.#prefix.length) ?? "0";
    return `${this.#prefix}${String(Number.parseInt(last, 10) + 1).padStart(9, "0")}.${newId()}`;
  }
}
