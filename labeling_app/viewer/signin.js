// The sign-in page: name and password, or a name alone in open mode.

import { find } from "./dom.js";
import { at, PROJECT } from "./project.js";
import { keep, kept, onBroken } from "./storage.js";
import { applyTexts, fillLanguages, hasText, loadTexts, t } from "./texts.js";

const LANGUAGE = "vfi.language"; // of this browser, until an annotator's own setting is known
const body = document.body;
const form = find(body, "form");

async function useLanguage(language) {
  await loadTexts(language);
  document.documentElement.lang = t("language.code");
  document.title = `${t("signin.title")} · ${t("app.name")}`;
  await fillLanguages(find(body, "language"));
  applyTexts(body);
}

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

find(body, "language").addEventListener("change", (event) => {
  keep(LANGUAGE, event.target.value);
  useLanguage(event.target.value);
});

onBroken(() => (find(body, "unkept").hidden = false));
document.documentElement.dataset.theme = kept("vfi.theme") === "light" ? "light" : "dark";
const isOpen = body.dataset.open === "true";
find(body, "password").hidden = isOpen;
find(body, "project").textContent = PROJECT;
find(body, "open-hint").hidden = !isOpen;
find(body, "ended").hidden = !new URLSearchParams(location.search).has("ended");
form.elements.password.required = !isOpen;
useLanguage(kept(LANGUAGE) ?? body.dataset.language);
