// The lead's list of all items: filtered, sorted, opened on the bench, and changed many at once.

import { answers, told, toLead } from "./answers.js";
import { clear, el, find, write } from "./dom.js";
import { carryOut } from "./steps.js";
import { table } from "./tables.js";
import { number, reason, t } from "./texts.js";

const SIZE = 50;
const STATUSES = ["open", "begun", "complete", "disputed", "decided", "gold"];
const COLUMNS = ["triplet_id", "resolution", "status", "level", "votes", "spread", "skipped", "flagged", "commented", "excluded", "motion", "score"];

// Kept while the page is open: coming back from the bench, the list is as it was.
const state = { where: {}, sort: "triplet_id", descending: false, page: 0, chosen: new Set() };

export async function showDesk(view, api, session, { dialogs, inspector }) {
  const paired = session.options.pairs;
  const note = el("p", { class: "muted", role: "status", data: { testid: "desk-note" } });
  const list = el("div", { data: { testid: "desk-list" } });
  const filters = el("form", { class: "inline filters", data: { testid: "desk-filters" } });
  const actions = el("div", { class: "inline", role: "group", "aria-label": t("desk.actions") });
  clear(view).append(el("div", { class: "page-head" }, el("h2", { text: t("nav.desk") }), el("span", { class: "muted", data: { testid: "desk-total", id: "desk-total" } })),
    filters, actions, note, list);
  let known = null;

  async function load() {
    const query = new URLSearchParams({ sort: state.sort, descending: state.descending, page: state.page, size: SIZE });
    for (const [key, value] of Object.entries(state.where)) query.append("where", `${key}=${value}`);
    try {
      const found = await api.get(`/api/desk?${query}`);
      if (!known) {
        known = found;
        drawFilters();
        drawActions();
      }
      if (view.hidden) return; // left before the answer came
      inspector.line = found.items.map((item) => item.item_id);
      inspector.people = found.people;
      inspector.back = "desk";
      draw(found);
    } catch (error) {
      write(note, reason(error));
    }
  }

  function drawFilters() {
    const select = (key, values, label) =>
      labelled(label, el("select", { name: key }, el("option", { value: "", text: t("desk.any") }), ...values.map(([value, text]) => el("option", { value, text }))));
    const plain = (values) => values.map((value) => [value, value]);
    const yes = [["yes", t("desk.yes")], ["no", t("desk.no")]];
    const input = (key, label, options = {}) => labelled(label, el("input", { name: key, size: 8, autocomplete: "off", ...options }));
    filters.append(
      select("status", STATUSES.map((status) => [status, t(`status.${status}`)]), "desk.status"),
      select("person", plain(known.people), "desk.person"),
      input("since", "desk.since", { type: "date" }), input("until", "desk.until", { type: "date" }),
      select("source", plain(known.sources), "desk.source"), select("resolution", plain(known.resolutions), "desk.tier"),
      input("level", "desk.level", { placeholder: "2-4" }), input("spread", "desk.spread", { placeholder: "2-" }),
      ...["skipped", "flagged", "commented", "excluded"].map((key) => select(key, yes, `desk.${key}`)),
      input("motion", "desk.motion", { placeholder: "8-" }), input("score", "desk.score", { placeholder: "1.5-2.5" }),
      el("button", { type: "submit", class: "main", text: t("desk.filter") }),
      el("button", { type: "reset", text: t("desk.reset") }));
    for (const control of filters.elements) if (control.name) control.value = state.where[control.name] ?? "";
  }

  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    state.where = Object.fromEntries([...new FormData(filters)].filter(([, value]) => value.trim() !== "").map(([key, value]) => [key, value.trim()]));
    state.page = 0;
    state.chosen.clear();
    load();
  });
  filters.addEventListener("reset", () => {
    state.where = {};
    state.page = 0;
    state.chosen.clear();
    setTimeout(load);
  });

  function drawActions() {
    const level = el("select", { "aria-label": t("desk.level") }, ...answers(paired).map((value) => el("option", { value, text: toLead(value, paired) })));
    const person = el("select", { "aria-label": t("desk.person") }, ...known.people.map((name) => el("option", { value: name, text: name })));
    const words = el("input", { maxlength: 2000, placeholder: t("review.comment"), "aria-label": t("review.comment") });
    const act = (key, order) => el("button", { type: "button", data: { step: key }, text: t(`desk.${key}`), onclick: () => step(order()) });
    actions.append(
      act("exclude", () => ({ action: "exclude" })), act("include", () => ({ action: "include" })),
      act("ask_others", () => ({ action: "ask_again", to: "others" })), act("ask_all", () => ({ action: "ask_again", to: "all" })),
      person, act("assign", () => ({ action: "assign", person: person.value })),
      level, act("decide", () => ({ action: "decide", level: Number(level.value) })),
      act("gold", () => ({ action: "gold", level: Number(level.value), purpose: "gold" })), act("ungold", () => ({ action: "gold", level: null })),
      words, act("note", () => ({ action: "note", reason: words.value })));
  }

  /** To the items that are ticked, or to all that fit the filters. */
  async function step(order) {
    const items = state.chosen.size > 0 ? { items: [...state.chosen] } : {};
    try {
      const outcome = await carryOut(api, dialogs, { ...order, where: state.where, ...items });
      if (!outcome) return;
      state.chosen.clear();
      await load();
      write(note, t("desk.done", outcome));
    } catch (error) {
      write(note, reason(error));
    }
  }

  function draw(found) {
    const parts = Object.entries(found.statuses).map(([status, count]) => `${number(count)} ${t(`status.${status}`)}`);
    write(find(view, "desk-total"), [t("desk.total", { count: number(found.total) }), ...parts].join(" · "));
    const pages = Math.max(1, Math.ceil(found.total / SIZE));
    const turn = (step) => {
      state.page += step;
      load();
    };
    const pager = el("div", { class: "inline" },
      el("button", { type: "button", disabled: state.page === 0, text: t("desk.back"), onclick: () => turn(-1) }),
      el("span", { text: t("desk.page", { page: state.page + 1, pages }) }),
      el("button", { type: "button", disabled: state.page >= pages - 1, text: t("desk.forward"), onclick: () => turn(1) }));
    const shown = table(["", ...COLUMNS.map((column) => told(`desk.column.${column}`, paired))], found.items.map(row), "desk-table");
    shown.querySelectorAll("th").forEach((head, index) => index > 0 && sortable(head, COLUMNS[index - 1]));
    clear(list).append(shown, pager);
  }

  function sortable(head, column) {
    const isSorted = state.sort === column;
    head.setAttribute("aria-sort", isSorted ? (state.descending ? "descending" : "ascending") : "none");
    const arrow = isSorted ? (state.descending ? " ▾" : " ▴") : "";
    const button = el("button", { type: "button", class: "plain", text: head.textContent + arrow, onclick: () => {
      state.descending = isSorted ? !state.descending : column !== "triplet_id";
      state.sort = column;
      state.page = 0;
      load();
    } });
    head.replaceChildren(button);
  }

  function row(item) {
    const tick = el("input", { type: "checkbox", "aria-label": item.triplet_id, onchange: (event) => (event.target.checked ? state.chosen.add(item.item_id) : state.chosen.delete(item.item_id)) });
    tick.checked = state.chosen.has(item.item_id);
    const open = el("a", { href: `#item-${item.item_id}`, text: item.triplet_id });
    const count = (value) => (value ? number(value) : "");
    const histogram = item.votes ? ` (${item.histogram.join(" · ")})` : "";
    return [tick, open, item.resolution, t(`status.${item.status}`), levelText(item.level),
      `${item.votes}/${item.wanted}${histogram}`, count(item.spread), count(item.skipped), count(item.flagged), count(item.commented), count(item.excluded),
      item.motion === null ? "–" : number(item.motion, 1), item.score === null ? "–" : number(item.score, 2)];
  }

  function levelText(level) {
    if (level === null) return "–";
    const isWhole = Number.isInteger(level);
    return paired && isWhole ? toLead(level, true) : number(level, isWhole ? 0 : 1);
  }

  await load();
}

function labelled(key, control) {
  return el("label", {}, el("span", { text: t(key) }), control);
}
