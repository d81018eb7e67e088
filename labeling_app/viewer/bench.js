// The comparison bench: the ways of looking at two pictures.

import { copyCanvas } from "./images.js";
import { heatMap, readsTrue } from "./heat.js";
import { Loupe } from "./loupe.js";
import { Loop } from "./motion.js";
import { Seen } from "./seen.js";
import { Stage } from "./stage.js";
import { find, write } from "./dom.js";
import { t } from "./texts.js";

export const MODES = ["flicker", "wipe", "side", "difference", "motion"];
const calm = matchMedia("(prefers-reduced-motion: reduce)"); // then nothing moves by itself
const FLASHES_HZ = 3; // WCAG 2.3.1: more than three flashes a second can trigger seizures
const ASSUMED_FRAME_SECONDS = 1 / 24; // where a source has no rate of its own

export class Bench {
  #root;
  #item = null;
  #shown = null; // what the current mode shows, to be stopped when it changes
  #held = false;
  #showsTruth = false; // in the place of two predictions
  #readsTrue = readsTrue();
  #mayMove = false; // asked for by a button of this item

  constructor(root) {
    this.#root = root;
    this.mode = "flicker";
    this.hz = 0;
    this.gain = 4;
    this.speed = 1;
    this.wipe = 0.5;
    this.dwell = {};
    this.stage = new Stage(root, () => {
      this.#describe();
      this.seen?.look();
    });
    this.stage.locked = (event) => this.mode === "wipe" && this.#wipeTo(event);
    this.loupe = new Loupe(find(root, "loupe"), this.stage, () => this.pictures(), () => this.#names());
    this.loop = new Loop();
    this.seen = new Seen(find(root, "map"), this.stage, () => this.#judges());
    this.#listen();
  }

  get item() {
    return this.#item;
  }

  /** Show an item whose pair is loaded, at 1:1. */
  show(item) {
    this.#item = item;
    this.dwell = {};
    this.#since = performance.now();
    this.shownAt = this.#since;
    this.#held = false;
    this.#mayMove = false;
    if (calm.matches) this.hz = 0;
    this.#heat = {};
    this.stage.viewport.reset(item.width, item.height);
    this.#enter();
    this.seen.begin(this.pictures()?.[1] ?? null, item);
  }

  empty() {
    this.loop.stop();
    this.#item = null;
    this.stage.setLayers([[], []]);
    this.loupe.hide();
    this.seen.begin(null);
  }

  /** A heat map, or a picture made small, says nothing about how bad a fault looks. */
  #judges() {
    return Boolean(this.#item) && this.mode !== "difference" && this.stage.scale >= 0.999;
  }

  #since = 0;
  #heat = {};

  /** The two compared canvases, pane A's first, or null. */
  pictures() {
    if (!this.#item) return null;
    const pair = this.#item.pairNames.map((name) => this.#item.canvases[name]);
    return pair.every(Boolean) ? pair : null;
  }

  setMode(mode) {
    this.#countDwell();
    this.mode = mode === "side" && this.#item?.paired ? "flicker" : mode; // two predictions are side by side there
    // WebKit leaves the focus on a line that is gone: the arrow keys would go on moving it.
    if (mode !== "wipe") find(this.#root, "wipe").blur();
    if (this.#item) this.#enter();
  }

  setHz(hz) {
    this.hz = this.hz === hz ? 0 : hz;
    this.setMode("flicker");
  }

  setGain(gain) {
    this.gain = gain;
    this.setMode("difference");
  }

  setSpeed(speed) {
    this.speed = speed;
    this.#mayMove = true;
    this.setMode("motion");
  }

  nextSpeed() {
    this.setSpeed({ 1: 0.5, 0.5: 0.25, 0.25: 1 }[this.speed]);
  }

  /** While held, the other picture is shown. */
  hold(held) {
    if (this.#held === held) return;
    this.#held = held;
    if (held && this.mode !== "flicker") this.setMode("flicker");
    else this.#flicker();
  }

  /** What is stored with a vote. */
  view() {
    this.#countDwell();
    return {
      mode: this.mode,
      zoom: this.stage.viewport.zoom,
      dwell_seconds: { ...this.dwell },
      device_pixel_ratio: devicePixelRatio * this.stage.pageZoom,
      window_width: innerWidth,
      window_height: innerHeight,
      seen_share: Math.round(this.seen.share * 1000) / 1000,
    };
  }

  #names() {
    if (this.#item?.paired) return (this.#showsTruth ? ["tag.gt", "tag.gt"] : ["tag.left", "tag.right"]).map((key) => t(key));
    return (this.#item?.blind ? ["blind.a", "blind.b"] : ["tag.gt", "tag.pred"]).map((key) => t(key));
  }

  #countDwell() {
    const now = performance.now();
    if (this.#item) this.dwell[this.mode] = (this.dwell[this.mode] ?? 0) + (now - this.#since) / 1000;
    this.#since = now;
  }

  #enter() {
    this.loop.stop();
    this.#showsTruth = false;
    if (this.mode === "side" && this.#item?.paired) this.mode = "flicker";
    this.#shown = this.pictures();
    if (!this.#shown) return;
    const enter = { flicker: this.#flicker, wipe: this.#wipe, side: this.#side, difference: this.#difference, motion: this.#motion };
    enter[this.mode].call(this);
    this.#describe();
  }

  #flicker() {
    if (!this.#item || this.mode !== "flicker") return;
    this.loop.stop();
    if (this.#item.paired) return this.#flickerBoth();
    this.#stack();
    const show = (name) => this.#reveal(name);
    show(this.#held ? "a" : "b");
    if (this.hz && !this.#held) this.loop.start(1 / (2 * this.hz), (step) => show(step % 2 ? "a" : "b"));
  }

  /** Two predictions side by side, and the truth in the place of both: while held, or by itself. */
  #flickerBoth() {
    const truths = this.#item.truths();
    this.stage.setLayers(this.#shown.map((canvas, index) => [canvas, truths[index]]));
    if (this.stage.node.dataset.arrange !== "side") this.stage.arrange("side");
    this.#reveal("both");
    const show = (isTruth) => {
      this.#showsTruth = isTruth;
      for (const canvas of this.#shown) canvas.style.visibility = isTruth ? "hidden" : "inherit";
      for (const canvas of truths) canvas.style.visibility = isTruth ? "inherit" : "hidden";
      this.stage.node.dataset.shown = isTruth ? "truth" : "both";
      this.#names().forEach((name, index) => write(this.stage.tags[index], name));
    };
    show(this.#held);
    if (this.hz && !this.#held) this.loop.start(1 / (2 * this.hz), (step) => show(step % 2 === 1));
  }

  #wipe() {
    this.#stack();
    this.#reveal("both");
    this.#placeWipe();
  }

  #side() {
    const [a, b] = this.#shown;
    this.stage.setLayers([[a], [b]]);
    this.stage.arrange("side");
    this.#reveal("both");
  }

  #difference() {
    const [a, b] = this.#shown;
    if (this.#item.paired) return this.#differences();
    this.#heat[this.gain] ??= heatMap(a, b, this.gain);
    this.stage.setLayers([[a], [this.#heat[this.gain]]]);
    this.stage.arrange("stack");
    this.#reveal("b");
  }

  /** Of two predictions, what each differs from the truth. */
  #differences() {
    const { gt } = this.#item.canvases;
    this.#heat[this.gain] ??= this.#shown.map((canvas) => heatMap(canvas, gt, this.gain));
    this.stage.setLayers(this.#heat[this.gain].map((map) => [map]));
    this.stage.arrange("side");
    this.#reveal("both");
  }

  #motion() {
    const item = this.#item;
    this.#side();
    item.inputs().then(() => this.mode === "motion" && this.#item === item && this.#play(item), () => {});
  }

  #play(item) {
    const { img0, img1 } = item.canvases;
    const rows = this.#shown.map((middle) => [copyCanvas(img0), middle, copyCanvas(img1)]);
    this.stage.setLayers(rows);
    this.stage.arrange("side");
    const seconds = (item.frame_seconds ?? ASSUMED_FRAME_SECONDS) / this.speed;
    const show = (step) => {
      for (const row of rows) row.forEach((canvas, index) => (canvas.style.visibility = index === step % 3 ? "inherit" : "hidden"));
      this.stage.node.dataset.frame = String(step % 3);
    };
    if (calm.matches && !this.#mayMove) show(1);
    else this.loop.start(seconds, show);
  }

  #stack() {
    const [a, b] = this.#shown;
    this.stage.setLayers([[a], [b]]);
    for (const canvas of [a, b]) canvas.style.visibility = "inherit";
    if (this.stage.node.dataset.arrange !== "stack") this.stage.arrange("stack");
  }

  /** Show pane "a", pane "b" or "both". Pane B lies over pane A. */
  #reveal(name) {
    const [a, b] = this.stage.panes;
    if (this.mode !== "wipe") b.style.clipPath = "";
    if (this.mode !== "motion") for (const canvas of this.#shown) canvas.style.visibility = "inherit";
    a.style.visibility = name === "b" ? "hidden" : "visible";
    b.style.visibility = name === "a" ? "hidden" : "visible";
    this.stage.node.dataset.shown = name;
  }

  #placeWipe() {
    const share = `${this.wipe * 100}%`;
    this.stage.panes[1].style.clipPath = `inset(0 0 0 ${share})`;
    const line = find(this.#root, "wipe");
    line.style.left = share;
    line.setAttribute("aria-valuenow", String(Math.round(this.wipe * 100)));
  }

  #wipeTo(event) {
    const box = this.stage.node.getBoundingClientRect();
    this.wipe = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    this.#placeWipe();
    return true;
  }

  #listen() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#countDwell();
      else this.#since = performance.now(); // time in another tab is not time spent looking
    });
    find(this.#root, "wipe").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.wipe = Math.min(1, Math.max(0, this.wipe + step));
      this.#placeWipe();
    });
  }

  /** Write down what is seen: names of the panes, zoom, and a warning when it is not 1:1. */
  #describe() {
    const root = this.#root;
    const item = this.#item;
    const node = this.stage.node;
    node.dataset.mode = this.mode;
    const names = this.#names();
    if (this.mode === "difference" && !item?.paired) names[1] = t("tag.difference");
    this.stage.tags.forEach((tag, index) => write(tag, item ? names[index] : ""));
    for (const button of root.querySelectorAll("[data-mode]:not(.stage)")) press(button, button.dataset.mode === this.mode);
    for (const group of root.querySelectorAll(".options")) group.hidden = group.dataset.for !== this.mode;
    for (const button of root.querySelectorAll("[data-hz]")) press(button, Number(button.dataset.hz) === this.hz);
    for (const button of root.querySelectorAll("[data-gain]")) press(button, Number(button.dataset.gain) === this.gain);
    for (const button of root.querySelectorAll("[data-speed]")) press(button, Number(button.dataset.speed) === this.speed);
    press(find(root, "fit-button"), this.stage.viewport.fitted);
    write(find(root, "zoom"), `${Math.round(this.stage.viewport.zoom * 100)} %`);
    const flashes = this.mode === "flicker" && this.hz > FLASHES_HZ;
    const hint = find(root, "mode-hint");
    hint.classList.toggle("warn", flashes);
    if (flashes) write(hint, t("hint.flashes"));
    else if (this.mode === "motion" && calm.matches && !this.#mayMove) write(hint, t("hint.calm"));
    else write(hint, item?.paired ? t(`pair.hint.${this.mode}`) : t(`hint.${this.mode}`));
    this.#warn(find(root, "scale-note"));
  }

  #warn(note) {
    const percent = Math.round(this.stage.scale * 1000) / 10;
    const ratio = Math.round(devicePixelRatio * this.stage.pageZoom * 100) / 100;
    const isScaled = !Number.isInteger(devicePixelRatio) || this.stage.pageZoom !== 1;
    if (!this.#item || (percent === 100 && !isScaled && this.#readsTrue)) write(note, "");
    else if (!this.#readsTrue) write(note, t("scale.disturbed"));
    else if (isScaled) write(note, t("scale.browser", { ratio }));
    else write(note, t("scale.zoomed", { percent }));
    note.hidden = note.textContent === "";
  }
}

function press(button, isPressed) {
  button.setAttribute("aria-pressed", String(isPressed));
}
