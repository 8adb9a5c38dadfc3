// The reference: shows openapi.json as a page. Everything in it enters the page as text.

const METHODS = ["get", "post", "delete"];
const ROOT = new URL("..", import.meta.url).href.replace(/\/$/, ""); // where the service is, which need not be a host's root

const contents = document.querySelector("#contents");
const operations = document.querySelector("#operations");

/** Return an element with children, which are elements or texts. */
function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

/** Return a text of the document as nodes, what stands between backticks as code. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** Write a limit; those above 2^53, which JavaScript rounds, are one less than a power of two. */
function number(value) {
  return value > Number.MAX_SAFE_INTEGER ? `2^${Math.log2(value)} − 1` : String(value);
}

/** Return the schema that a reference names, or the schema itself. */
function resolve(schema, spec) {
  return schema.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema;
}

/** Say in a few words what values a schema allows. */
function describe(schema, spec) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.anyOf) return schema.anyOf.map((one) => describe(one, spec)).join(" or ");
  if (schema.type === "array") return `list of ${describe(schema.items, spec)}`;
  const kind = schema.contentEncoding ?? (schema.format === "binary" ? "bytes" : schema.type ?? "anything");
  return [kind, range(schema)].filter(Boolean).join(", ");
}

function range(schema) {
  const [low, high] = [schema.minimum ?? schema.minLength, schema.maximum ?? schema.maxLength];
  const unit = "maxLength" in schema ? " characters" : "";
  if ("exclusiveMinimum" in schema) return `above ${schema.exclusiveMinimum}, to ${number(high)}`;
  if (low === undefined && high === undefined) return "";
  return high === undefined ? `at least ${low}${unit}` : `${low ?? 0} to ${number(high)}${unit}`;
}

/** Return the fields of an object as nested lists; `seen` are the names above, so that nothing turns in circles. */
function tree(schema, spec, seen = []) {
  const name = schema.$ref;
  const whole = resolve(schema, spec);
  if (name && seen.includes(name)) return "";
  const above = name ? [...seen, name] : seen;
  if (whole.anyOf) return element("div", {}, ...whole.anyOf.map((one) => tree(one, spec, above)));
  if (whole.type === "array") return tree(whole.items, spec, above);
  if (!whole.properties) return "";
  const items = Object.entries(whole.properties).map(([field, inner]) => {
    const optional = whole.required?.includes(field) ? "" : ", optional";
    const note = `: ${describe(inner, spec)}${optional}`;
    const line = [element("code", {}, field), element("span", { className: "muted" }, note)];
    if (inner.description) line.push(" ", ...prose(inner.description));
    return element("li", {}, ...line, tree(inner, spec, above));
  });
  return element("ul", { className: "tree" }, ...items);
}

function parameterTable(parameters, spec) {
  const head = ["name", "values", "default", "meaning"].map((text) => element("th", { scope: "col" }, text));
  const rows = parameters.map(({ name, schema, description = "", required, in: place }) => element(
    "tr", {},
    element("td", {}, element("code", {}, name)),
    element("td", {}, describe(schema, spec)),
    element("td", {}, required ? "required" : String(schema["x-default"] ?? "") || "none"),
    element("td", {}, ...prose(place === "path" ? "part of the address" : description)),
  ));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return element("div", { className: "scroller" }, table);
}

function bodies(content, spec) {
  return Object.entries(content).map(([mime, { schema = {} }]) => element(
    "details", {},
    element("summary", {}, element("code", {}, mime), element("span", { className: "muted" }, ` ${describe(schema, spec)}`)),
    tree(schema, spec),
  ));
}

function answers(responses, spec) {
  const items = Object.entries(responses).flatMap(([status, { description, content = {} }]) => [
    element("p", {}, element("code", {}, status), ` ${description}`),
    ...(status.startsWith("2") ? bodies(content, spec) : []),
  ]);
  return element("div", {}, ...items);
}

function example(path, method, operation) {
  const content = operation.requestBody?.content ?? {};
  const url = ROOT + path;
  if (content["multipart/form-data"]) return `curl -F image=@photo.jpg ${url}`;
  if (content["application/octet-stream"]) return `curl --data-binary @photo.jpg ${url}`;
  if (method === "delete") return `curl -X DELETE ${url}`;
  return operation.requestBody ? `curl --json @request.json ${url}` : `curl ${url}`;
}

function section(path, method, item, spec) {
  const operation = item[method];
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
  const parts = [
    element("h3", {}, element("span", { className: "method" }, method.toUpperCase()), ` ${path}`),
    element("p", {}, `${operation.summary}. ${operation.description ?? ""}`),
    element("pre", { tabIndex: 0 }, example(path, method, operation)),
  ];
  if (parameters.length) parts.push(element("h4", {}, "Parameters"), parameterTable(parameters, spec));
  if (operation.requestBody) parts.push(element("h4", {}, "Body"), ...bodies(operation.requestBody.content, spec));
  parts.push(element("h4", {}, "Answers"), answers(operation.responses, spec));
  return element("section", { id: operation.operationId }, ...parts);
}

function show(spec) {
  const found = Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => [path, method, item]));
  operations.replaceChildren();
  for (const { name } of spec.tags) {
    operations.append(element("h2", {}, name));
    for (const [path, method, item] of found.filter((one) => one[2][one[1]].tags.includes(name))) {
      const link = element("a", { href: `#${item[method].operationId}` }, `${method.toUpperCase()} ${path}`);
      contents.append(element("li", {}, link));
      operations.append(section(path, method, item, spec));
    }
  }
}

try {
  const response = await fetch(`${ROOT}/openapi.json`);
  if (!response.ok) throw new Error(`status ${response.status}`);
  show(await response.json());
} catch (error) {
  operations.replaceChildren(element("p", { role: "alert" }, `The document cannot be read: ${error.message}.`));
}
