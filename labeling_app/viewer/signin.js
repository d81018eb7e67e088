// The sign-in page: name and password, or a name alone in open mode.

import { find } from "./dom.js";
import { enter } from "./entrance.js";
import { at, PROJECT } from "./project.js";
import { onBroken } from "./storage.js";
import { hasText, t } from "./texts.js";

const body = document.body;
const form = find(body, "form");

function say(key) {
  const note = find(body, "error");
  note.dataset.text = key; // so that it follows the language
  note.textContent = t(key);
  note.hidden = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  find(body, "error").hidden = true;
  const fields = Object.fromEntries(new FormData(form));
  const sent = body.dataset.open === "true" ? { name: fields.name } : fields;
  try {
    const reply = await fetch(at("/signin"), {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(sent),
      credentials: "same-origin",
    });
    if (reply.ok) return location.assign(at("/"));
    const { code } = await reply.json().catch(() => ({}));
    say(hasText(`refused.${code}`) ? `refused.${code}` : "signin.other");
  } catch {
    say("signin.other");
  }
});

onBroken(() => (find(body, "unkept").hidden = false));
const isOpen = body.dataset.open === "true";
find(body, "password").hidden = isOpen;
find(body, "project").textContent = PROJECT;
find(body, "open-hint").hidden = !isOpen;
find(body, "ended").hidden = !new URLSearchParams(location.search).has("ended");
form.elements.password.required = !isOpen;
enter("signin.title");
