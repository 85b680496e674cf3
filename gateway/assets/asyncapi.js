// AsyncAPI's viewer over the system's own document. Its parser is left out, for half of its size: all that it
// would do here is to put each thing in the place of its references, and to note its name.
const RESOLVED = Symbol("resolved");

function named(document) {
  for (const place of ["channels", "operations"])
    for (const [name, value] of Object.entries(document[place])) value["x-parser-unique-object-id"] = name;
  for (const [name, value] of Object.entries(document.components.messages))
    value["x-parser-unique-object-id"] = value["x-parser-message-name"] = name;
  for (const [name, value] of Object.entries(document.components.schemas)) value["x-parser-schema-id"] = name;
  return document;
}

function resolved(value, root) {
  if (typeof value !== "object" || value === null) return value;
  if (typeof value.$ref === "string")
    return resolved(value.$ref.split("/").slice(1).reduce((found, part) => resolved(found[part], root), root), root);
  if (value[RESOLVED]) return value;
  Object.defineProperty(value, RESOLVED, { value: true });
  for (const key of Object.keys(value)) value[key] = resolved(value[key], root);
  return value;
}

fetch("/asyncapi.json")
  .then((answer) => answer.json())
  .then((document) => {
    const schema = resolved(named(document), document);
    schema["x-parser-spec-parsed"] = true;
    const config = {
      show: { sidebar: true, errors: false },
      sidebar: { showOperations: "byDefault" },
      expand: { messageExamples: true },
    };
    AsyncApiStandalone.render({ schema, config }, window.document.getElementById("viewer"));
  });
