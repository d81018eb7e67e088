// The OpenAPI description as a page. FastAPI's own page loads its code from elsewhere; this one works without a network.

import { el, find } from "./dom.js";
import { useTheme } from "./entrance.js";
import { at } from "./project.js";

useTheme();
const description = await (await fetch(at("/openapi.json"))).json();
const schemas = description.components?.schemas ?? {};

/** Write a schema as an example would look: {"level": "integer 1..4", ...}. */
function shape(schema, depth = 0) {
  if (!schema) return null;
  if (schema.$ref) return depth > 4 ? "…" : shape(schemas[schema.$ref.split("/").at(-1)], depth + 1);
  if (schema.anyOf) return schema.anyOf.map((one) => shape(one, depth)).find((one) => one !== "null") ?? "null";
  if (schema.type === "array") return [shape(schema.items, depth + 1)];
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, property]) => [name, shape(property, depth + 1)]));
  }
  if (schema.enum) return schema.enum.join(" | ");
  const bounds = schema.minimum === undefined ? "" : ` ${schema.minimum}..${schema.maximum ?? ""}`;
  return `${schema.type ?? "anything"}${bounds}`;
}

function example(title, schema) {
  if (!schema) return null;
  return el("div", {}, el("p", { class: "muted", text: title }), el("pre", {}, el("code", { text: JSON.stringify(shape(schema), null, 2) })));
}

const body = (content) => content?.content?.["application/json"]?.schema;
const groups = new Map();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const entry = el("details", {},
      el("summary", {}, el("code", { text: `${method.toUpperCase()} ${path}` }), route.summary ?? ""),
      el("p", { text: route.description ?? "" }),
      ...(route.parameters ?? []).map((given) => el("p", {}, el("code", { text: given.name }), ` ${shape(given.schema)}`)),
      example("Request", body(route.requestBody)),
      example("Answer", body(route.responses?.["200"])));
    const group = route.tags?.[0] ?? "other";
    groups.set(group, [...(groups.get(group) ?? []), entry]);
  }
}
for (const [group, entries] of groups) find(document.body, "reference").append(el("h2", { text: group }), ...entries);
