// What this browser keeps. Where it may not or cannot (forbidden, full), the page keeps it as long as it is open, and says so.

const memory = new Map();
const tell = new Set();
let isBroken = false;

/** Call `act` once the browser turns out to keep nothing, also when it already has. */
export function onBroken(act) {
  if (isBroken) act();
  else tell.add(act);
}

export function keep(key, value) {
  try {
    localStorage.setItem(key, value);
    memory.delete(key);
  } catch {
    memory.set(key, value);
    fail();
  }
}

export function kept(key) {
  if (memory.has(key)) return memory.get(key);
  return attempt(() => localStorage.getItem(key)) ?? null;
}

export function forget(key) {
  memory.delete(key);
  attempt(() => localStorage.removeItem(key));
}

export function keptKeys() {
  return [...new Set([...(attempt(() => Object.keys(localStorage)) ?? []), ...memory.keys()])];
}

function attempt(act) {
  try {
    return act();
  } catch {
    fail();
    return undefined;
  }
}

function fail() {
  if (isBroken) return;
  isBroken = true;
  for (const act of tell) act();
}
