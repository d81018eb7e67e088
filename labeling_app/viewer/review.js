// The reviewer's queue: triplets whose votes lie two levels apart or more. Each is judged on the bench, at 1:1.

import { inWords, told } from "./answers.js";
import { clear, el } from "./dom.js";
import { card, table } from "./tables.js";
import { dateTime, number, t } from "./texts.js";

export async function showReview(view, api, session, { inspector }) {
  const { pairs } = session.options;
  clear(view).append(el("p", { class: "muted", role: "status", text: t("page.loading") }));
  let queue;
  try {
    queue = await api.get("/api/review?limit=50");
  } catch {
    clear(view).append(el("p", { role: "alert", text: t("page.unreachable") }));
    return;
  }
  if (view.hidden) return; // left before the answer came
  inspector.line = queue.items.map((item) => item.item_id);
  inspector.back = "review";
  clear(view).append(
    el("div", { class: "page-head" }, el("h2", { text: t("nav.review") }),
      el("span", { class: "muted", text: t("review.waiting", { count: number(queue.total) }), data: { testid: "review-total" } })),
    queue.items.length === 0 ? el("p", { text: told("review.empty", pairs) }) : el("p", { class: "muted", text: told("review.hint", pairs) }),
    ...queue.items.map(reviewCard));
}

function reviewCard(item) {
  const judge = el("a", { class: "button", href: `#item-${item.item_id}`, text: t("review.judge") });
  const picture = el("img", { class: "review-thumb", src: item.images.pred, alt: "", loading: "lazy", width: 160, height: 90 });
  const node = card(t("bench.facts", item), el("p", { class: "muted path", text: item.triplet_id }),
    el("div", { class: "review-row" }, picture, votes(item)), judge);
  node.dataset.testid = "review-item";
  return node;
}

function votes(item) {
  const columns = ["annotator", item.paired ? "answer" : "level", "seconds", "flagged", "comment", "time"].map((column) => t(`review.column.${column}`));
  const rows = item.votes.map((vote) => [
    vote.annotator,
    inWords(vote.level, item.paired),
    vote.seconds === null ? "–" : t("stats.seconds", { seconds: number(vote.seconds, 1) }),
    vote.flagged ? t("review.yes") : "",
    vote.comment ?? "",
    dateTime(vote.created_at),
  ]);
  return table(columns, rows, "review-votes");
}
