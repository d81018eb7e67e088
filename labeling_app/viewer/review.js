// The reviewer's queue: triplets whose votes lie two levels apart or more. The verdict is an event of its own.

import { clear, el, newId } from "./dom.js";
import { loadCanvas } from "./images.js";
import { card, table } from "./tables.js";
import { dateTime, number, reason, t } from "./texts.js";

let loads = new AbortController();

export async function showReview(view, api) {
  loads.abort();
  loads = new AbortController();
  const { signal } = loads;
  clear(view).append(el("p", { class: "muted", role: "status", text: t("page.loading") }));
  let queue;
  try {
    queue = await api.get("/api/review");
  } catch {
    clear(view).append(el("p", { role: "alert", text: t("page.unreachable") }));
    return;
  }
  clear(view).append(
    el("div", { class: "page-head" }, el("h2", { text: t("nav.review") }),
      el("span", { class: "muted", text: t("review.waiting", { count: number(queue.total) }), data: { testid: "review-total" } })),
    queue.items.length === 0 ? el("p", { text: t("review.empty") }) : el("p", { class: "muted", text: t("review.hint") }),
    ...queue.items.map((item) => reviewCard(item, api, signal, () => showReview(view, api))));
}

function reviewCard(item, api, signal, onDone) {
  const comment = el("input", { maxlength: 2000, placeholder: t("review.comment"), "aria-label": t("review.comment") });
  const gold = el("select", { "aria-label": t("review.gold") },
    ...["none", "gold", "training", "qualification"].map((purpose) => el("option", { value: purpose, text: t(`review.gold.${purpose}`) })));
  const note = el("p", { class: "muted", role: "status" });
  const decide = async (level) => {
    try {
      if (gold.value !== "none") await api.post("/api/gold", { gold_id: newId(), item_id: item.item_id, level, purpose: gold.value, note: comment.value });
      await api.post("/api/review", { verdict_id: newId(), item_id: item.item_id, level, comment: comment.value || null });
      onDone();
    } catch (error) {
      note.textContent = reason(error);
    }
  };
  const buttons = [1, 2, 3, 4].map((level) =>
    el("button", { type: "button", text: `${level} ${t(`level.${level}.name`)}`, title: t(`level.${level}.text`), data: { verdict: level }, onclick: () => decide(level) }));
  const node = card(t("bench.facts", item), el("p", { class: "muted path", text: item.triplet_id }),
    pictures(item, signal), votes(item),
    el("div", { class: "inline verdict", role: "group", "aria-label": t("review.verdict") }, el("b", { text: t("review.verdict") }), ...buttons, comment, gold), note);
  node.dataset.testid = "review-item";
  return node;
}

/** Real and made beside each other; pressing shows the one in the place of the other. */
function pictures(item, signal) {
  const box = el("div", { class: "review-pictures" });
  for (const role of ["gt", "pred"]) {
    const frame = el("figure", {}, el("figcaption", { text: t(`tag.${role}`) }));
    box.append(frame);
    loadCanvas(item.images[role], signal).then((canvas) => {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", t(`tag.${role}`));
      frame.prepend(canvas);
    }, () => {});
  }
  box.append(flicker(item, signal));
  return box;
}

/** Both pictures in one place at 1:1, changing while the pointer or a key is down. */
function flicker(item, signal) {
  const button = el("button", { type: "button", class: "flicker", "aria-label": t("review.flicker") });
  const caption = el("figcaption", { text: t("review.flicker") });
  const show = (index) => [...button.children].forEach((canvas, at) => (canvas.style.visibility = at === index ? "visible" : "hidden"));
  Promise.all(["pred", "gt"].map((role) => loadCanvas(item.images[role], signal))).then((pair) => {
    button.append(...pair);
    show(0);
  }, () => {});
  for (const event of ["pointerdown", "keydown"]) button.addEventListener(event, () => show(1));
  for (const event of ["pointerup", "pointerleave", "keyup", "blur"]) button.addEventListener(event, () => show(0));
  return el("figure", {}, button, caption);
}

function votes(item) {
  const columns = ["annotator", "level", "seconds", "flagged", "comment", "time"].map((column) => t(`review.column.${column}`));
  const rows = item.votes.map((vote) => [
    vote.annotator,
    vote.level,
    vote.seconds === null ? "–" : t("stats.seconds", { seconds: number(vote.seconds, 1) }),
    vote.flagged ? t("review.yes") : "",
    vote.comment ?? "",
    dateTime(vote.created_at),
  ]);
  return table(columns, rows, "review-votes");
}
