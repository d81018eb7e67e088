// The pages before the bench: in the language and the theme that this browser chose, else the server's language.

import { find } from "./dom.js";
import { keep, kept } from "./storage.js";
import { applyTexts, fillLanguages, loadTexts, t } from "./texts.js";

const LANGUAGE = "vfi.language"; // of this browser, until an annotator's own setting is known

export function useTheme() {
  document.documentElement.dataset.theme = kept("vfi.theme") === "light" ? "light" : "dark";
}

/** Write the page's texts, and again whenever another language is chosen; `title` is the key of the page's name. */
export async function enter(title) {
  const { body } = document;
  const select = find(body, "language");
  async function use(language) {
    await loadTexts(language);
    document.documentElement.lang = t("language.code");
    document.title = `${t(title)} · ${t("app.name")}`;
    await fillLanguages(select);
    applyTexts(body);
  }
  select.addEventListener("change", () => {
    keep(LANGUAGE, select.value);
    use(select.value);
  });
  useTheme();
  await use(kept(LANGUAGE) ?? body.dataset.language);
}
