"""The document of the whole system: valid, complete, and without a reference into nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.asyncapi import document
from shared import topology
from shared.messages import EVENTS

SCHEMA = Path(__file__).parent / "asyncapi-3.1.0" / "schema.json"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> Json:
    return document("broker:5672", "team/a")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def at(document: Json, reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_it_is_valid_asyncapi_3(made: Json) -> None:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))

    assert [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(made)] == []


def test_every_reference_leads_somewhere(made: Json) -> None:
    for reference in references(made):
        assert at(made, reference), reference


def test_it_has_every_queue_and_exchange_as_they_are_declared(made: Json) -> None:
    for queue in topology.queues(recent=True):
        channel = made["channels"][queue.name]
        assert (channel["address"], channel["x-arguments"]) == (queue.name, queue.arguments)
        assert channel["bindings"]["amqp"]["queue"]["durable"]
    for exchange in topology.exchanges():
        binding = made["channels"][f"exchange.{exchange.name}"]["bindings"]["amqp"]
        assert (binding["exchange"]["name"], binding["exchange"]["type"]) == (exchange.name, exchange.kind)


def test_every_request_is_received_with_its_answer_and_its_refusals(made: Json) -> None:
    for queue in topology.request_queues():
        request = topology.request_of(queue)
        assert request is not None
        operation = made["operations"][queue]
        replies = [one["$ref"].rpartition("/")[2] for one in operation["reply"]["messages"]]
        assert operation["action"] == "receive"
        assert replies[0] == request.answer.__name__
        assert {f"refusal.{refusal.code}" for refusal in request.refusals} <= set(replies)
        assert "refusal.invalid" in replies


def test_every_event_is_sent_under_its_routing_key(made: Json) -> None:
    for event in EVENTS.values():
        sent = [one for one in made["operations"].values() if one["title"] == event.__name__]
        [channel] = [at(made, one["channel"]["$ref"]) for one in sent if one["action"] == "send"]
        assert channel["address"].replace("{owner}", "*") == event.routing_key


def test_examples_fit_the_schemas_that_stand_beside_them(made: Json) -> None:
    for message in made["components"]["messages"].values():
        schema = {**message["payload"], "components": made["components"]}
        for example in message["examples"]:
            jsonschema_rs.validator_for(schema).validate(example["payload"])


def test_the_virtual_host_stands_in_the_path_as_amqp_writes_it(made: Json) -> None:
    assert made["servers"]["rabbitmq"]["pathname"] == "/team%2Fa"
