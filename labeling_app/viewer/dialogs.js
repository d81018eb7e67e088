// Dialogs: help, skip, comment, settings. While one is open, no hotkey works.

import { answerOf, answers, inWords, told, toLead } from "./answers.js";
import { clear, el, find } from "./dom.js";
import { canBeKey, DEFAULT_KEYS, keyNames, printed } from "./keys.js";
import { dateTime, fillLanguages, reasonText, t } from "./texts.js";

export const SKIP_REASONS = ["same_frames", "scene_cut", "broken_picture", "unsure", "other"];

const EXAMPLES = [1, 2, 3]; // of each level, from two clips
const UNPAIRED = ["rate4", "side", "realA", "realB"]; // keys that do nothing where pairs are compared

export class Dialogs {
  #root;
  #dialog;

  constructor(root, examples, paired) {
    this.#root = root;
    this.paired = paired;
    this.examples = examples;
    this.#dialog = find(root, "dialog");
    const elsewhere = find(root, "elsewhere");
    elsewhere.addEventListener("close", () => elsewhere.showModal()); // Escape is no way on
    find(root, "elsewhere-here").addEventListener("click", () => location.reload());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Say that another tab has the bench; the only way on is to take it back. */
  elsewhere() {
    if (!find(this.#root, "elsewhere").open) find(this.#root, "elsewhere").showModal();
  }

  /** Open with a title, nodes and buttons [[value, text key, isMain]]; resolves with the value, "" when dismissed. */
  #ask(title, nodes, buttons) {
    find(this.#root, "dialog-title").textContent = title;
    clear(find(this.#root, "dialog-body")).append(...nodes);
    const row = clear(find(this.#root, "dialog-buttons"));
    for (const [value, key, isMain] of buttons) {
      row.append(el("button", { value, type: "submit", class: isMain ? "main" : null, text: t(key), data: { answer: value } }));
    }
    this.#dialog.showModal();
    this.#dialog.scrollTop = 0; // the focus is on a button below
    // Not the close event: it comes a task later, when a fast hand may have opened the next dialog already.
    const form = this.#dialog.querySelector("form");
    return new Promise((resolve) => {
      const finish = (answer) => {
        form.onsubmit = this.#dialog.oncancel = null;
        this.#dialog.close();
        // Until the next frame the hidden field would still get the keys: they are the bench's from now on.
        if (this.#dialog.contains(document.activeElement)) document.activeElement.blur();
        resolve(answer);
      };
      form.onsubmit = (event) => {
        event.preventDefault();
        finish(event.submitter?.value ?? "");
      };
      this.#dialog.oncancel = () => finish("");
    });
  }

  /** Resolves with the reason's id, or null. */
  async skip() {
    const choices = SKIP_REASONS.map((reason, index) => {
      const button = el("button", { value: reason, type: "submit", class: "choice", data: { answer: reason } });
      button.append(el("kbd", { text: String(index + 1) }), t(`skip.${reason}`));
      return button;
    });
    const list = el("div", { class: "choices" }, ...choices);
    const pick = (event) => choices[Number(keyNames(event)[0]) - 1]?.click();
    this.#dialog.addEventListener("keydown", pick);
    const answer = await this.#ask(t("skip.title"), [list], [["", "dialog.cancel"]]);
    this.#dialog.removeEventListener("keydown", pick);
    return answer || null;
  }

  /** Resolves with the text, or null when dismissed. */
  async comment(present) {
    const area = el("textarea", { rows: 4, maxlength: 2000, "aria-label": t("comment.title"), data: { id: "comment-text" } });
    area.value = present;
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#dialog.querySelector("[data-answer=save]").click();
    });
    const answer = await this.#ask(t("comment.title"), [el("p", { text: t("comment.hint") }), area], [
      ["", "dialog.cancel"],
      ["save", "dialog.save", true],
    ]);
    return answer === "save" ? area.value.trim() : null;
  }

  /** Show what was rated and skipped last. Resolves with the entry to correct, or null. */
  async history(entries) {
    const rows = entries.map((entry, index) => {
      const level = answerOf(entry);
      const said = level === null ? t("history.skipped") : entry.worse ? inWords(level, true) : t("history.level", { level });
      const notes = [entry.flagged ? t("history.flagged") : "", entry.comment ?? "", level === null ? reasonText(entry.reason) : "", entry.counted || level === null ? "" : t("history.surplus")];
      const button = el("button", { value: String(index), type: "submit", class: "choice history-entry", data: { answer: String(index) } });
      const { images } = entry.item;
      button.append(
        el("img", { src: images.pred ?? images.a ?? images.left, alt: "", loading: "lazy", width: 96, height: 54 }),
        el("b", { text: said }),
        el("span", { class: "muted", text: dateTime(entry.created_at) }),
        el("span", { class: "history-notes", text: notes.filter(Boolean).join(" · ") }));
      return button;
    });
    const list = el("div", { class: "choices history", data: { testid: "history" } }, ...rows);
    const hint = el("p", { class: "muted", text: t(rows.length ? "history.hint" : "history.empty") });
    const answer = await this.#ask(t("history.title"), [hint, list], [["", "dialog.close"]]);
    return answer === "" ? null : entries[Number(answer)];
  }

  /** Show what a step of the lead would change. Resolves with what is to be added to the order, or null. */
  async preview(order, { items, votes, people, replaced, too_few_people: few }) {
    const words = el("input", { maxlength: 2000, placeholder: t("desk.reason"), "aria-label": t("desk.reason"), data: { id: "desk-reason" } });
    words.value = order.reason ?? "";
    const lines = [
      told(`desk.preview.${stepName(order)}`, this.paired, { items, votes, person: order.person ?? "", level: this.paired && order.level ? toLead(order.level, true) : order.level ?? "" }),
      ...Object.entries(people).map(([name, count]) => t("desk.preview.person", { name, count })),
      replaced ? t("desk.preview.replaced", { count: replaced }) : "",
    ];
    const answer = await this.#ask(t("desk.preview.title"), [
      ...lines.filter(Boolean).map((text) => el("p", { text })),
      few ? el("p", { class: "warn", role: "alert", text: t("desk.preview.too_few", { count: few }) }) : null,
      words,
    ].filter(Boolean), [["", "dialog.cancel"], ["go", "desk.preview.go", true]]);
    return answer === "go" ? { reason: words.value } : null;
  }

  async help(keys) {
    const meant = Object.keys(DEFAULT_KEYS).filter((action) => !this.paired || !UNPAIRED.includes(action));
    const rows = meant.map((action) =>
      el("div", { class: "key-row" }, el("kbd", { text: printed(keys.map[action]) }), el("span", { text: this.#doing(action) })),
    );
    const levels = answers(this.paired).map((level) => this.#explained(level));
    await this.#ask(t("help.title"), [
      el("p", { text: t(this.paired ? "pair.task" : "help.task") }),
      el("p", { class: "warn", text: t("help.flashes") }),
      this.paired ? null : el("p", { class: "muted", text: t("help.examples") }),
      el("div", { class: "examples" }, ...levels),
      el("h3", { text: t("help.keys") }),
      el("div", { class: "key-table" }, ...rows),
      el("p", { class: "muted", text: t("help.fixed") }),
    ].filter(Boolean), [["", "dialog.close", true]]);
  }

  /** What a key does. */
  #doing(action) {
    const [, answer] = this.paired ? action.match(/^rate(\d)$/) ?? [] : [];
    return answer ? inWords(answer, true) : t(`keys.${action}`);
  }

  /** What a level or an answer means, with an example of a level. */
  #explained(level) {
    const kind = this.paired ? "pair" : "level";
    const words = el("figcaption", {}, el("b", { text: t(`${kind}.${level}.name`) }), " ", t(`${kind}.${level}.text`));
    const pictures = this.paired ? [] : EXAMPLES.map((number) => this.examples(level, number));
    return el("figure", { class: "example" }, ...pictures, words);
  }

  /** Let the annotator choose keys, language and theme. Resolves with the new settings, or null. */
  async settings(keys, theme) {
    const themes = el("select", { "aria-label": t("settings.theme"), data: { id: "theme" } }, ...["dark", "light"].map((value) => el("option", { value, text: t(`settings.theme.${value}`) })));
    themes.value = theme;
    const languages = el("select", { "aria-label": t("settings.language"), data: { id: "language" } });
    await fillLanguages(languages);
    const table = el("div", { class: "key-table" });
    const note = el("p", { class: "muted", role: "status", text: t("settings.keys_hint") });
    const draw = () => clear(table).append(...Object.keys(DEFAULT_KEYS).map((action) => this.#keyRow(action, keys, draw, note)));
    draw();
    const reset = el("button", { type: "button", text: t("settings.reset"), onclick: () => {
      for (const [action, name] of Object.entries(DEFAULT_KEYS)) keys.remap(action, name);
      draw();
    } });
    const answer = await this.#ask(t("settings.title"), [
      el("label", { class: "field" }, el("span", { text: t("settings.language") }), languages),
      el("label", { class: "field" }, el("span", { text: t("settings.theme") }), themes),
      el("h3", { text: t("help.keys") }), note, table, reset,
    ], [["", "dialog.cancel"], ["save", "dialog.save", true]]);
    return answer === "save" ? { language: languages.value, theme: themes.value, keys: keys.changes() } : null;
  }

  #keyRow(action, keys, redraw, note) {
    const button = el("button", { type: "button", class: "key-button", text: printed(keys.map[action]), data: { remap: action } });
    button.setAttribute("aria-label", `${t(`keys.${action}`)}: ${printed(keys.map[action])}`);
    button.addEventListener("click", () => {
      button.textContent = t("settings.press");
      button.addEventListener("blur", redraw, { once: true });
    });
    button.addEventListener("keydown", (event) => {
      if (button.textContent !== t("settings.press") || event.isComposing) return;
      const [name] = keyNames(event);
      if (name === "Tab" || name === "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      if (["Shift", "Control", "Alt", "Meta", "AltGraph"].includes(name)) return;
      if (canBeKey(name)) keys.remap(action, name);
      else note.textContent = t("settings.taken", { key: printed(name) });
      redraw();
      button.ownerDocument.querySelector(`[data-remap="${action}"]`)?.focus();
    });
    return el("div", { class: "key-row" }, button, el("span", { text: t(`keys.${action}`) }));
  }
}

/** A step of the lead as the texts call it. */
function stepName({ action, to, level }) {
  if (action === "ask_again") return `ask_again_${to}`;
  return action === "gold" && !level ? "ungold" : action;
}
