// Small helpers for the document. User text only ever goes in through textContent.

/** Make an element: el("p", {class: "x", text: "...", onclick: f, data: {id: 1}}, child, ...). */
export function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element with attributes; `text` sets its text. */
export function svg(tag, options = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

export function find(root, name) {
  return root.querySelector(`[data-id="${name}"]`);
}

/** Set a text where it differs: writing the same one again would lay the page out and draw it anew. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Call `act` once the present state of the page has been painted. */
export function afterPaint(act) {
  requestAnimationFrame(() => setTimeout(act));
}

export function clear(node) {
  node.replaceChildren();
  return node;
}

/** Random id for a request, so that a retry is known as one. randomUUID needs a secure context; this does not. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
