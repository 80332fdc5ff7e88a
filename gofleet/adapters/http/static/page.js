// Renders openapi.json and sends requests. All text is inserted as text nodes, so the document cannot inject markup.
"use strict";

const SHOWN_CHARS_MAX = 65536;
let api;

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

const rich = (text) =>
  element("span", {}, ...(text || "").split(/(`[^`]*`)/).map((part) =>
    part.startsWith("`") ? element("code", { textContent: part.slice(1, -1) }) : part));

function resolved(value) {
  if (!value.$ref) return value;
  const target = value.$ref.slice(2).split("/").reduce((inner, step) => inner[step], api);
  return { ...target, ...value, $ref: undefined, name: value.$ref.split("/").pop() };
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return [schema.type || "any", schema.format ? `(${schema.format})` : ""].join(" ").trim();
}

function boundsOf(schema) {
  const keywords = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", minLength: "length ≥", maxLength: "length ≤", pattern: "matches", default: "default" };
  const inner = (schema.anyOf || []).find((choice) => choice.type !== "null") || {};
  return Object.entries(keywords).filter(([keyword]) => (schema[keyword] ?? inner[keyword] ?? null) !== null)
    .map(([keyword, sign]) => `${sign} ${schema[keyword] ?? inner[keyword]}`).join(", ");
}

function fields(schema) {
  const target = resolved(schema);
  const inner = target.type === "array" ? resolved(target.items) : target;
  if (!inner.properties) return element("p", {}, typeOf(schema));
  const rows = Object.entries(inner.properties).map(([name, field]) => {
    const choice = (field.anyOf || []).find((option) => option.description) || {};
    const required = (inner.required || []).includes(name) ? "" : " (optional)";
    return row([element("code", { textContent: name }), required], [typeOf(field)],
      [rich(field.description || choice.description), " ", element("code", { textContent: boundsOf(field) })]);
  });
  return element("div", { className: "rows" }, ...rows);
}

const row = (...cells) => element("div", {}, ...cells.map((cell) => element("div", {}, ...cell)));

function responses(operation) {
  return Object.entries(operation.responses).map(([status, response]) => {
    const [media, content] = Object.entries(response.content || {})[0] || [];
    const headers = Object.keys(response.headers || {}).join(", ");
    return element("details", {},
      element("summary", {}, element("code", { textContent: status }), " ", rich(response.description)),
      element("div", {},
        element("p", {}, media ? `${media}; ` : "", `headers: ${headers}`),
        ...Object.keys((content || {}).examples || {}).map((slug) => problemLink(slug)),
        content ? fields(content.schema) : null));
  });
}

function problemLink(slug) {
  const { summary, value } = resolved({ $ref: `#/components/examples/${slug}` });
  return element("p", {}, element("a", { href: new URL(value.type, location.origin), textContent: slug }), `: ${summary}`);
}

function operationOf(method, path, operation) {
  const inputs = (operation.parameters || []).map((parameter) => {
    const input = element("input", { placeholder: parameter.required ? "required" : "", ariaLabel: parameter.name });
    const [example] = Object.values(parameter.examples || {});
    if (parameter.required && example) input.value = example.value;
    return { parameter, input };
  });
  const [media, content] = Object.entries((operation.requestBody || {}).content || {})[0] || [];
  const body = content ? element("textarea", { value: JSON.stringify(content.example ?? null, null, 2), ariaLabel: "body" }) : null;
  const curl = element("pre");
  const output = element("pre", { hidden: true });
  const stop = element("button", { textContent: "Stop", hidden: true });
  const needsToken = (operation.security || []).length > 0;
  const request = () => requestOf(method, path, inputs, media, body, needsToken);
  const updateCurl = () => { curl.textContent = curlOf(request()); };
  const token = document.getElementById("token");
  for (const control of [...inputs.map(({ input }) => input), body, needsToken ? token : null]) control?.addEventListener("input", updateCurl);
  const send = element("button", { textContent: "Send" });
  send.addEventListener("click", () => execute(request(), output, stop));
  const rows = inputs.map(({ parameter, input }) => row(
    [element("code", { textContent: parameter.name }), ` in ${parameter.in}`],
    [input],
    [rich(parameter.description), ` ${typeOf(parameter.schema)} `, element("code", { textContent: boundsOf(parameter.schema) })]));
  const details = element("details", { id: operation.operationId, className: "operation" },
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("span", { className: "path", textContent: path }),
      element("span", { className: "title", textContent: operation.summary })),
    element("div", {}, element("p", {}, rich(operation.description)),
      rows.length ? element("h3", { textContent: "Parameters" }) : null, rows.length ? element("div", { className: "rows" }, ...rows) : null,
      body ? element("h3", { textContent: `Body, ${media}` }) : null, body, body ? fields(content.schema) : null,
      element("h3", { textContent: "Try it" }), curl, send, stop, output,
      element("h3", { textContent: "Responses" }), ...responses(operation)));
  details.dataset.search = `${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase();
  updateCurl();
  return details;
}

function requestOf(method, path, inputs, media, body, needsToken) {
  const headers = media ? { "Content-Type": media } : {};
  const token = document.getElementById("token").value.trim();
  const url = new URL(location.origin);
  url.pathname = path;
  let filled = path;
  for (const { parameter, input } of inputs) {
    if (input.value === "") continue;
    if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (parameter.in === "query") url.searchParams.append(parameter.name, input.value);
    if (parameter.in === "header") headers[parameter.name] = input.value;
  }
  return {
    method: method.toUpperCase(), url: `${location.origin}${filled}${url.search}`, headers, body: body?.value,
    token: needsToken ? token : "",
  };
}

function curlOf({ method, url, headers, body, token }) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = ["curl -i", method === "GET" ? null : `-X ${method}`, quoted(url),
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    token ? '-H "Authorization: Bearer $TOKEN"' : null, // not the token itself: the page may be shown to others
    body === undefined ? null : `-d ${quoted(body)}`];
  return parts.filter((part) => part !== null).join(" ");
}

async function execute({ method, url, headers, body, token }, output, stop) {
  if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
  const controller = new AbortController();
  stop.hidden = output.hidden = false;
  stop.onclick = () => controller.abort();
  try {
    const response = await fetch(url, { method, headers, body, signal: controller.signal });
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
    output.textContent = `${response.status} ${response.statusText}\n${lines.join("\n")}\n\n`;
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
      output.textContent += part.value; // immediately: a stream has no end
      if (output.textContent.length > SHOWN_CHARS_MAX) controller.abort();
    }
  } catch (error) {
    output.textContent += `\n${error}`;
  } finally {
    stop.hidden = true;
  }
}

async function open() {
  api = await (await fetch("openapi.json")).json();
  document.title = document.getElementById("title").textContent = `${api.info.title} API ${api.info.version}`;
  document.getElementById("about").append(rich(api.info.description));
  const main = document.getElementById("operations");
  for (const { name, description } of api.tags) {
    const inside = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods)
      .filter(([, operation]) => operation.tags.includes(name))
      .map(([method, operation]) => operationOf(method, path, operation)));
    main.append(element("h2", { textContent: name }), element("p", {}, rich(description)), ...inside);
  }
  document.getElementById("filter").addEventListener("input", ({ target }) => {
    for (const details of main.querySelectorAll(":scope > details")) details.hidden = !details.dataset.search.includes(target.value.toLowerCase());
  });
  const linked = document.getElementById(location.hash.slice(1));
  if (linked) linked.open = true;
}

open();
