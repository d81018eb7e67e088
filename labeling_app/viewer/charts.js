// Small charts as SVG: bars, intervals, a curve, a table of counts. Each has its numbers as text for screen readers.

import { svg } from "./dom.js";
import { number } from "./texts.js";

const WIDTH = 420;

function chart(height, label, ...nodes) {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "chart", role: "img", "aria-label": label }, ...nodes);
}

const text = (x, y, content, options = {}) => svg("text", { x, y, text: content, class: "label", ...options });

/** Vertical bars with their counts on top: entries [[name, value]]. */
export function bars(entries, label) {
  const most = Math.max(1, ...entries.map(([, value]) => value));
  const step = WIDTH / entries.length;
  const nodes = entries.flatMap(([name, value], index) => {
    const height = (value / most) * 120;
    const middle = index * step + step / 2;
    return [
      svg("rect", { x: index * step + step * 0.16, y: 146 - height, width: step * 0.68, height, class: "column" }),
      text(middle, 140 - height, number(value), { "text-anchor": "middle" }),
      text(middle, 166, name, { "text-anchor": "middle" }),
    ];
  });
  return chart(174, `${label}: ${entries.map(([name, value]) => `${name} ${value}`).join(", ")}`, ...nodes);
}

/** Values with their intervals on a scale from `low` to `high`: entries [{name, value, low, high}]. */
export function intervals(entries, label, [low, high]) {
  const left = 150;
  const at = (value) => left + ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (WIDTH - left - 52);
  const bottom = entries.length * 26 + 10;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => low + share * (high - low)).flatMap((value) => [
    svg("line", { x1: at(value), x2: at(value), y1: 4, y2: bottom, class: "grid" }),
    text(at(value), bottom + 14, number(value, 1), { "text-anchor": "middle" }),
  ]);
  const nodes = entries.flatMap(({ name, value, low: from, high: to }, index) => {
    const y = index * 26 + 17;
    const row = [text(0, y + 4, name)];
    if (value === null) return [...row, text(left, y + 4, "–")];
    if (from !== null) row.push(svg("line", { x1: at(from), x2: at(to), y1: y, y2: y, class: "range" }));
    row.push(svg("circle", { cx: at(value), cy: y, r: 4.5, class: "dot" }));
    row.push(text(WIDTH, y + 4, number(value, 2), { "text-anchor": "end" }));
    return row;
  });
  const spoken = entries.map(({ name, value }) => `${name} ${value === null ? "–" : number(value, 2)}`).join(", ");
  return chart(bottom + 20, `${label}: ${spoken}`, ...grid, ...nodes);
}

/** A growing total over days: entries [[day, total]], and the total wanted as a line. */
export function curve(entries, wanted, label) {
  const most = Math.max(1, wanted, ...entries.map(([, total]) => total));
  const x = (index) => 10 + (entries.length > 1 ? (index / (entries.length - 1)) * (WIDTH - 20) : 0);
  const y = (total) => 140 - (total / most) * 120;
  const points = entries.map(([, total], index) => `${x(index)},${y(total)}`).join(" ");
  const nodes = [
    svg("line", { x1: 0, x2: WIDTH, y1: y(wanted), y2: y(wanted), class: "wanted" }),
    text(WIDTH, y(wanted) - 5, number(wanted), { "text-anchor": "end" }),
    svg("line", { x1: 0, x2: WIDTH, y1: 140, y2: 140, class: "grid" }),
    svg("polyline", { points, class: "curve" }),
    ...entries.map(([, total], index) => svg("circle", { cx: x(index), cy: y(total), r: 3, class: "dot" })),
  ];
  if (entries.length > 0) nodes.push(text(10, 160, entries[0][0]));
  if (entries.length > 1) nodes.push(text(WIDTH - 10, 160, entries.at(-1)[0], { "text-anchor": "end" }));
  return chart(168, `${label}: ${entries.map(([day, total]) => `${day} ${total}`).join(", ")}`, ...nodes);
}

/** A square table of counts, darker where more; rows are the first's levels, columns the second's. */
export function matrix(counts, label) {
  const most = Math.max(1, ...counts.flat());
  const cell = 34;
  const nodes = counts.flatMap((row, i) =>
    row.flatMap((count, j) => [
      svg("rect", { x: 26 + j * cell, y: 20 + i * cell, width: cell - 2, height: cell - 2, rx: 3, class: "cell", "fill-opacity": 0.12 + 0.88 * (count / most) }),
      text(26 + j * cell + cell / 2 - 1, 20 + i * cell + 21, number(count), { "text-anchor": "middle", class: count / most > 0.55 ? "label dark" : "label light" }),
    ]),
  );
  for (let level = 1; level <= counts.length; level += 1) {
    nodes.push(text(26 + (level - 0.5) * cell, 13, String(level), { "text-anchor": "middle" }));
    nodes.push(text(8, 20 + (level - 0.5) * cell + 4, String(level)));
  }
  const size = 26 + counts.length * cell;
  const node = svg("svg", { viewBox: `0 0 ${size} ${size - 4}`, class: "chart matrix", role: "img", "aria-label": label }, ...nodes);
  return node;
}
