// The labelling loop: show an item, take a level, wait for the server's word, show the next.

import { answerOf, inWords, said } from "./answers.js";
import { afterPaint, el, find, newId } from "./dom.js";
import { Refused, Unreachable } from "./api.js";
import { Marks } from "./marks.js";
import { drawCorrecting, drawFeedback, drawItem, drawProgress } from "./panel.js";
import { Item, Queue } from "./queue.js";
import { ENOUGH } from "./seen.js";
import { reason, t } from "./texts.js";

const LOOK_MS = 60_000; // for items that others let go
const PICTURE_RETRY_MS = 2000;
const PAINT_MS = 30; // two frames: a painted picture still has to be drawn, without a GPU by this processor
const LONGEST_SECONDS = 1e6; // that the server takes: a laptop may sleep over a holiday with an item on the bench
const KEPT_ITEMS = 50; // that undo can bring back while the server is away
const KEPT_PICTURES = 2; // of those, the newest keep their pictures in memory

export class Work {
  #root;
  #api;
  #outbox;
  #bench;
  #signal;
  #untold = null; // writes what the last vote changed
  #busy = false; // a key pressed while a vote is on its way is not for the next item
  #marks; // flag, comment and choice of the item on the bench
  #paused = false;
  #rated = []; // items rated or skipped in this page, newest last: what undo shows while the server is away

  constructor({ root, api, outbox, bench, dialogs, session, signal }) {
    this.#root = root;
    this.#api = api;
    this.#outbox = outbox;
    this.#bench = bench;
    this.dialogs = dialogs;
    this.stageName = session.stage;
    this.queue = new Queue(api, () => this.#showCurrent());
    this.#marks = new Marks(root, session.user);
    drawProgress(root, session.progress);
    this.#noteStage();
    this.#signal = signal;
    const heartbeat = setInterval(() => this.#heartbeat(), session.options.heartbeat_seconds * 1000);
    const look = setInterval(() => this.look(), LOOK_MS);
    signal.addEventListener("abort", () => [heartbeat, look].forEach(clearInterval));
    find(root, "retake").addEventListener("click", () => this.#retake(), { signal });
    find(root, "correct-cancel").addEventListener("click", () => this.leaveCorrection(), { signal });
    find(root, "feedback-next").addEventListener("click", () => this.#afterFeedback(), { signal });
  }

  start() {
    drawItem(this.#root, null);
    return this.queue.fill();
  }

  /** Rate the item on the bench and go on. While the server is away the vote is kept, and the next item shown. */
  async rate(level) {
    const item = this.#bench.item;
    if (!item || this.#busy) return;
    if (this.#feedbackShown() || (item.paired && level > 3)) return;
    if (item.blind && level > 1 && !this.#marks.choice) return this.say("blind.choose_first");
    if (this.#asksFirst(item)) return;
    this.#busy = true;
    const vote = this.#vote(item, level);
    const { answer, soon } = this.#outbox.add("/api/votes", vote);
    const first = await soon;
    this.#busy = false;
    if (first instanceof Refused) return this.#refused(item, first);
    this.#remember(item, level); // also one too many: undo takes back the latest vote, whatever became of it
    if (first.feedback) this.#showFeedback(item, first.feedback);
    else this.#next(item);
    this.#tellLater(() => {
      const rated = first.counted === false ? "last.surplus" : "last.rated";
      this.#sayLevel(first === "offline" ? "last.kept" : rated, level, item);
      if (first === "offline") this.#sayWhenSent(answer, level, item);
      else this.#acknowledged(first);
    });
    if (first.counted === false) this.#heartbeat(() => {}); // drop what else is no longer ours
  }

  /** Ask once when much of the picture was not looked at: the next press of a level's key rates it all the same. */
  #asksFirst(item) {
    const { share } = this.#bench.seen;
    if (item.wasAsked || share >= ENOUGH) return false;
    item.wasAsked = true;
    this.say("last.unseen", { percent: Math.floor(share * 100) });
    find(this.#root, "last").firstChild.className = "warn";
    this.#bench.seen.canvas.dataset.asked = "true";
    return true;
  }

  #sayWhenSent(answer, level, item) {
    const note = find(this.#root, "last").firstChild;
    answer.then((reply) => {
      this.#acknowledged(reply);
      const key = reply.counted === false ? "last.surplus" : "last.rated";
      if (reply.counted === false || find(this.#root, "last").firstChild === note) this.#sayLevel(key, level, item);
    }, (error) => this.#sayError(error));
  }

  /** Write what a vote changed after the next pictures are painted: the eye is on them. */
  #tellLater(tell) {
    this.#tell();
    this.#untold = tell;
    afterPaint(() => this.#tell());
  }

  #tell() {
    const tell = this.#untold;
    this.#untold = null;
    tell?.();
  }

  #remember(item, level) {
    this.#marks.forget(item);
    this.#rated.push({ item, level, marks: this.#marks.all() });
    this.#rated.at(-1 - KEPT_PICTURES)?.item.drop();
    if (this.#rated.length > KEPT_ITEMS) this.#rated.shift();
  }

  #vote(item, level) {
    return {
      vote_id: newId(),
      assignment_id: item.id,
      ...said(level, item.paired),
      seconds: Math.min(LONGEST_SECONDS, (performance.now() - this.#bench.shownAt) / 1000),
      flagged: this.#marks.flagged,
      comment: this.#marks.comment || null,
      view: this.#bench.view(),
      blind_choice: item.blind ? this.#marks.choice : null,
      ...(item.corrects ? { corrects: true } : {}),
    };
  }

  /** The server's word on what an earlier page had kept. */
  orphan(answer) {
    if (answer instanceof Refused) this.say("error.refused_late");
    else this.#acknowledged(answer);
  }

  #acknowledged(reply) {
    if (reply.progress) drawProgress(this.#root, reply.progress);
    if (reply.stage && reply.stage !== this.stageName) {
      this.stageName = reply.stage;
      this.#noteStage();
    }
  }

  #next(item) {
    this.queue.leave(item);
    this.#marks.clear();
    this.#showCurrent();
    // After the next item is on the screen: fetching and decoding take the processor from it.
    afterPaint(() => setTimeout(() => this.queue.fill(), PAINT_MS));
  }

  #showFeedback(item, feedback) {
    this.pending = { item, mode: this.#bench.mode };
    drawFeedback(this.#root, feedback);
    this.#bench.setMode("difference");
  }

  #feedbackShown() {
    return !find(this.#root, "feedback").hidden;
  }

  #afterFeedback() {
    drawFeedback(this.#root, null);
    this.#bench.setMode(this.pending.mode);
    this.#next(this.pending.item);
    this.#bench.stage.node.focus({ preventScroll: true });
  }

  /** Take back the latest own vote; its item comes to the bench again. */
  async undo() {
    if (this.#busy || this.#feedbackShown()) return;
    this.#tell();
    this.#busy = true;
    const { answer, soon } = this.#outbox.add("/api/undo", { undo_id: newId() });
    const first = await soon;
    this.#busy = false;
    const last = this.#rated.pop();
    if (first instanceof Refused) return this.#sayError(first);
    if (first === "offline") {
      answer.catch((error) => this.#sayError(error));
      if (last) this.#bringBack(last.item, last.level, last.marks);
    } else {
      drawProgress(this.#root, first.progress);
      if (!first.undone) return this.say("last.nothing_to_undo");
      const isSame = last && last.item.id === first.undone.assignment_id;
      const marks = { flagged: first.flagged, comment: first.comment ?? "", choice: isSame ? last.marks.choice : null };
      this.#bringBack(isSame ? last.item : new Item(first.undone), answerOf(first), marks);
    }
  }

  /** Show an item again with what was said of it; `level` is null where it was skipped. */
  #bringBack(item, level, marks) {
    item.corrects = false;
    item.marks = marks;
    this.#marks.keep(item);
    this.queue.putFirst(item);
    this.#marks.clear();
    this.#showCurrent();
    if (this.#bench.item === item) this.#marks.load(item);
    if (level === null) this.say("last.unskipped");
    else this.#sayLevel("last.undone", level, item);
  }

  /** Show the last items, and bring the one that is chosen to the bench to be rated anew. */
  async history() {
    if (this.#busy || this.#feedbackShown()) return;
    let entries;
    try {
      entries = (await this.#api.get("/api/history")).items;
    } catch (error) {
      return this.#sayError(error);
    }
    const entry = await this.dialogs.history(entries);
    if (!entry) return;
    this.leaveCorrection();
    const item = new Item(entry.item);
    item.corrects = true;
    item.wasAsked = true; // it was looked at before
    item.was = entry;
    item.marks = { flagged: entry.flagged, comment: entry.comment ?? "", choice: null };
    this.queue.putFirst(item);
    this.#marks.clear();
    this.#showCurrent();
  }

  /** Leave the item that is being corrected as it was. */
  leaveCorrection() {
    const item = this.queue.current;
    if (!item?.corrects || this.#busy) return;
    this.queue.leave(item);
    this.#marks.clear();
    this.#showCurrent();
  }

  async #retake() {
    try {
      await this.#api.post("/api/qualification/retake", { retake_id: newId() });
      await this.queue.fill();
    } catch (error) {
      this.#sayError(error);
    }
  }

  async skip() {
    const item = this.#bench.item;
    if (!item || this.#busy || this.#feedbackShown()) return;
    if (item.corrects) return this.say("last.no_skip");
    const reason = await this.dialogs.skip();
    if (!reason || this.#bench.item !== item) return;
    this.#busy = true;
    const { comment } = this.#marks;
    if (comment) this.#outbox.add("/api/comments", { comment_id: newId(), assignment_id: item.id, text: comment });
    const { answer, soon } = this.#outbox.add("/api/skips", { skip_id: newId(), assignment_id: item.id, reason });
    const first = await soon;
    this.#busy = false;
    if (first === "offline") answer.catch((error) => this.#sayError(error));
    if (first instanceof Refused) this.#sayError(first);
    else this.say("last.skipped");
    this.#remember(item, null);
    this.#next(item);
  }

  flag() {
    const { item } = this.#bench;
    if (!item) return;
    const flagged = !this.#marks.flagged;
    this.#marks.change(item, { flagged });
    this.say(flagged ? "last.flagged" : "last.unflagged");
  }

  async remark() {
    const item = this.#bench.item;
    if (!item) return;
    const comment = await this.dialogs.comment(this.#marks.comment);
    if (comment === null || this.#bench.item !== item) return;
    this.#marks.change(item, { comment });
    this.say(comment ? "last.commented" : "last.comment_removed");
  }

  choose(real) {
    const { item } = this.#bench;
    if (item?.blind) this.#marks.change(item, { choice: real });
  }

  /** Where nothing was left: there may be something by now. */
  look() {
    if (this.queue.nothingLeft) this.queue.fill();
  }

  /** While a reviewer looks at something else on the bench, what is held stays held and is not shown. */
  pause(isPaused) {
    if (this.#paused === isPaused) return;
    this.#paused = isPaused;
    if (isPaused) this.#bench.empty();
    else if (this.queue.current || this.queue.nothingLeft) this.#showCurrent();
  }

  /** Put the queue's first item on the bench as soon as its two pictures are there. */
  #showCurrent() {
    if (this.#signal.aborted || this.#paused) return; // another tab shows the items now, or something else is looked at
    const item = this.queue.current;
    find(this.#root, "bench").dataset.ready = String(this.queue.items.filter((held) => held.isReady).length);
    const empty = find(this.#root, "empty");
    empty.hidden = !this.queue.nothingLeft;
    if (this.queue.nothingLeft) find(this.#root, "empty-text").textContent = t(`nothing.${this.queue.reason || "done"}`);
    const retake = find(this.#root, "retake");
    retake.hidden = this.queue.retakesLeft === 0;
    retake.textContent = t("nothing.retake", { count: this.queue.retakesLeft });
    find(this.#root, "loading").hidden = Boolean(this.#bench.item && this.#bench.item === item) || this.queue.nothingLeft;
    if (!item) return this.#nothing();
    if (this.#bench.item === item) return;
    if (item.isReady) return this.#put(item);
    item.pair().then(() => this.queue.current === item && this.#bench.item !== item && this.#put(item), () => {
      setTimeout(() => this.queue.current === item && this.#showCurrent(), PICTURE_RETRY_MS);
    });
  }

  #put(item) {
    if (this.#paused) return;
    find(this.#root, "loading").hidden = true;
    this.#bench.show(item);
    drawItem(this.#root, item);
    this.#marks.clear();
    this.#marks.load(item);
    drawCorrecting(this.#root, item);
  }

  #nothing() {
    if (this.#bench.item) {
      this.#bench.empty();
      drawItem(this.#root, null);
      drawCorrecting(this.#root, null);
    }
  }

  async #heartbeat(onLost = () => this.say("last.lease_lost")) {
    const ids = this.queue.ids();
    if (ids.length === 0) return this.queue.fill(); // what others held may be free by now
    try {
      const { assignment_ids: alive } = await this.#api.post("/api/heartbeat", { assignment_ids: ids });
      const kept = new Set(alive);
      for (const item of [...this.queue.items]) if (!kept.has(item.id)) this.#lost(item, onLost);
      if (kept.size < ids.length) await this.queue.fill();
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
    }
  }

  #lost(item, onLost) {
    const wasShown = this.#bench.item === item;
    this.queue.leave(item);
    if (!wasShown) return;
    onLost();
    this.#marks.clear();
    this.#showCurrent();
  }

  /** The vote in hand was refused: say why, and go on with another item. */
  #refused(item, error) {
    this.#sayError(error);
    this.#next(item);
  }

  #sayError(error) {
    this.#write(reason(error));
  }

  say(key, values) {
    this.#write(t(key, values));
  }

  /** Say what became of a level, or of an answer about a pair. */
  #sayLevel(key, level, item) {
    this.say(item.paired ? `pair.${key}` : key, { level: inWords(level, item.paired) });
  }

  #write(text) {
    this.#tell(); // in the order in which it happened
    find(this.#root, "last").replaceChildren(el("span", { text }));
  }

  #noteStage() {
    const note = find(this.#root, "stage-note");
    note.hidden = this.stageName === "work";
    note.textContent = this.stageName === "work" ? "" : t(`stage.${this.stageName}`);
  }
}
