// Where a picture lies in its pane: zoom, centre and panning, in image pixels and device pixels.

export const ZOOMS = [0.25, 0.5, 1, 2, 3, 4, 6, 8];
export const PAN_STEP = 64; // image pixels per arrow key at 1:1

/** What both panes show: `zoom` is device pixels per image pixel, (x, y) the image point in the pane's middle. */
export class Viewport {
  constructor() {
    this.reset(0, 0);
  }

  /** Back to 1:1, the middle of the picture in the middle of the pane. */
  reset(width, height) {
    this.width = width;
    this.height = height;
    this.zoom = 1;
    this.fitted = false;
    this.x = width / 2;
    this.y = height / 2;
  }

  fit(paneWidth, paneHeight) {
    this.fitted = true;
    this.zoom = Math.min(paneWidth / this.width, paneHeight / this.height);
    this.x = this.width / 2;
    this.y = this.height / 2;
  }

  /** The image point at `at`, in device pixels from the pane's middle. */
  pointAt(at) {
    return { x: this.x + at.x / this.zoom, y: this.y + at.y / this.zoom };
  }

  /** Set the zoom so that the image point `point` comes to `at` (in device pixels from the pane's middle). */
  hold(point, at, zoom) {
    // A fitted picture may be beyond the steps: there it stays, rather than jump the wrong way.
    this.zoom = Math.min(Math.max(ZOOMS.at(-1), this.zoom), Math.max(Math.min(ZOOMS[0], this.zoom), zoom));
    this.x = point.x - at.x / this.zoom;
    this.y = point.y - at.y / this.zoom;
    this.fitted = false;
  }

  /** Set the zoom so that what is at `at` stays where it is. */
  zoomTo(zoom, at = { x: 0, y: 0 }) {
    this.hold(this.pointAt(at), at, zoom);
  }

  /** The next step of the fixed zooms: direction +1 or -1. */
  step(direction) {
    const steps = direction > 0 ? ZOOMS : [...ZOOMS].reverse();
    return steps.find((zoom) => (zoom - this.zoom) * direction > 1e-6) ?? this.zoom;
  }

  pan(dx, dy) {
    this.x += dx / this.zoom;
    this.y += dy / this.zoom;
  }

  /** Keep the picture's edge from coming inside the pane; a picture smaller than the pane stays in the middle. */
  clamp(paneWidth, paneHeight) {
    const bound = (value, size, pane) => {
      const half = pane / this.zoom / 2;
      return size <= half * 2 ? size / 2 : Math.min(size - half, Math.max(half, value));
    };
    this.x = bound(this.x, this.width, paneWidth);
    this.y = bound(this.y, this.height, paneHeight);
  }

  /** CSS left, top, width, height of the picture in a pane whose box is `box`, all on whole device pixels. */
  place(box, ratio) {
    const edge = (start, size, centre) => (Math.round(start * ratio + (size * ratio) / 2 - centre * this.zoom) - start * ratio) / ratio;
    return {
      left: edge(box.left, box.width, this.x),
      top: edge(box.top, box.height, this.y),
      width: (this.width * this.zoom) / ratio,
      height: (this.height * this.zoom) / ratio,
    };
  }
}
