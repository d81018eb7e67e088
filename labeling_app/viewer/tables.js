// Plain tables and headings of the pages beside the bench.

import { el } from "./dom.js";

/** A table: columns are texts, rows lists of texts or nodes. Texts from people are only ever text. */
export function table(columns, rows, testid) {
  const head = el("tr", {}, ...columns.map((column) => el("th", { scope: "col", text: column })));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof Node ? el("td", {}, cell) : el("td", { text: String(cell) })))));
  return el("div", { class: "table-box", tabindex: 0 }, el("table", { data: { testid } }, el("thead", {}, head), el("tbody", {}, ...body)));
}

export function card(title, ...nodes) {
  return el("section", { class: "card" }, el("h2", { text: title }), ...nodes);
}

/** A large figure with what it means under it. */
export function figure(value, meaning, testid) {
  return el("div", { class: "figure" }, el("b", { text: value, data: { testid } }), el("span", { text: meaning }));
}
