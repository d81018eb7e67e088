// One step of the lead on many items: asked for, previewed, confirmed, done. What was previewed is what is done.

import { newId } from "./dom.js";

/** Carry out `order` ({action, where or items, ...}) after its preview was confirmed; resolves with the outcome, or null. */
export async function carryOut(api, dialogs, order) {
  const body = { ...order, action_id: newId() };
  const preview = await api.post("/api/desk", { ...body, preview: true });
  const confirmed = await dialogs.preview(order, preview);
  if (!confirmed) return null;
  return api.post("/api/desk", { ...body, ...confirmed, expected_items: preview.items, expected_votes: preview.votes });
}
