// The lead's look at one item on the bench, at 1:1 like everybody's: its votes, a verdict, and what else can be done.

import { answers, inWords } from "./answers.js";
import { clear, el, find, newId, write } from "./dom.js";
import { Item } from "./queue.js";
import { carryOut } from "./steps.js";
import { table } from "./tables.js";
import { dateTime, number, percent, reason, reasonText, t } from "./texts.js";

const PURPOSES = ["none", "gold", "training", "qualification"];

export class Inspector {
  #root;
  #api;
  #dialogs;
  #bench;
  #item = null;
  #opened = 0; // counts openings and closings: an answer that comes after the next of them is of another item

  constructor(root, api, dialogs, bench) {
    this.#root = root;
    this.#api = api;
    this.#dialogs = dialogs;
    this.#bench = bench;
    this.line = []; // ids of the list that was open before, to go on through it
    this.back = "desk"; // the view to go back to
    this.people = [];
  }

  get isOpen() {
    return this.#item !== null;
  }

  /** Show an item of the database; resolves when its panel is there. */
  async open(id) {
    this.close();
    const opened = this.#opened;
    this.#item = { item_id: id };
    find(this.#root, "bench").dataset.inspecting = "true";
    find(this.#root, "loading").hidden = false;
    find(this.#root, "empty").hidden = true;
    const panel = clear(find(this.#root, "inspect"));
    panel.append(el("p", { class: "muted", role: "status", text: t("page.loading") }));
    try {
      const found = await this.#api.get(`/api/desk/items/${id}`);
      if (this.#opened === opened) await this.#show(found);
    } catch (error) {
      if (this.#opened === opened) clear(panel).append(this.#head(), el("p", { role: "alert", text: reason(error) }));
    }
  }

  close() {
    this.#opened += 1;
    if (!this.#item) return;
    this.#item.shown?.drop();
    this.#item = null;
    delete find(this.#root, "bench").dataset.inspecting;
    this.#bench.empty();
    clear(find(this.#root, "inspect"));
  }

  async #show(found) {
    const shown = new Item({ ...found, assignment_id: `item-${found.item_id}`, blind: false });
    this.#item = { ...found, shown };
    this.#draw();
    await shown.pair();
    if (this.#item?.shown !== shown) return;
    find(this.#root, "loading").hidden = true;
    write(find(this.#root, "facts"), t("bench.facts", found));
    this.#bench.show(shown);
  }

  #head() {
    const place = this.line.indexOf(this.#item.item_id);
    const go = (step) => (location.hash = `item-${this.line[place + step]}`);
    return el("div", { class: "inspect-head" },
      el("button", { type: "button", data: { id: "inspect-back" }, text: t("inspect.back"), onclick: () => (location.hash = this.back) }),
      place > 0 ? el("button", { type: "button", text: t("inspect.previous"), onclick: () => go(-1) }) : null,
      place >= 0 && place < this.line.length - 1 ? el("button", { type: "button", text: t("inspect.next"), onclick: () => go(1) }) : null);
  }

  #draw() {
    const { row, votes, remarks } = this.#item;
    this.note = el("p", { class: "muted", role: "status", data: { testid: "inspect-note" } });
    this.words = el("input", { maxlength: 2000, placeholder: t("review.comment"), "aria-label": t("review.comment") });
    this.gold = el("select", { "aria-label": t("review.gold") }, ...PURPOSES.map((purpose) => el("option", { value: purpose, text: t(`review.gold.${purpose}`) })));
    const { paired } = this.#item;
    const kind = paired ? "pair" : "level";
    const levels = answers(paired).map((level) =>
      el("button", { type: "button", title: t(`${kind}.${level}.text`), data: { verdict: level }, onclick: () => this.decide(level) },
        el("kbd", { text: String(level) }), el("span", { text: t(`${kind}.${level}.name`) })));
    const isWhole = Number.isInteger(row.level);
    const level = row.level === null ? "–" : paired && isWhole ? inWords(row.level, true) : number(row.level, isWhole ? 0 : 1);
    clear(find(this.#root, "inspect")).append(
      this.#head(),
      el("p", { class: "muted path", text: this.#item.triplet_id }),
      el("p", { data: { testid: "inspect-status" }, text: t(paired ? "pair.status" : "inspect.status", { status: t(`status.${row.status}`), level, votes: row.votes, wanted: row.wanted }) }),
      this.#votes(votes),
      ...remarks.map((remark) => el("p", { class: "remark", text: remarkText(remark) })),
      el("h2", { text: t("review.verdict") }),
      el("div", { class: "verdicts", role: "group", "aria-label": t("review.verdict") }, ...levels),
      this.words, this.gold,
      el("h2", { text: t("inspect.more") }),
      this.#more(), this.note);
  }

  #votes(votes) {
    const { paired } = this.#item;
    const columns = ["annotator", paired ? "answer" : "level", "flagged", "seen", "comment"].map((column) => t(`review.column.${column}`));
    const rows = votes.map((vote) => [
      vote.excluded ? t("inspect.excluded", { name: vote.annotator }) : vote.annotator,
      vote.stage === "surplus" ? t("inspect.surplus", { level: inWords(vote.level, paired) }) : inWords(vote.level, paired),
      vote.flagged ? t("review.yes") : "",
      vote.seen_share === null ? "–" : percent(vote.seen_share),
      vote.comment ?? "",
    ]);
    return table(columns, rows, "inspect-votes");
  }

  #more() {
    const { item_id: id, votes } = this.#item;
    const names = [...new Set(votes.filter((vote) => !vote.excluded).map((vote) => vote.annotator))];
    const whose = el("select", { "aria-label": t("inspect.whose") }, el("option", { value: "", text: t("inspect.everybody") }), ...names.map((name) => el("option", { value: name, text: name })));
    const person = el("select", { "aria-label": t("desk.person") }, ...this.people.map((name) => el("option", { value: name, text: name })));
    const act = (key, order) => el("button", { type: "button", data: { step: key }, text: t(`desk.${key}`), onclick: () => this.#step({ items: [id], ...order() }) });
    const where = () => (whose.value ? { where: { person: whose.value } } : {});
    return el("div", { class: "inspect-actions" },
      whose, act("exclude", () => ({ action: "exclude", ...where() })),
      act("include", () => ({ action: "include" })),
      act("ask_others", () => ({ action: "ask_again", to: "others" })), act("ask_all", () => ({ action: "ask_again", to: "all" })),
      person, act("assign", () => ({ action: "assign", person: person.value })),
      act("note", () => ({ action: "note", reason: this.words.value })));
  }

  async #step(order) {
    const { note } = this;
    const item = this.#item;
    try {
      const outcome = await carryOut(this.#api, this.#dialogs, order);
      if (outcome) await this.#reload(item, t("desk.done", outcome));
    } catch (error) {
      write(note, reason(error));
    }
  }

  /** Give the item a level; the votes stay. Nothing before its panel is there: its comment could not be read. */
  async decide(level) {
    const { note } = this;
    const item = this.#item;
    if (!item.shown || !answers(item.paired).includes(level)) return;
    const { item_id: id } = item;
    const [comment, purpose] = [this.words.value, this.gold.value];
    try {
      if (purpose !== "none") await this.#api.post("/api/gold", { gold_id: newId(), item_id: id, level, purpose, note: comment });
      await this.#api.post("/api/review", { verdict_id: newId(), item_id: id, level, comment: comment || null });
      await this.#reload(item, t("inspect.decided", { level: inWords(level, item.paired) }));
    } catch (error) {
      write(note, reason(error));
    }
  }

  /** Read the votes of an item anew, unless another is open by now; its pictures stay where they are. */
  async #reload({ item_id: id, shown }, words) {
    if (this.#item?.shown !== shown) return;
    const found = await this.#api.get(`/api/desk/items/${id}`);
    if (this.#item?.shown !== shown) return;
    this.#item = { ...found, shown };
    this.#draw();
    write(this.note, words);
  }
}

function remarkText({ kind, person, text, level, created_at: at }) {
  const words = kind === "skip" ? reasonText(text) : text;
  return t(`remark.${kind}`, { person: person ?? "–", words, level: level ?? "", time: dateTime(at) });
}
