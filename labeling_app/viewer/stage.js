// The two panes, one over the other or side by side, and the pictures placed in them to the device pixel.

import { find } from "./dom.js";
import { PAN_STEP, Viewport } from "./view.js";
import { watchPageZoom } from "./zoom.js";

const NOTCH_PIXELS = 60; // less than a wheel's notch sends, and a fifth of a swipe over a touchpad
const NOTCH_PAUSE_MS = 150; // after it any turn is a step: a slow wheel on a Mac sends 4 pixels a notch

/** Pane A holds gt (or "a"), pane B holds pred (or "b"): layers are canvases, of which some are shown. */
export class Stage {
  #pointers = new Map();
  #grip = null; // what two fingers took hold of
  #isHidden = false; // behind another view
  #turned = 0; // pixels of wheel since the last step
  #turnedAt = 0;

  /** @param onChange called after every change of zoom, size or place. */
  constructor(root, onChange) {
    this.node = find(root, "stage");
    this.panes = [find(root, "pane-a"), find(root, "pane-b")];
    this.tags = [find(root, "tag-a"), find(root, "tag-b")];
    this.viewport = new Viewport();
    this.onChange = onChange;
    this.locked = () => false; // takes a drag that means something else, as in the wipe
    new ResizeObserver(() => this.place()).observe(this.node);
    this.#listen();
    this.#watchRatio();
    this.pageZoom = 1; // beyond devicePixelRatio
    watchPageZoom((zoom) => {
      this.pageZoom = zoom;
      this.onChange();
    });
    window.visualViewport?.addEventListener("resize", () => this.onChange());
  }

  /** Show `layers`: two lists of canvases, the pictures of pane A and of pane B, all of one size. */
  setLayers(layers) {
    const [first] = layers[0];
    layers.forEach((canvases, index) => {
      const pane = this.panes[index];
      const nodes = [...canvases, this.tags[index]];
      if (nodes.length === pane.childNodes.length && nodes.every((node, at) => node === pane.childNodes[at])) return;
      canvases.forEach((canvas) => canvas.classList.add("layer"));
      pane.replaceChildren(...nodes);
      canvases.forEach(wake);
    });
    if (!first) return;
    if (first.width !== this.viewport.width || first.height !== this.viewport.height) {
      this.viewport.reset(first.width, first.height);
    }
    this.place();
  }

  arrange(name) {
    this.node.dataset.arrange = name;
    this.place();
  }

  reset() {
    this.viewport.reset(this.viewport.width, this.viewport.height);
    this.place();
  }

  toggleFit() {
    if (this.viewport.fitted) return this.reset();
    const box = this.#box();
    this.viewport.fit(box.width * devicePixelRatio, box.height * devicePixelRatio);
    this.place();
  }

  zoom(direction, event) {
    this.viewport.zoomTo(this.viewport.step(direction), event ? this.#fromMiddle(event) : undefined);
    this.place();
  }

  pan(dx, dy) {
    this.viewport.pan(dx * PAN_STEP, dy * PAN_STEP);
    this.place();
  }

  /** The size of a pane, in device pixels. */
  paneSize() {
    const box = this.#box();
    return { width: box.width * devicePixelRatio, height: box.height * devicePixelRatio };
  }

  /** The part of the picture that a pane shows, in image pixels. */
  visible() {
    const { x, y, zoom, width, height } = this.viewport;
    const pane = this.paneSize();
    const [across, down] = [pane.width / zoom / 2, pane.height / zoom / 2];
    return { left: Math.max(0, x - across), top: Math.max(0, y - down), right: Math.min(width, x + across), bottom: Math.min(height, y + down) };
  }

  /** Put the image point (x, y) into the middle of the pane, at 1:1 or larger. */
  show(x, y) {
    if (this.viewport.zoom < 1) this.viewport.zoomTo(1);
    Object.assign(this.viewport, { x, y, fitted: false });
    this.place();
  }

  /** Device pixels per image pixel on the screen, pinching included; 1 is what levels are judged at. */
  get scale() {
    return this.viewport.zoom * (window.visualViewport?.scale ?? 1);
  }

  /** Put every layer where the viewport says. */
  place() {
    const box = this.#box();
    const ratio = devicePixelRatio;
    const cameBack = this.#isHidden && box.width > 0;
    this.#isHidden = box.width === 0;
    if (!this.viewport.width || this.#isHidden) return;
    if (cameBack) this.node.querySelectorAll("canvas.layer").forEach(wake);
    if (this.viewport.fitted) this.viewport.fit(box.width * ratio, box.height * ratio);
    this.viewport.clamp(box.width * ratio, box.height * ratio);
    const boxes = this.panes.map((pane) => pane.getBoundingClientRect()); // all before the first change: one layout
    for (const [index, pane] of this.panes.entries()) {
      const where = this.viewport.place(boxes[index], ratio);
      for (const canvas of pane.querySelectorAll("canvas")) {
        for (const [name, value] of Object.entries(where)) canvas.style[name] = `${value}px`;
        canvas.style.imageRendering = this.viewport.zoom >= 1 ? "pixelated" : "auto";
      }
    }
    this.onChange();
  }

  /** The image point under a pointer event, in image pixels; null outside of both pictures. */
  pointAt(event) {
    const pane = this.#paneAt(event);
    const where = this.viewport.place(pane.getBoundingClientRect(), devicePixelRatio);
    const box = pane.getBoundingClientRect();
    const x = ((event.clientX - box.left - where.left) / where.width) * this.viewport.width;
    const y = ((event.clientY - box.top - where.top) / where.height) * this.viewport.height;
    const isInside = x >= 0 && y >= 0 && x < this.viewport.width && y < this.viewport.height;
    return isInside ? { x, y } : null;
  }

  #box() {
    return this.panes[0].getBoundingClientRect();
  }

  #paneAt(event) {
    if (this.node.dataset.arrange !== "side") return this.panes[0];
    return event.clientX >= this.panes[1].getBoundingClientRect().left ? this.panes[1] : this.panes[0];
  }

  #fromMiddle(event, pane = this.#paneAt(event)) {
    const box = pane.getBoundingClientRect();
    const middle = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    return { x: (event.clientX - middle.x) * devicePixelRatio, y: (event.clientY - middle.y) * devicePixelRatio };
  }

  #listen() {
    const node = this.node;
    node.addEventListener("wheel", (event) => {
      event.preventDefault(); // also keeps Ctrl + wheel from changing the browser's zoom over the picture
      this.#turn(event);
    }, { passive: false });
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#pointers.set(event.pointerId, event);
      node.setPointerCapture(event.pointerId);
      if (this.#pointers.size === 1) this.locked(event);
      else this.#takeHold();
    });
    node.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      node.addEventListener(end, (event) => this.#lift(event));
    }
  }

  /** A notch of a wheel is a step; of the many small turns that a touchpad sends, so many pixels are one. */
  #turn(event) {
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * NOTCH_PIXELS;
    if (pixels === 0) return; // sideways
    const isNew = event.timeStamp - this.#turnedAt > NOTCH_PAUSE_MS || this.#turned * pixels < 0;
    this.#turned = isNew ? Math.sign(pixels) * NOTCH_PIXELS : this.#turned + pixels;
    this.#turnedAt = event.timeStamp;
    if (Math.abs(this.#turned) < NOTCH_PIXELS) return;
    this.#turned = 0;
    this.zoom(pixels < 0 ? 1 : -1, event);
  }

  /** One finger or the mouse moves the picture (or the wipe's line); two fingers zoom and move it. */
  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    if (event.buttons === 0) return this.#lift(event); // let go where nobody told us
    this.#pointers.set(event.pointerId, event);
    if (this.#grip) this.#spread();
    else if (this.locked(event)) return;
    else this.viewport.pan((before.clientX - event.clientX) * devicePixelRatio, (before.clientY - event.clientY) * devicePixelRatio);
    this.place();
  }

  #lift(event) {
    this.#pointers.delete(event.pointerId);
    this.#takeHold();
  }

  /** The first two fingers hold the image point between them, until one is lifted. */
  #takeHold() {
    this.#grip = null;
    if (this.#pointers.size < 2) return;
    const [one, two] = this.#pointers.values();
    const middle = between(one, two);
    const pane = this.#paneAt(middle);
    const point = this.viewport.pointAt(this.#fromMiddle(middle, pane));
    this.#grip = { pane, point, zoom: this.viewport.zoom, apart: Math.max(1, apart(one, two)) };
  }

  /** Where the picture lies follows from where two fingers are now: each tells of its move by itself, in any order. */
  #spread() {
    const { pane, point, zoom, apart: start } = this.#grip;
    const [one, two] = this.#pointers.values();
    this.viewport.hold(point, this.#fromMiddle(between(one, two), pane), (zoom * apart(one, two)) / start);
  }

  #watchRatio() {
    // A change of the browser's zoom, or of the screen, changes the ratio; each query tells of one change only.
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.place();
      this.#watchRatio();
    }, { once: true });
  }
}

function between(one, other) {
  return { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
}

function apart(one, other) {
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}

/** WebKit shows nothing of a canvas that was out of sight until something is drawn on it, be it beside the picture. */
function wake(canvas) {
  canvas.getContext("2d").clearRect(-1, -1, 1, 1);
}
