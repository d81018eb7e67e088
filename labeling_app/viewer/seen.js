// Which part of an item's picture was on the screen at 1:1 or larger, and a map of it that also moves the view.

import { afterPaint } from "./dom.js";
import { emptyCanvas } from "./images.js";

export const ENOUGH = 0.8; // of the picture: below it the level keys ask once
const COLUMNS = 64;
const ROWS = 36;
const DWELL_MS = 200; // what only flies by while dragging is not seen
const MAP_WIDTH = 536; // canvas pixels: sharp up to twice its width in the panel

export class Seen {
  #cells = new Uint8Array(COLUMNS * ROWS);
  #small = null; // the picture at the map's size, drawn once per item
  #timer = 0;
  #drawing = false;

  /** @param counts says whether what the stage shows now lets the picture be judged. */
  constructor(canvas, stage, counts) {
    this.canvas = canvas;
    this.stage = stage;
    this.counts = counts;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#go(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons > 0 && this.#go(event));
  }

  get share() {
    return this.#cells.reduce((sum, cell) => sum + cell, 0) / this.#cells.length;
  }

  /** Begin with a new item; what is on the screen at once counts without waiting. */
  begin(picture, item) {
    clearTimeout(this.#timer);
    this.#cells = item ? (item.seenCells ??= new Uint8Array(COLUMNS * ROWS)) : new Uint8Array(COLUMNS * ROWS); // seen stays seen
    this.#small = null;
    this.canvas.hidden = true;
    delete this.canvas.dataset.asked;
    this.picture = picture;
    if (picture) this.#mark();
  }

  /** The view moved. */
  look() {
    if (!this.picture) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#mark(), DWELL_MS);
    this.#drawSoon();
  }

  /** Move the view to where most of the unseen part is; false when everything was seen. */
  goOn() {
    const view = this.#window();
    if (!this.picture || !view) return false;
    let best = { unseen: 0, x: 0, y: 0 };
    for (let y = 0; y <= ROWS - view.rows; y += 1) {
      for (let x = 0; x <= COLUMNS - view.columns; x += 1) {
        const unseen = this.#unseen(x, y, view);
        if (unseen > best.unseen) best = { unseen, x, y };
      }
    }
    if (best.unseen === 0) return false;
    const { width, height } = this.picture;
    this.stage.show(((best.x + view.columns / 2) / COLUMNS) * width, ((best.y + view.rows / 2) / ROWS) * height);
    return true;
  }

  #unseen(left, top, { columns, rows }) {
    let count = 0;
    for (let y = top; y < top + rows; y += 1) {
      for (let x = left; x < left + columns; x += 1) count += 1 - this.#cells[y * COLUMNS + x];
    }
    return count;
  }

  /** How many whole cells the stage shows at 1:1. */
  #window() {
    if (!this.picture) return null;
    const { width, height } = this.stage.paneSize();
    const columns = Math.max(1, Math.min(COLUMNS, Math.floor((width / this.picture.width) * COLUMNS)));
    const rows = Math.max(1, Math.min(ROWS, Math.floor((height / this.picture.height) * ROWS)));
    return { columns, rows };
  }

  #mark() {
    if (!this.picture || !this.counts()) return;
    const { left, top, right, bottom } = this.stage.visible();
    const { width, height } = this.picture;
    for (let y = 0; y < ROWS; y += 1) {
      const middle = ((y + 0.5) / ROWS) * height;
      if (middle < top || middle > bottom) continue;
      for (let x = 0; x < COLUMNS; x += 1) {
        const at = ((x + 0.5) / COLUMNS) * width;
        if (at >= left && at <= right) this.#cells[y * COLUMNS + x] = 1;
      }
    }
    this.#drawSoon();
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    afterPaint(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  /** The picture with what was not seen in the dark, and a frame around what the stage shows. */
  #draw() {
    const { picture, canvas } = this;
    const share = this.share;
    canvas.dataset.seen = String(Math.round(share * 100));
    const view = picture && this.stage.visible();
    const isWhole = !picture || (view.left <= 0 && view.top <= 0 && view.right >= picture.width && view.bottom >= picture.height);
    canvas.hidden = isWhole && share > 0.999;
    if (canvas.hidden || !picture) return;
    this.#small ??= shrink(picture);
    const { width, height } = this.#small;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { alpha: false });
    context.drawImage(this.#small, 0, 0);
    context.fillStyle = "rgb(0 0 0 / 62%)";
    for (let y = 0; y < ROWS; y += 1) {
      for (let x = 0; x < COLUMNS; x += 1) {
        if (this.#cells[y * COLUMNS + x]) continue;
        const [from, to] = [Math.round((x * width) / COLUMNS), Math.round(((x + 1) * width) / COLUMNS)];
        const [top, bottom] = [Math.round((y * height) / ROWS), Math.round(((y + 1) * height) / ROWS)];
        context.fillRect(from, top, to - from, bottom - top);
      }
    }
    const scale = width / picture.width;
    const box = [view.left * scale, view.top * scale, (view.right - view.left) * scale, (view.bottom - view.top) * scale];
    const thin = canvas.clientWidth ? (2 * width) / canvas.clientWidth : 3; // two pixels of the page, however small the map
    context.lineWidth = 2 * thin;
    context.strokeStyle = "#000";
    context.strokeRect(...box);
    context.lineWidth = thin;
    context.strokeStyle = "#fff";
    context.strokeRect(...box);
  }

  #go(event) {
    if (!this.picture) return;
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.picture.width;
    this.stage.show(x, ((event.clientY - box.top) / box.height) * this.picture.height);
  }
}

function shrink(picture) {
  const scale = MAP_WIDTH / picture.width;
  const small = emptyCanvas(MAP_WIDTH, Math.max(1, Math.round(picture.height * scale)));
  const context = small.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, small.width, small.height);
  return small;
}
