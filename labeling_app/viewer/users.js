// Accounts: who may label, review and administer.

import { clear, el, find } from "./dom.js";
import { card, table } from "./tables.js";
import { dateTime, reason, t } from "./texts.js";

const ROLES = ["annotator", "reviewer", "admin"];
const STAGES = ["training", "qualification", "work"];

export async function showUsers(view, api, session) {
  const note = el("p", { class: "muted", role: "status", data: { testid: "users-note" } });
  const list = el("div");
  const draw = (users) => clear(list).append(userTable(users, session, save));
  let last = Promise.resolve();
  function save(change, isNew = false) { // one after the other, so that the message that stays is that of the last change
    last = last.then(() => send(change, isNew));
    return last;
  }
  async function send(change, isNew) {
    const { name, ...fields } = change;
    try {
      draw(await (isNew ? api.post("/api/users", change) : api.patch(`/api/users/${encodeURIComponent(name)}`, fields)));
      note.textContent = t("users.saved", { name: change.name });
      return true;
    } catch (error) {
      note.textContent = reason(error);
      return false;
    }
  }
  clear(view).append(
    el("div", { class: "page-head" }, el("h2", { text: t("nav.users") })),
    card(t("users.add"), addForm(save)), note, card(t("users.list"), list));
  try {
    draw(await api.get("/api/users"));
  } catch {
    note.textContent = t("page.unreachable");
  }
}

function choice(kind, values, chosen, label, onchange) {
  const options = values.map((value) => el("option", { value, text: t(`${kind}.${value}`) }));
  const select = el("select", { name: kind, "aria-label": label, onchange }, ...options);
  select.value = chosen;
  return select;
}

function addForm(save) {
  const form = el("form", { class: "inline", data: { testid: "add-user" } },
    labelled("users.name", el("input", { name: "name", required: true, maxlength: 64, autocomplete: "off" })),
    labelled("users.password", el("input", { name: "password", type: "password", minlength: 8, maxlength: 256, autocomplete: "new-password", required: true })),
    labelled("users.role", choice("role", ROLES, "annotator", t("users.role"))),
    el("button", { type: "submit", class: "main", text: t("users.add_button") }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await save(Object.fromEntries(new FormData(form)), true)) form.reset();
  });
  return form;
}

function labelled(key, control) {
  return el("label", {}, el("span", { text: t(key) }), control);
}

function userTable(users, session, save) {
  const columns = ["name", "role", "stage", "created", "password", "token", "active"].map((column) => t(`users.${column}`));
  return table(columns, users.map((user) => row(user, session, save)), "users-table");
}

function row(user, session, save) {
  const { name } = user;
  const own = name === session.user; // nobody locks himself out by a slip
  const role = choice("role", ROLES, user.role, `${t("users.role")}: ${name}`, (event) => save({ name, role: event.target.value }));
  const stage = choice("stagename", STAGES, user.stage, `${t("users.stage")}: ${name}`, (event) => save({ name, stage: event.target.value }));
  const active = el("input", { type: "checkbox", "aria-label": `${t("users.active")}: ${name}`, onchange: (event) => save({ name, disabled: !event.target.checked }) });
  active.checked = !user.disabled;
  role.disabled = active.disabled = own;
  const token = user.has_token ? el("button", { type: "button", text: t("users.revoke"), "aria-label": `${t("users.revoke")}: ${name}`, onclick: () => save({ name, revoke_token: true }) }) : "";
  return [name, role, stage, dateTime(user.created_at), password(name, save), token, active];
}

function password(name, save) {
  const field = el("input", { type: "password", minlength: 8, maxlength: 256, autocomplete: "new-password", "aria-label": `${t("users.password")}: ${name}`, placeholder: t("users.new_password"), data: { id: "new-password" } });
  const form = el("form", { class: "inline" }, field, el("button", { type: "submit", text: t("users.set") }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = find(form, "new-password").value;
    if (given && (await save({ name, password: given }))) form.reset();
  });
  return form;
}
