// The page's texts: one JSON file per language, looked up by key.

import { at } from "./project.js";

let table = {};
let language = "en";

/** Load the texts of `wanted` ("en", "de"); the server falls back to English for a language it has not. */
export async function loadTexts(wanted) {
  const reply = await fetch(at(`/texts/${encodeURIComponent(wanted)}.json`));
  table = await reply.json();
  language = table["language.code"];
}

/** Fill a select with the languages there are, by their own names, the present one chosen. */
export async function fillLanguages(select) {
  const names = await (await fetch(at("/texts"))).json();
  select.replaceChildren(...Object.entries(names).map(([code, name]) => new Option(name, code)));
  select.value = language;
  return select;
}

/** Return the text of `key`, with {name} replaced from `values`; the key itself where there is none. */
export function t(key, values = {}) {
  const text = table[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function hasText(key) {
  return key in table;
}

/** Return why a request failed; in the server's own words only where it gave a code without a text. */
export function reason(error) {
  if (error.status === undefined) return t("page.unreachable");
  const key = `refused.${error.code}`;
  return hasText(key) ? t(key) : t("error.other", { message: error.message });
}

/** Return the words for why an item was skipped: the page's own reasons by their text, others as they are. */
export function reasonText(reason) {
  return hasText(`skip.${reason}`) ? t(`skip.${reason}`) : (reason ?? "");
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

export function percent(value) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(value);
}

export function dateTime(value) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));
}

/** Return "1 h 20 min" or "3 min" for a time left. */
export function duration(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return t("time.minutes", { minutes });
  return t("time.hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

/** Write the texts into every element that names one: data-text, data-label (aria-label and title). */
export function applyTexts(root) {
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of root.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
    if (node.tagName === "BUTTON") node.title = t(node.dataset.label);
  }
}
