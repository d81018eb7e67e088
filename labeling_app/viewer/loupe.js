// A magnifier under the pointer: both pictures at once, each image pixel as a square.

const MAGNIFIED = 5; // canvas pixels per image pixel
const SIDE = 200; // canvas pixels of one half; the rest is the gap between them

export class Loupe {
  #point = null;

  /** @param pictures returns the two canvases, or null; `names` what they are called. */
  constructor(canvas, stage, pictures, names) {
    this.canvas = canvas;
    this.stage = stage;
    this.pictures = pictures;
    this.names = names;
    this.active = false;
    stage.node.addEventListener("pointermove", (event) => this.#follow(event));
    stage.node.addEventListener("pointerleave", (event) => this.#leave(event));
  }

  toggle() {
    this.active = !this.active;
    if (!this.active) return this.hide();
    const { x, y } = this.stage.viewport;
    this.#point ??= { x, y };
    this.draw();
  }

  hide() {
    this.canvas.hidden = true;
  }

  #leave(event) {
    const box = this.stage.node.getBoundingClientRect();
    const isInside = event.clientX > box.left && event.clientX < box.right && event.clientY > box.top && event.clientY < box.bottom;
    // In WebKit the mouse "leaves" whenever its button is let go.
    if (event.pointerType !== "mouse" || !isInside) this.hide();
  }

  #follow(event) {
    this.#point = this.stage.pointAt(event);
    if (!this.active) return;
    if (!this.#point) return this.hide();
    const box = this.stage.node.getBoundingClientRect();
    // Above and beside the pointer, on the side with more room, so that it never hides what it shows.
    const left = event.clientX - box.left > box.width / 2 ? event.clientX - box.left - 432 : event.clientX - box.left + 24;
    const top = event.clientY - box.top > box.height / 2 ? event.clientY - box.top - 224 : event.clientY - box.top + 24;
    this.canvas.style.left = `${Math.max(8, left)}px`;
    this.canvas.style.top = `${Math.max(8, top)}px`;
    this.draw();
  }

  draw() {
    const pair = this.pictures();
    this.canvas.hidden = !pair || !this.#point;
    if (this.canvas.hidden) return;
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const seen = SIDE / MAGNIFIED;
    const x = Math.round(this.#point.x - seen / 2);
    const y = Math.round(this.#point.y - seen / 2);
    const names = this.names();
    context.font = "600 13px system-ui, sans-serif";
    pair.forEach((picture, index) => {
      const left = index * (SIDE + 8);
      context.drawImage(picture, x, y, seen, seen, left, 0, SIDE, SIDE);
      context.fillStyle = "rgb(0 0 0 / 70%)";
      context.fillRect(left, SIDE - 22, context.measureText(names[index]).width + 14, 22);
      context.fillStyle = "#fff";
      context.fillText(names[index], left + 7, SIDE - 7);
    });
  }
}
