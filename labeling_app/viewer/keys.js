// Keyboard shortcuts: one table of actions, remappable, kept with the annotator's settings.

import { t, hasText } from "./texts.js";

export const DEFAULT_KEYS = {
  rate1: "1",
  rate2: "2",
  rate3: "3",
  rate4: "4",
  undo: "u",
  skip: "s",
  flag: "f",
  comment: "c",
  history: "b",
  help: "?",
  hold: " ",
  flicker: "q",
  wipe: "w",
  side: "e",
  difference: "d",
  motion: "m",
  speed: "r",
  fit: "z",
  zoomIn: "+",
  zoomOut: "-",
  loupe: "l",
  unseen: "n",
  realA: "j",
  realB: "k",
};

// These work beside the chosen keys and cannot be given away.
const FIXED = { Backspace: "undo", ArrowLeft: "panLeft", ArrowRight: "panRight", ArrowUp: "panUp", ArrowDown: "panDown" };
const NOT_KEYS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process", "Unidentified"]);
const NEVER = new Set([...NOT_KEYS, ...Object.keys(FIXED), "Tab", "Escape", "Enter"]);

/** Return the names a key press may go by, the first one that means something counts. All are in lower case. */
export function keyNames(event) {
  if (event.key.length > 1) return [event.key];
  const name = event.key.toLowerCase();
  const place = event.code.at(-1)?.toLowerCase();
  // The digits' row of a layout that needs Shift for digits (French, Czech); "-" on its 6 is still "-".
  if (/^Digit/.test(event.code) && !event.shiftKey && !/^[\da-z]$/.test(name)) return [place, name];
  // Letters of another script (Cyrillic, Greek) go by the place that a Latin letter has.
  return /^Key/.test(event.code) && name > "~" ? [name, place] : [name];
}

export function canBeKey(name) {
  return !NEVER.has(name);
}

/** Return how a key is printed on a button. */
export function printed(name) {
  if (hasText(`key.${name}`)) return t(`key.${name}`);
  return name.length === 1 ? name.toUpperCase() : name;
}

export class Keys {
  #actions = new Map();

  /** @param chosen action to key, what this annotator changed; unknown actions and doubled keys are ignored. */
  constructor(chosen = {}) {
    this.map = { ...DEFAULT_KEYS };
    for (const [action, name] of Object.entries(chosen)) {
      if (action in DEFAULT_KEYS && typeof name === "string" && canBeKey(name)) this.map[action] = name;
    }
    if (new Set(Object.values(this.map)).size < Object.keys(this.map).length) this.map = { ...DEFAULT_KEYS };
    this.#index();
  }

  #index() {
    this.#actions = new Map(Object.entries(this.map).map(([action, name]) => [name, action]));
  }

  actionOf(...names) {
    return names.map((name) => FIXED[name] ?? this.#actions.get(name)).find(Boolean) ?? null;
  }

  /** Give `name` to `action`; the action that had it gets the old key, so that no key does two things. */
  remap(action, name) {
    const other = this.actionOf(name);
    if (other && other !== action) this.map[other] = this.map[action];
    this.map[action] = name;
    this.#index();
  }

  changes() {
    return Object.fromEntries(Object.entries(this.map).filter(([action, name]) => DEFAULT_KEYS[action] !== name));
  }

  print(root) {
    for (const cap of root.querySelectorAll("[data-key]")) cap.textContent = printed(this.map[cap.dataset.key]);
    for (const button of root.querySelectorAll("[data-action]")) {
      const name = this.map[button.dataset.action];
      if (name) button.setAttribute("aria-keyshortcuts", name === " " ? "Space" : name);
    }
  }
}

/** Whether a key press is text being typed, or belongs to the control that has the focus. */
export function belongsToControl(event) {
  const target = event.target;
  if (!(target instanceof Element) || target.closest("dialog:not([open])")) return false;
  if (target.closest("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]")) return true;
  if (target.matches("input[type=range], input[type=radio]") && event.key.startsWith("Arrow")) return true;
  // Space presses a button reached by Tab; a click leaves no focus behind, so there it stays the flicker key.
  return event.key === " " && target.matches("button:focus-visible, input:focus-visible, [role=slider]:focus-visible");
}
