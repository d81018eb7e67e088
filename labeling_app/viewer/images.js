// Fetches pictures and decodes them to canvases, bit by bit as the file has them.

const MOST_AT_ONCE = 2; // a browser opens 6 connections; the vote must never wait behind pictures
const EXACT = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

const waiting = [];
let running = 0;

/** Return a canvas of the picture's own size. Aborting `signal` takes it out of the line. */
export function loadCanvas(url, signal) {
  return new Promise((resolve, reject) => {
    waiting.push({ url, signal, resolve, reject });
    next();
  });
}

function next() {
  while (running < MOST_AT_ONCE && waiting.length > 0) {
    const job = waiting.shift();
    running += 1;
    decode(job.url, job.signal)
      .then(job.resolve, job.reject)
      .finally(() => {
        running -= 1;
        next();
      });
  }
}

async function decode(url, signal) {
  signal.throwIfAborted();
  const reply = await fetch(url, { priority: "low", credentials: "same-origin", signal });
  if (!reply.ok) throw new Error(`${reply.status} ${url}`);
  const bitmap = await createImageBitmap(await reply.blob(), EXACT);
  const canvas = emptyCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

export function emptyCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export function copyCanvas(source) {
  const copy = emptyCanvas(source.width, source.height);
  copy.getContext("2d", { alpha: false }).drawImage(source, 0, 0);
  return copy;
}
