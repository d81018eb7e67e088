// Starts the page inside the element that Gradio made for it.

import { Api, Unreachable } from "./api.js";
import { Bench } from "./bench.js";
import { Dialogs } from "./dialogs.js";
import { find } from "./dom.js";
import { belongsToControl, keyNames, Keys } from "./keys.js";
import { Outbox } from "./outbox.js";
import { drawLevels, drawUnsent, example } from "./panel.js";
import { ALL, at, PROJECT, SPACE } from "./project.js";
import { keep, kept, onBroken } from "./storage.js";
import { applyTexts, loadTexts, t } from "./texts.js";
import { showDesk } from "./desk.js";
import { Inspector } from "./inspect.js";
import { showReview } from "./review.js";
import { showStats } from "./stats.js";
import { Turn } from "./turn.js";
import { showUsers } from "./users.js";
import { Work } from "./work.js";

const BREAK_AFTER_MS = 25 * 60_000;
const BREAK_LOOK_MS = 5_000;
const RETRY_MS = 2_000;
const OF_WORK = new Set(["undo", "skip", "flag", "comment", "history"]); // not of an item that a reviewer looks at
const ROLES = ["annotator", "reviewer", "admin"]; // each may do what those before it may

let listeners = null; // of the document, removed when Gradio runs the start a second time

// A page that the back button brings out of the browser's memory has missed what happened since, a sign-out say.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

/** Start the page. `base` is the folder that this file was loaded from, without a final slash. */
export async function start(element, base) {
  const root = find(element, "app");
  if (root.dataset.started) return; // run again over the same elements: the page is there already
  root.dataset.started = "true";
  listeners?.abort();
  listeners = new AbortController();
  const api = new Api();
  api.onSignedOut = () => {
    listeners.abort(); // with them the warning on leaving: what is unsent stays in the storage for the next sign-in
    location.assign(at("/signin?ended=1"));
  };
  const session = await firstSession(api, root);
  await loadTexts(session.settings.language ?? kept("vfi.language") ?? session.options.language);
  document.documentElement.lang = t("language.code");
  if (session.settings.theme) keep("vfi.theme", session.settings.theme); // for the sign-in page
  document.documentElement.dataset.theme = theme();
  document.title = PROJECT ? `${PROJECT} · ${t("app.name")}` : t("app.name");
  new Page(root, api, session, base, listeners.signal).start();
}

/** The project's name, which leads to the list of all; nothing where a server has only one. */
function drawProject(link) {
  link.hidden = !PROJECT;
  link.textContent = PROJECT;
  link.title = t("nav.projects");
  link.href = ALL;
}

/** "dark" unless this annotator, or the last one in this browser, chose "light". */
function theme() {
  return kept("vfi.theme") === "light" ? "light" : "dark";
}

/** Ask until the server answers: the page itself may have come just before it went away. */
async function firstSession(api, root) {
  for (;;) {
    try {
      return await api.session();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      const banner = find(root, "offline");
      banner.hidden = false;
      banner.textContent = "The server cannot be reached. Trying again …"; // no texts without a server
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      banner.hidden = true;
    }
  }
}

class Page {
  constructor(root, api, session, base, signal) {
    this.root = root;
    this.signal = signal;
    this.api = api;
    this.session = session;
    this.base = base;
    this.keys = new Keys(session.settings.keys);
    this.dialogs = new Dialogs(root, (level, number) => example(base, level, number), session.options.pairs);
    this.bench = new Bench(root);
    const working = new AbortController(); // ends with the page, or when another tab takes the bench
    signal.addEventListener("abort", () => working.abort());
    this.turn = new Turn(session.user, () => this.#stepBack(working), signal);
    const onOrphan = (answer) => this.work.orphan(answer);
    this.outbox = new Outbox(api, session.user, (state) => drawUnsent(root, state), onOrphan, working.signal);
    this.work = new Work({ root, api, outbox: this.outbox, bench: this.bench, dialogs: this.dialogs, session, signal: working.signal });
    this.inspector = new Inspector(root, api, this.dialogs, this.bench);
    this.workingSince = Date.now();
  }

  start() {
    const { root, session, signal } = this;
    applyTexts(root);
    drawLevels(root, this.base, (level) => this.work.rate(level), session.options.pairs);
    find(root, "who").textContent = session.user;
    drawProject(find(root, "project"));
    for (const tab of root.querySelectorAll("[data-role]")) {
      tab.hidden = ROLES.indexOf(session.role) < ROLES.indexOf(tab.dataset.role);
    }
    this.keys.print(root);
    this.#listenButtons(signal);
    this.#listenKeys(signal);
    this.#remindOfBreaks(signal);
    onBroken(() => (find(root, "unkept").hidden = false));
    const isUnsent = () => this.turn.isOwn && this.outbox.unsent > 0;
    window.addEventListener("beforeunload", (event) => isUnsent() && event.preventDefault(), { signal });
    window.addEventListener("hashchange", () => this.#showView(), { signal });
    this.#showView();
    this.#welcome();
  }

  /** Open the help by itself, once per account, for who begins to label. */
  #welcome() {
    const { session, view } = this;
    const note = `vfi.welcomed${SPACE}/${session.user}`; // should the server not keep it
    if (view !== "bench" || this.inspector.isOpen || session.progress.done > 0 || session.settings.welcomed || kept(note)) return;
    session.settings.welcomed = true;
    keep(note, "yes");
    this.api.put("/api/settings", session.settings).catch(() => {});
    this.dialogs.help(this.keys);
  }

  /** Start labelling when the bench is first seen: a tab that only shows statistics takes it from nobody. */
  #label() {
    if (this.turn.isOwn) return this.work.look();
    if (!this.turn.take()) return this.dialogs.elsewhere();
    this.outbox.flush().then(() => this.work.start()); // what was rated before must not be shown again
  }

  /** Another tab has the bench now, and all that is kept. */
  #stepBack(working) {
    working.abort();
    this.bench.empty();
    drawUnsent(this.root, { unsent: 0, offline: false, isLate: false });
    if (this.view === "bench" && !this.inspector.isOpen) this.dialogs.elsewhere();
  }

  get actions() {
    const { work, bench, inspector } = this;
    const rates = Object.fromEntries([1, 2, 3, 4].map((level) => [`rate${level}`, () => (inspector.isOpen ? inspector.decide(level) : work.rate(level))]));
    const modes = ["flicker", "wipe", "side", "difference", "motion"].map((mode) => [mode, () => bench.setMode(mode)]);
    return {
      ...rates,
      ...Object.fromEntries(modes),
      undo: () => work.undo(),
      skip: () => work.skip(),
      flag: () => work.flag(),
      comment: () => work.remark(),
      help: () => this.dialogs.help(this.keys),
      hold: () => bench.hold(true),
      speed: () => bench.nextSpeed(),
      fit: () => bench.stage.toggleFit(),
      zoomIn: () => bench.stage.zoom(1),
      zoomOut: () => bench.stage.zoom(-1),
      loupe: () => this.#toggleLoupe(),
      realA: () => work.choose("a"),
      realB: () => work.choose("b"),
      unseen: () => bench.seen.goOn() || work.say("last.all_seen"),
      history: () => work.history(),
      panLeft: () => bench.stage.pan(-1, 0),
      panRight: () => bench.stage.pan(1, 0),
      panUp: () => bench.stage.pan(0, -1),
      panDown: () => bench.stage.pan(0, 1),
    };
  }

  #toggleLoupe() {
    this.bench.loupe.toggle();
    find(this.root, "loupe-button").setAttribute("aria-pressed", String(this.bench.loupe.active));
  }

  #listenKeys(signal) {
    const actions = this.actions;
    const onBench = () => this.view === "bench" && (this.turn.isOwn || this.inspector.isOpen) && !this.dialogs.isOpen;
    document.addEventListener("keydown", (event) => {
      if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
      if (!onBench() || belongsToControl(event)) return;
      if (event.key === "Escape") this.work.leaveCorrection();
      const action = this.keys.actionOf(...keyNames(event));
      if (!action || (this.inspector.isOpen && OF_WORK.has(action))) return;
      event.preventDefault(); // of a repeat as well: Space held down would scroll a small window
      if (!event.repeat || action.startsWith("pan")) actions[action]();
    }, { signal });
    document.addEventListener("keyup", (event) => {
      if (this.keys.actionOf(...keyNames(event)) === "hold") this.bench.hold(false);
    }, { signal });
    window.addEventListener("blur", () => this.bench.hold(false), { signal });
  }

  #listenButtons(signal) {
    const { root, bench } = this;
    const actions = this.actions;
    const on = (selector, event, act) => {
      for (const node of root.querySelectorAll(selector)) node.addEventListener(event, (happened) => act(node, happened), { signal });
    };
    on(".bench [data-action]:not(.level)", "click", (node) => actions[node.dataset.action]());
    on("[data-hz]", "click", (node) => bench.setHz(Number(node.dataset.hz)));
    on("[data-gain]", "click", (node) => bench.setGain(Number(node.dataset.gain)));
    on("[data-speed]", "click", (node) => bench.setSpeed(Number(node.dataset.speed)));
    on("[data-hold]", "pointerdown", () => bench.hold(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) on("[data-hold]", end, () => bench.hold(false));
    on("[data-hold]", "keydown", (node, event) => [" ", "Enter"].includes(event.key) && bench.hold(true));
    on("[data-hold]", "keyup", () => bench.hold(false));
    on("[data-view]", "click", (node) => (location.hash = node.dataset.view));
    // A button that was clicked must not keep the focus: Space would press it again instead of flickering.
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (event.detail > 0 && button && !this.dialogs.isOpen) button.blur();
    }, { signal });
    find(root, "open-settings").addEventListener("click", () => this.#openSettings(), { signal });
    find(root, "sign-out").addEventListener("click", () => this.#signOut(), { signal });
  }

  /** The address after # names the view, so that a reload and the back button keep it. */
  #showView() {
    const tabs = [...this.root.querySelectorAll("[data-view]")].filter((tab) => !tab.hidden);
    const wanted = location.hash.slice(1);
    const item = /^item-(\d+)$/.exec(wanted);
    const inspects = item !== null && tabs.some((tab) => tab.dataset.view === "desk");
    this.view = tabs.some((tab) => tab.dataset.view === wanted) ? wanted : "bench";
    for (const tab of tabs) {
      if (tab.dataset.view === (inspects ? this.inspector.back : this.view)) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    for (const panel of this.root.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== this.view;
    const show = { stats: showStats, review: showReview, users: showUsers, desk: showDesk }[this.view];
    show?.(find(this.root, this.view), this.api, this.session, this);
    if (inspects) {
      this.work.pause(true);
      this.inspector.open(Number(item[1]));
      return;
    }
    this.inspector.close();
    this.work.pause(false);
    if (this.view === "bench") this.#label();
  }

  #remindOfBreaks(signal) {
    const note = find(this.root, "break");
    const timer = setInterval(() => {
      if (Date.now() - this.workingSince >= BREAK_AFTER_MS) note.hidden = false;
    }, BREAK_LOOK_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    find(this.root, "break-done").addEventListener("click", () => {
      this.workingSince = Date.now();
      note.hidden = true;
    }, { signal });
  }

  async #openSettings() {
    const chosen = await this.dialogs.settings(new Keys(this.keys.changes()), theme());
    if (!chosen) return;
    if (!(await this.#try(() => this.api.put("/api/settings", { ...this.session.settings, ...chosen })))) return;
    // A new language touches every text of the page; the items are held on the server, so nothing is lost.
    location.reload();
  }

  async #signOut() {
    if (this.outbox.unsent > 0) return this.outbox.flush();
    let answer = null;
    if (!(await this.#try(async () => (answer = await this.api.post("/signout", {}))))) return;
    if (answer.next) return location.assign(answer.next);
    this.work.say("page.proxied"); // nobody but the proxy can sign them out
  }

  /** Do what needs the server; say so where it cannot be reached or says no. */
  async #try(act) {
    try {
      await act();
      return true;
    } catch {
      find(this.root, "last").textContent = t("page.unreachable");
      return false;
    }
  }
}
