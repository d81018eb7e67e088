// The difference of two pictures as a heat map.

import { emptyCanvas } from "./images.js";

/** 256 colours from black over violet and orange to white: brighter always means a larger difference. */
export const COLOURS = (() => {
  const stops = [
    [0, 0, 0, 4],
    [64, 80, 18, 123],
    [128, 183, 55, 121],
    [192, 252, 137, 97],
    [255, 252, 253, 191],
  ];
  const table = new Uint32Array(256);
  for (let value = 0; value < 256; value += 1) {
    const next = Math.max(1, stops.findIndex(([at]) => at >= value));
    const [from, to] = [stops[next - 1], stops[next]];
    const part = (value - from[0]) / (to[0] - from[0]);
    const [red, green, blue] = [1, 2, 3].map((channel) => Math.round(from[channel] + part * (to[channel] - from[channel])));
    table[value] = (255 << 24) | (blue << 16) | (green << 8) | red; // canvas bytes are R, G, B, A
  }
  return table;
})();

/** Return a canvas with the largest absolute channel difference per pixel, times `gain`, in colours. */
export function heatMap(one, other, gain) {
  const { width, height } = one;
  const a = pixels(one);
  const b = pixels(other);
  const map = emptyCanvas(width, height);
  const context = map.getContext("2d", { alpha: false });
  const image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0, p = 0; i < out.length; i += 1, p += 4) {
    const red = Math.abs(a[p] - b[p]);
    const green = Math.abs(a[p + 1] - b[p + 1]);
    const blue = Math.abs(a[p + 2] - b[p + 2]);
    const most = red > green ? (red > blue ? red : blue) : green > blue ? green : blue;
    out[i] = COLOURS[Math.min(255, most * gain)];
  }
  context.putImageData(image, 0, 0);
  return map;
}

/** Whether the browser gives back the pixels that were drawn: guarding against fingerprints, some give back others. */
export function readsTrue() {
  const canvas = emptyCanvas(16, 16);
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(16, 16);
  image.data.forEach((_, index) => (image.data[index] = index % 4 === 3 ? 255 : (index * 7) % 256));
  context.putImageData(image, 0, 0);
  return pixels(canvas).every((value, index) => value === image.data[index]);
}

function pixels(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
}
