"""The OpenAPI document says what routes really answer: read, and tried by Schemathesis."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.openapi import request_of
from shared import topology
from shared.messages import Command, Conditional
from tests.system import ROOT, Replica, System

BOUNDED = ("--max-examples=15", "--seed=4", "--generation-deterministic")


@pytest.fixture(scope="module")
async def document(system: System, gateway: Replica) -> dict[str, Any]:
    topology.load_contracts()
    async with system.http(gateway) as http:
        document: dict[str, Any] = (await http.get("/openapi.json")).json()
        return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that send one message; a stream asks again and again."""
    for methods in document["paths"].values():
        for operation in methods.values():
            if "text/event-stream" not in operation["responses"].get("200", {}).get("content", {}):
                yield operation


def parameters(operation: dict[str, Any]) -> dict[str, bool]:
    """Those in headers, by name: are they required."""
    found = (one for one in operation.get("parameters", []) if one["in"] == "header")
    return {one["name"]: one.get("required", False) for one in found}


async def test_every_operation_is_named_like_the_contract_that_it_sends(document: dict[str, Any]) -> None:
    assert [one["operationId"] for one in operations(document) if not request_of(one["operationId"])] == []


async def test_every_problem_is_described_as_it_is_sent(
    system: System, gateway: Replica, document: dict[str, Any]
) -> None:
    async with system.http(gateway) as http:
        sent = (await http.get("/tasks/not-an-id")).json()

    for operation in operations(document):
        problems = {status: one for status, one in operation["responses"].items() if status >= "4"}
        assert problems.keys() >= {"400", "414", "422", "431", "503", "504"}
        assert {media for one in problems.values() for media in one["content"]} == {
            "application/problem+json"
        }
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["components"]["schemas"]["Problem"]["properties"].keys() == sent.keys()


async def test_what_commands_and_conditions_add_follows_from_the_contract(document: dict[str, Any]) -> None:
    for operation in operations(document):
        request, found = request_of(operation["operationId"]), operation["responses"]
        assert request is not None
        is_command, is_conditional = issubclass(request, Command), issubclass(request, Conditional)
        headers = parameters(operation)
        assert ("202" in found) == ({"Idempotency-Key", "Prefer"} <= headers.keys()) == is_command
        assert ("412" in found) == ("If-Match" in headers) == is_conditional
        assert ("304" in found) == ("If-None-Match" in headers)
        assert ("428" in found) == headers.get("If-Match", False)
        assert ("413" in found) == ("415" in found) == ("requestBody" in operation)
        assert ({"malformed_key", "message_id_reused", "outcome_unknown"} <= codes(operation)) == is_command
        assert {refusal.code for refusal in request.refusals} <= codes(operation)


def codes(operation: dict[str, Any]) -> set[str]:
    found = operation["responses"].values()
    return {code for one in found for code in one["description"].split(", ")}


async def test_single_resources_and_their_changes_have_entity_tags(document: dict[str, Any]) -> None:
    task = document["paths"]["/tasks/{task}"]

    assert "ETag" in task["get"]["responses"]["200"]["headers"]
    assert "304" in task["get"]["responses"]
    assert "ETag" in task["patch"]["responses"]["200"]["headers"]
    assert parameters(task["put"])["If-Match"] is True
    assert "Location" in document["paths"]["/tasks"]["post"]["responses"]["201"]["headers"]


@pytest.mark.timeout(600)  # all of it is computing, beside other tests that compute
async def test_no_request_that_schemathesis_thinks_of_is_answered_otherwise_than_the_document_says(
    system: System, gateway: Replica, services: list[Replica], tmp_path: Path
) -> None:
    """The same tries each time; tests/openapi says how to let it think of others for as long as you like."""
    command = [
        sys.executable,
        *("-m", "schemathesis.cli", f"--config-file={ROOT}/tests/openapi/schemathesis.toml", "run"),
        *(*BOUNDED, "--no-color", f"{gateway.url}/openapi.json"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.openapi.hooks", "PYTHONPATH": str(ROOT)}
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=tmp_path,
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    for replica in (gateway, *services):
        assert [line for line in replica.lines() if line["level"] == "error"] == []
