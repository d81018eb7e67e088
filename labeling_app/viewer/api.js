// Requests to the server. Every failure is one of two kinds: not reached, or refused.

import { at } from "./project.js";

const TIMEOUT_MS = 15000;

/** The server did not answer, or answered that it cannot at the moment: try again later. */
export class Unreachable extends Error {}

/** The server answered no: HTTP `status`, its one-line message, and a `code` that says why. */
export class Refused extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Api {
  #user = null;

  constructor() {
    this.csrf = "";
    this.onSignedOut = () => {};
  }

  /** Fetch the session; its CSRF token goes with every later request. */
  async session() {
    const session = await this.get("/api/session");
    this.#user ??= session.user;
    if (session.user !== this.#user) {
      // Someone else signed in, in another tab: what this one holds must not go out under that name.
      this.onSignedOut();
      throw new Refused(401, "signed in as another user");
    }
    this.csrf = session.csrf;
    return session;
  }

  get(path) {
    return this.#send("GET", path);
  }

  post(path, body, priority = "auto") {
    return this.#send("POST", path, body, priority);
  }

  patch(path, body) {
    return this.#send("PATCH", path, body);
  }

  put(path, body) {
    return this.#send("PUT", path, body);
  }

  async #send(method, path, body, priority = "auto", again = true) {
    const reply = await this.#fetch(method, path, body, priority);
    if (reply.ok) return reply.status === 204 ? null : reply.json();
    // Overload, restart and proxies without a back end pass; so does asking too often.
    if (reply.status >= 500 || reply.status === 429) throw new Unreachable(`${reply.status} ${path}`);
    if (reply.status === 401) this.onSignedOut();
    if (reply.status === 403 && method !== "GET" && again) {
      // The token of an older session: after signing in again in another tab, say.
      const stale = this.csrf;
      if ((await this.session()).csrf !== stale) return this.#send(method, path, body, priority, false);
    }
    const { detail, code } = await reply.json().catch(() => ({}));
    throw new Refused(reply.status, typeof detail === "string" ? detail : reply.statusText, code);
  }

  async #fetch(method, path, body, priority) {
    const headers = { Accept: "application/json" };
    if (method !== "GET") headers["X-CSRF-Token"] = this.csrf;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await fetch(at(path), {
        method,
        headers,
        priority,
        cache: "no-store",
        credentials: "same-origin",
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new Unreachable(String(error));
    }
  }
}
