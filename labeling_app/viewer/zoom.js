// The browser's own zoom where devicePixelRatio does not tell of it: in WebKit.

const APART = 100; // CSS pixels between two places of the mouse: 10 % of zoom are 10 of them
const TOLERANCE = 0.03; // below the smallest step of zoom that a browser has
const LONGEST_MS = 2000; // in more time the window itself may have been moved

/**
 * Call `onChange(zoom)` when the zoom turns out to be another than before; 1 at first.
 *
 * The mouse goes further over the screen than over a page that is zoomed. The widths of window and page would tell at
 * once, but they differ by a sidebar, too.
 */
export function watchPageZoom(onChange) {
  if (!navigator.vendor.startsWith("Apple")) return;
  let zoom = 1;
  let from = null;
  window.addEventListener("resize", () => (from = null)); // comes with every change of the zoom
  window.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    if (!from || event.timeStamp - from.timeStamp > LONGEST_MS) return (from = event);
    const moved = event.clientX - from.clientX;
    if (Math.abs(moved) < APART) return;
    const measured = (event.screenX - from.screenX) / moved;
    from = event;
    if (Math.abs(measured / zoom - 1) < TOLERANCE) return;
    zoom = Math.abs(measured - 1) < TOLERANCE ? 1 : measured;
    onChange(zoom);
  });
}
