// Statistics: progress, agreement, and what to look at. Figures flag; a person decides.

import { answers, told, toLead } from "./answers.js";
import { bars, curve, intervals, matrix } from "./charts.js";
import { clear, el } from "./dom.js";
import { at } from "./project.js";
import { card, figure, table } from "./tables.js";
import { hasText, number, percent, t } from "./texts.js";

const shown = (value, write) => (value === null ? "–" : write(value));

export async function showStats(view, api, session) {
  clear(view).append(el("p", { class: "muted", role: "status", text: t("stats.loading") }));
  let stats;
  try {
    stats = await api.get("/api/stats");
  } catch {
    clear(view).append(el("p", { role: "alert", text: t("page.unreachable") }));
    return;
  }
  clear(view).append(
    el("div", { class: "page-head" }, el("h2", { text: t("nav.stats") }), session.role === "admin" ? exports() : null),
    figures(stats),
    el("div", { class: "cards" },
      card(told("stats.levels", stats.paired), bars(answers(stats.paired).map((level) => [toLead(level, stats.paired), stats.histogram[level - 1]]), told("stats.levels", stats.paired))),
      card(t("stats.alpha"), intervals(stats.alpha.map(alphaRow), t("stats.alpha"), [-1, 1]), el("p", { class: "muted", text: t("stats.alpha_hint") })),
      card(t("stats.progress"), curve(stats.days.map((day) => [day.day, day.total]), stats.votes_wanted, t("stats.progress"))),
    ),
    card(t("stats.annotators"), annotators(stats)),
    card(t("stats.pairs"), pairs(stats)),
  );
}

function figures(stats) {
  return el("div", { class: "figures" },
    figure(`${number(stats.items_full)} / ${number(stats.items)}`, t("stats.items_full")),
    figure(`${number(stats.votes)} / ${number(stats.votes_wanted)}`, t("stats.votes"), "stats-votes"),
    figure(shown(stats.alpha[0].alpha, (value) => number(value, 2)), t("stats.alpha_all")),
    figure(number(stats.disagreeing), told("stats.disagreeing", stats.paired), "stats-disagreeing"),
    figure([stats.flagged, stats.commented, Object.values(stats.skips).reduce((sum, count) => sum + count, 0)].map((count) => number(count)).join(" · "), t("stats.remarks"), "stats-remarks"),
    stats.excluded ? figure(number(stats.excluded), t("stats.excluded"), "stats-excluded") : null,
    stats.votes_removed ? figure(number(stats.votes_removed), t("stats.removed")) : null,
    forecast(stats.forecast),
  );
}

function forecast({ days_left: days, votes_per_day: rate, date }) {
  if (days === null) return figure("–", t("stats.forecast_none"), "stats-forecast");
  if (days === 0) return figure("0", t("stats.done"), "stats-forecast");
  return figure(number(Math.ceil(days)), t("stats.forecast", { rate: number(rate), date: date ?? "–" }), "stats-forecast");
}

function exports() {
  return el("div", { class: "group" },
    el("a", { class: "button", href: at("/api/export?format=csv"), download: "votes.csv", text: t("stats.export_csv") }),
    el("a", { class: "button", href: at("/api/export?format=csv&bom=true"), download: "votes.csv", text: t("stats.export_bom") }),
    el("a", { class: "button", href: at("/api/export?format=parquet"), download: "votes.parquet", text: t("stats.export_parquet") }),
  );
}

/** Groups come as "all", "resolution 256p", "source videos". */
function alphaRow({ group, alpha, low, high, items }) {
  const [kind, ...name] = group.split(" ");
  const label = name.length ? name.join(" ") : t("stats.all");
  return { name: `${kind === "all" ? t("stats.all") : label} (${number(items)})`, value: alpha, low, high };
}

function annotators(stats) {
  const columns = ["name", "flags", "votes", "rate", "median", "gap", "gold", "kappa", "repeats", "bias", "noise", "run", "levels", "remarks", "excluded"];
  const rows = stats.annotators.map((who) => [
    who.name,
    who.flags.map((flag) => (hasText(`flag.${flag}`) ? t(`flag.${flag}`) : flag)).join(", "),
    number(who.votes),
    shown(who.votes_per_hour, (value) => number(value)),
    shown(who.median_seconds, (value) => t("stats.seconds", { seconds: number(value, 1) })),
    shown(who.median_gap_seconds, (value) => t("stats.seconds", { seconds: number(value, 1) })),
    shown(who.gold_agreement, percent),
    shown(who.gold_kappa, (value) => number(value, 2)),
    shown(who.repeat_consistency, percent),
    shown(who.bias, (value) => number(value, 2)),
    shown(who.inconsistency, (value) => number(value, 2)),
    number(who.longest_run),
    who.histogram.map((count) => number(count)).join(" · "),
    [who.flagged, who.commented, who.skipped].map((count) => number(count)).join(" · "),
    number(who.excluded),
  ]);
  return table(columns.map((column) => told(`stats.column.${column}`, stats.paired)), rows, "annotators");
}

function pairs(stats) {
  if (stats.pairs.length === 0) return el("p", { class: "muted", text: t("stats.no_pairs") });
  return el("div", { class: "pairs" }, ...stats.pairs.map((pair) => {
    const title = `${pair.first} × ${pair.second}`;
    return el("figure", {},
      matrix(pair.confusion, title),
      el("figcaption", {}, el("b", { text: title }), el("span", { text: t("stats.pair", { kappa: shown(pair.kappa, (value) => number(value, 2)), items: number(pair.items) }) })));
  }));
}
