// The two panes, one over the other or side by side, and the pictures placed in them to the device pixel.

import { find } from "./dom.js";
import { PAN_STEP, Viewport } from "./view.js";

/** Pane A holds gt (or "a"), pane B holds pred (or "b"): layers are canvases, of which some are shown. */
export class Stage {
  #pointers = new Map();
  #isHidden = false; // behind another view

  /** @param onChange called after every change of zoom, size or place. */
  constructor(root, onChange) {
    this.node = find(root, "stage");
    this.panes = [find(root, "pane-a"), find(root, "pane-b")];
    this.tags = [find(root, "tag-a"), find(root, "tag-b")];
    this.viewport = new Viewport();
    this.onChange = onChange;
    this.locked = () => false; // whether a drag means something else, as in the wipe
    new ResizeObserver(() => this.place()).observe(this.node);
    this.#listen();
    this.#watchRatio();
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

  #fromMiddle(event) {
    const box = this.#paneAt(event).getBoundingClientRect();
    const middle = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    return { x: (event.clientX - middle.x) * devicePixelRatio, y: (event.clientY - middle.y) * devicePixelRatio };
  }

  #listen() {
    const node = this.node;
    node.addEventListener("wheel", (event) => {
      event.preventDefault(); // also keeps Ctrl + wheel from changing the browser's zoom over the picture
      this.zoom(event.deltaY < 0 ? 1 : -1, event);
    }, { passive: false });
    node.addEventListener("pointerdown", (event) => {
      if (this.locked(event)) return;
      this.#pointers.set(event.pointerId, event);
      node.setPointerCapture(event.pointerId);
    });
    node.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      node.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.#pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    if (other) {
      const spread = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      this.viewport.zoomTo((this.viewport.zoom * spread(event)) / Math.max(1, spread(before)), this.#fromMiddle(other));
    } else {
      const moved = (name) => (before[name] - event[name]) * devicePixelRatio;
      this.viewport.pan(moved("clientX"), moved("clientY"));
    }
    this.#pointers.set(event.pointerId, event);
    this.place();
  }

  #watchRatio() {
    // A change of the browser's zoom, or of the screen, changes the ratio; each query tells of one change only.
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.place();
      this.#watchRatio();
    }, { once: true });
  }
}

/** WebKit shows nothing of a canvas that was out of sight until something is drawn on it, be it beside the picture. */
function wake(canvas) {
  canvas.getContext("2d").clearRect(-1, -1, 1, 1);
}
