"""The files of examples are what the contracts make, and every request in them works, in order, as shown."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.examples import JETBRAINS, POSTMAN, REST_CLIENT, made, openapi
from tests.system import Replica, System

BY_NAME = re.compile(r"@(\w+) = \{\{(\w+)\.response\.body\.\$\.(\w+)\}\}")
BY_SCRIPT = re.compile(r'(?:client\.global|pm\.collectionVariables)\.set\("(\w+)", [\w.()]+\.(\w+)\);')
PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass
class Sent:
    """A request as a file has it. `carried`: later variables, each with the field of the answer it is."""

    title: str
    method: str
    address: str
    headers: dict[str, str]
    body: str
    carried: dict[str, str]

    @property
    def status(self) -> int:
        return int(self.title.rpartition(": ")[2])


def in_http_file(text: str) -> Iterator[tuple[str, Sent]]:
    """Requests by name, as VS Code's REST Client and JetBrains' client read them."""
    for block in text.split("### ")[1:]:
        title, *lines = block.partition("###\n")[0].splitlines()
        request, _, script = "\n".join(line for line in lines if not line.startswith("#")).partition("> {%")
        head, _, body = request.strip().partition("\n\n")
        line, *headers = head.splitlines()
        method, address = line.split(" ")
        carried = dict(BY_SCRIPT.findall(script))
        name = next(line.removeprefix("# @name ") for line in lines if line.startswith("# @name "))
        yield name, Sent(title, method, address, dict(map(_header, headers)), body.strip(), carried)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


def rest_client() -> list[Sent]:
    text = REST_CLIENT.read_text(encoding="utf-8")
    found = dict(in_http_file(text))
    for variable, name, field in BY_NAME.findall(text):
        found[name].carried[variable] = field
    return list(found.values())


def jetbrains() -> list[Sent]:
    return list(dict(in_http_file(JETBRAINS.read_text(encoding="utf-8"))).values())


def postman() -> list[Sent]:
    collection = json.loads(POSTMAN.read_text(encoding="utf-8"))
    return [_postman(item) for folder in collection["item"] for item in folder["item"]]


def _postman(item: dict[str, Any]) -> Sent:
    request = item["request"]
    headers = {header["key"]: header["value"] for header in request["header"]}
    body = request.get("body", {}).get("raw", "")
    script = "\n".join(item["event"][0]["script"]["exec"])
    return Sent(
        item["name"], request["method"], request["url"], headers, body, dict(BY_SCRIPT.findall(script))
    )


@pytest.mark.parametrize("file", made(), ids=lambda file: file.name)
def test_the_files_are_what_the_contracts_make(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == made()[file], "run 'make examples'"


def test_all_files_hold_the_same_requests() -> None:
    assert rest_client() == jetbrains() == postman()


def test_every_operation_of_the_gateway_is_there() -> None:
    documented = [
        (method.upper(), re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
        for path, operations in openapi()["paths"].items()
        for method in operations
        if method in {"get", "post", "put", "patch", "delete"} and path != "/operations/{operation}"
    ]
    shown = [(one.method, one.address.removeprefix("{{gateway}}").partition("?")[0]) for one in rest_client()]

    for method, path in documented:
        assert [address for one, address in shown if one == method and re.fullmatch(path, address)]
    assert ("GET", "{{operation}}") in shown


async def test_sent_in_order_to_an_empty_system_all_are_answered_as_shown(
    system: System, gateway: Replica, services: list[Replica]
) -> None:
    known = {"gateway": gateway.url}

    def filled(text: str) -> str:
        return PLACE.sub(lambda found: known[found[1]], text)

    async with system.http(gateway) as http:
        for one in rest_client():
            answer = await http.request(
                one.method, filled(one.address), headers=one.headers, content=filled(one.body).encode()
            )
            assert answer.status_code == one.status, (one.title, answer.text)
            known |= {variable: answer.json()[field] for variable, field in one.carried.items()}
        await check_openapi_examples(http)

    assert known.keys() >= {"gateway", "task", "generation", "operation"}


async def check_openapi_examples(http: httpx2.AsyncClient) -> None:
    """What a person gets who presses *Execute* in `/docs`: it is done, or a problem that is documented."""
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            shown = [one for one in operation.get("parameters", ()) if "example" in one]
            names = {one["name"]: one["example"] for one in shown if one["in"] == "path"}
            query = {one["name"]: one["example"] for one in shown if one["in"] == "query"}
            head = {one["name"]: one["example"] for one in shown if one["in"] == "header"}
            for kind, media in operation.get("requestBody", {}).get("content", {"": {}}).items():
                answer = await http.request(
                    method.upper(),
                    path.format(**names),
                    params=query,
                    headers=head | ({"content-type": kind} if kind else {}),
                    content=json.dumps(media["example"]).encode() if kind else b"",
                )
                assert str(answer.status_code) in operation["responses"], (method, path, answer.text)
                assert answer.status_code in {200, 201, 202, 404, 409}, (method, path, answer.text)
