// Swagger UI over this gateway's own OpenAPI document; dark where the reader's system is.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// What a command creates, and the operation that it is, the other examples are about from then on.
function carried(answer) {
  const [, operation] = /<([^>]+)>; rel="monitor"/.exec(answer.headers.link) ?? [];
  for (const address of [answer.headers.location, operation].filter(Boolean)) {
    const end = address.lastIndexOf("/") + 1;
    for (const [path, methods] of Object.entries(ui.specSelectors.specJson().get("paths").toJS())) {
      if (!path.startsWith(`${address.slice(0, end)}{`)) continue;
      const name = path.slice(end + 1, path.indexOf("}"));
      for (const method of Object.keys(methods))
        ui.specActions.changeParam([path, method], name, "path", decodeURIComponent(address.slice(end)), false);
    }
  }
  return answer;
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  responseInterceptor: carried,
});
