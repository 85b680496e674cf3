"""`make examples`: a walk through the whole REST API, as files for the tools that people send requests with.

Everything is from OpenAPI, which has its examples from the contracts. What one request creates, later ones
use: an id goes from answer to request in each tool's own way. On an empty system every request is answered
with the status that it is shown with; elsewhere only what exists already is not.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from gateway.gateway import Gateway
from gateway.main import build_app
from gateway.settings import GatewaySettings
from shared.health import Health

ROOT = Path(__file__).parent.parent
REST_CLIENT = ROOT / "requests.http"
JETBRAINS = ROOT / "docs" / "requests.jetbrains.http"
POSTMAN = ROOT / "docs" / "requests.postman_collection.json"
GATEWAY = "http://127.0.0.1:8000"
ABOUT = (
    "Made by 'make examples'; what is changed here by hand is lost. Send from top to bottom: what exists "
    "already is then answered with 409. 'make run' shows the gateway's address."
)
METHODS = ("post", "get", "put", "patch", "delete")
"""In this order under one path: what is looked up was created before."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A request, the status it is answered with, and which fields of the answer later requests need."""

    group: str
    name: str
    title: str
    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Json | None = None
    carried: dict[str, str] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        return f"{self.title}: {self.status}"

    @property
    def text(self) -> str:
        return "" if self.body is None else json.dumps(self.body, ensure_ascii=False, indent=2)


def steps(document: Json) -> list[Step]:
    """All operations: what creates comes first, what removes last, then a command that is not waited for."""
    found = [
        _step(document, path, method)
        for path, operations in document["paths"].items()
        for method in METHODS
        if method in operations and path != "/operations/{operation}"
    ]
    found.sort(key=lambda step: (step.group, step.method == "DELETE"))
    return [*found, *_not_waited_for(found[0])]


def _step(document: Json, path: str, method: str) -> Step:
    operation = document["paths"][path][method]
    done = next(status for status in operation["responses"] if status.startswith("2"))
    bodies: Json = operation.get("requestBody", {}).get("content", {})
    kind = next(iter(bodies), "")
    return Step(
        group=operation["tags"][0],
        name=operation["operationId"].rpartition(".")[2],
        title=operation["summary"],
        method=method.upper(),
        path=_filled(path, operation),
        status=operation.get("x-example-status", int(done)),
        headers=_headers(operation) | ({"Content-Type": kind} if kind else {}),
        body=bodies[kind]["example"] if kind else None,
        carried=_carried(document, operation, done) if done in {"201", "202"} else {},
    )


def _headers(operation: Json) -> dict[str, str]:
    """Those that must be sent."""
    parameters = operation.get("parameters", ())
    return {
        one["name"]: one["example"] for one in parameters if one["in"] == "header" and one.get("required")
    }


def _filled(path: str, operation: Json) -> str:
    """The address: names as the examples have them, ids as what was created before is known by."""
    shown = [one for one in operation.get("parameters", ()) if "example" in one]
    query = urlencode({one["name"]: one["example"] for one in shown if one["in"] == "query"}, doseq=True)
    parts = {
        one["name"]: f"{{{{{one['name']}}}}}" if _is_id(one) else quote(one["example"])
        for one in shown
        if one["in"] == "path"
    }
    return path.format(**parts) + (f"?{query}" if query else "")


def _is_id(parameter: Json) -> bool:
    return bool(parameter["schema"].get("format") == "uuid")


def _carried(document: Json, created: Json, done: str) -> dict[str, str]:
    """The path parameter by whose id is looked up what this creates."""
    answer = _answer(created, done)
    answer = answer.get("anyOf", [answer])[0]
    for path, operations in document["paths"].items():
        looked_up = operations.get("get", {"responses": {}})
        if path.endswith("}") and _answer(looked_up, "200") == answer:
            return {one["name"]: "id" for one in looked_up["parameters"] if _is_id(one)}
    return {}


def _answer(operation: Json, status: str) -> Any:
    return operation["responses"].get(status, {}).get("content", {}).get("application/json", {}).get("schema")


def _not_waited_for(command: Step) -> list[Step]:
    later = replace(
        command,
        group="operations",
        name=f"{command.name}_later",
        title=f"{command.title} without waiting for it",
        headers=command.headers | {"Prefer": "respond-async"},
        status=202,
        carried={"operation": "operation"},
    )
    title = "Ask what has become of it"
    return [later, Step("operations", "get_operation", title, "GET", "{{operation}}", 200)]


def rest_client(steps: list[Step]) -> str:
    """For VS Code's REST Client, and Visual Studio."""
    blocks = [f"# {ABOUT}\n# JetBrains' IDEs: docs/requests.jetbrains.http\n\n@gateway = {GATEWAY}\n"]
    for step in steps:
        blocks.append(f"### {step.heading}\n# @name {step.name}\n{_request(step)}")
        for variable, name in step.carried.items():
            blocks.append(f"###\n@{variable} = {{{{{step.name}.response.body.$.{name}}}}}\n")
    return "\n".join(blocks)


def jetbrains(steps: list[Step]) -> str:
    """For the HTTP client of JetBrains' IDEs."""
    blocks = [f"# {ABOUT}\n# VS Code: requests.http\n\n@gateway = {GATEWAY}\n"]
    for step in steps:
        checked = [f'client.test("{step.status}", () => client.assert(response.status === {step.status}));']
        carried = [
            f'client.global.set("{variable}", response.body.{name});'
            for variable, name in step.carried.items()
        ]
        script = "\n".join(f"    {line}" for line in checked + carried)
        blocks.append(f"### {step.heading}\n# @name {step.name}\n{_request(step)}\n> {{%\n{script}\n%}}\n")
    return "\n".join(blocks)


def _request(step: Step) -> str:
    head = [
        f"{step.method} {{{{gateway}}}}{step.path}",
        *(f"{name}: {value}" for name, value in step.headers.items()),
    ]
    return "\n".join([*head, *(["", step.text] if step.body is not None else []), ""])


def postman(steps: list[Step]) -> str:
    """For Postman and what reads its collections, format 2.1."""
    groups = dict.fromkeys(step.group for step in steps)
    collection = {
        "info": {
            "name": "Conveyor",
            "description": ABOUT,
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "variable": [{"key": "gateway", "value": GATEWAY}],
        "item": [
            {"name": group, "item": [_item(step) for step in steps if step.group == group]}
            for group in groups
        ],
    }
    return json.dumps(collection, ensure_ascii=False, indent=2) + "\n"


def _item(step: Step) -> Json:
    request: Json = {
        "method": step.method,
        "header": [{"key": name, "value": value} for name, value in step.headers.items()],
        "url": f"{{{{gateway}}}}{step.path}",
    }
    if step.body is not None:
        request["body"] = {"mode": "raw", "raw": step.text, "options": {"raw": {"language": "json"}}}
    script = [
        f'pm.test("{step.status}", () => pm.response.to.have.status({step.status}));',
        *(
            f'pm.collectionVariables.set("{variable}", pm.response.json().{name});'
            for variable, name in step.carried.items()
        ),
    ]
    event = {"listen": "test", "script": {"type": "text/javascript", "exec": script}}
    return {"name": step.heading, "event": [event], "request": request}


def openapi() -> Json:
    """The gateway's own document; it needs nothing that runs."""
    nothing = cast(Gateway, None)
    return build_app(GatewaySettings(), nothing, Health([])).openapi()


def made() -> dict[Path, str]:
    """What each file should hold."""
    walk = steps(openapi())
    return {REST_CLIENT: rest_client(walk), JETBRAINS: jetbrains(walk), POSTMAN: postman(walk)}


if __name__ == "__main__":
    for file, text in made().items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(ROOT))
