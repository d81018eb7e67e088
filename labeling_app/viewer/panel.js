// The panel beside the pictures, and the header's figures.

import { answerOf, answers, inWords } from "./answers.js";
import { afterPaint, clear, el, find, write } from "./dom.js";
import { emptyCanvas } from "./images.js";
import { duration, number, reasonText, t } from "./texts.js";

const THUMB_WIDTH = 384; // device pixels of the longer side: sharp up to twice the width it has in the panel
const RETRY_MS = 2000;

/** Return an example of `level` at 1:1 with the fault in its middle: the real and the made picture take turns. */
export function example(base, level, number = 1) {
  const picture = (kind) => el("img", { class: kind, src: `${base}/examples/level-${level}-${number}-${kind}.webp`, alt: "", width: 200, height: 150 });
  return el("span", { class: "example-image", role: "img", "aria-label": t("levels.example", { level }) }, picture("real"), picture("made"));
}

export function drawLevels(root, base, onRate, paired) {
  root.querySelector("[data-mode=side]").hidden = paired; // two predictions are side by side anyway
  const kind = paired ? "pair" : "level";
  const buttons = answers(paired).map((level) =>
    el("button", { type: "button", class: "level", data: { action: `rate${level}`, level }, onclick: () => onRate(level) },
      el("kbd", { data: { key: `rate${level}` } }),
      el("span", { class: "level-text" },
        el("b", { text: t(`${kind}.${level}.name`) }),
        el("span", { text: t(`${kind}.${level}.text`) })),
      paired ? null : example(base, level)),
  );
  clear(find(root, "levels")).append(...buttons);
}

export function drawProgress(root, progress) {
  write(find(root, "done"), number(progress.done));
  write(find(root, "target"), t("progress.of", { target: number(progress.target) }));
  const bar = find(root, "progress");
  bar.max = Math.max(1, progress.target);
  bar.value = Math.min(progress.done, bar.max);
  write(find(root, "rate"), progress.votes_per_hour ? t("progress.rate", { rate: number(progress.votes_per_hour) }) : "");
  write(find(root, "left"), progress.seconds_left ? t("progress.left", { time: duration(progress.seconds_left) }) : "");
}

/** Say what the server and the browser hold: votes not yet sent, and whether the server answers. */
export function drawUnsent(root, { unsent, offline, isLate }) {
  const note = find(root, "unsent");
  note.hidden = unsent === 0 || !(offline || isLate);
  if (!note.hidden) write(note, t(unsent === 1 ? "unsent.one" : "unsent.many", { count: unsent }));
  const banner = find(root, "offline");
  banner.hidden = !offline;
  write(banner, offline ? t("offline.text", { count: unsent }) : "");
}

export function drawItem(root, item) {
  find(root, "bench").dataset.assignmentId = item ? item.id : "";
  const facts = item && { resolution: item.resolution, width: item.width, height: item.height, interval: item.interval };
  write(find(root, "facts"), item ? t("bench.facts", facts) : "");
  find(root, "blind").hidden = !item?.blind;
  write(find(root, "question"), t(item?.paired ? "pair.question" : item?.blind ? "levels.question_blind" : "levels.question"));
  for (const button of root.querySelectorAll("[data-level]")) button.disabled = !item;
  for (const name of ["skip", "flag", "comment"]) root.querySelector(`.actions [data-action=${name}]`).disabled = !item;
  drawThumbs(root, item);
}

/** Say that the item on the bench was rated or skipped before and is being corrected. */
export function drawCorrecting(root, item) {
  const note = find(root, "correcting");
  note.hidden = !item?.corrects;
  if (note.hidden) return;
  const level = answerOf(item.was);
  if (level === null) write(find(root, "correcting-text"), t("correct.skipped", { reason: reasonText(item.was.reason) }));
  else if (item.paired) write(find(root, "correcting-text"), t("pair.was", { level: inWords(level, true) }));
  else write(find(root, "correcting-text"), t("correct.rated", { level }));
}

function drawThumbs(root, item) {
  const holders = [find(root, "thumb-0"), find(root, "thumb-1")];
  const isShown = () => find(root, "bench").dataset.assignmentId === String(item?.id ?? "");
  afterPaint(async () => { // the compared pair is painted first
    if (!isShown()) return;
    if (!item?.hasInputs) holders.forEach(clear);
    const pictures = await item?.inputs().catch(() => null);
    if (!item || !isShown()) return;
    if (!pictures) return setTimeout(() => isShown() && drawThumbs(root, item), RETRY_MS); // the server is away
    pictures.map(thumbnail).forEach((canvas, index) => {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", t(index ? "inputs.after" : "inputs.before"));
      clear(holders[index]).append(canvas);
    });
  });
}

/** A small copy: every repaint of the panel would scale the large picture down anew. */
function thumbnail(picture) {
  const scale = THUMB_WIDTH / Math.max(picture.width, picture.height);
  const small = emptyCanvas(Math.ceil(picture.width * scale), Math.ceil(picture.height * scale));
  const context = small.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, small.width, small.height);
  return small;
}

export function drawFeedback(root, feedback) {
  const section = find(root, "feedback");
  section.hidden = !feedback;
  if (!feedback) return;
  section.dataset.close = String(feedback.within_one);
  find(root, "feedback-text").textContent = t(feedbackKey(feedback), {
    given: feedback.given_level,
    expected: feedback.expected_level,
    definition: ownNote(feedback) ?? t(`level.${feedback.expected_level}.text`),
  });
  find(root, "feedback-next").focus();
}

/** The note written for this very item; the server's general sentence starts with the level and is English only. */
function ownNote({ expected_level: expected, sentence }) {
  return sentence.startsWith(`${expected} `) ? null : sentence;
}

function feedbackKey({ given_level: given, expected_level: expected }) {
  if (given === expected) return "feedback.same";
  return Math.abs(given - expected) === 1 ? "feedback.near" : "feedback.far";
}
