"""The whole system as ONE AsyncAPI 3 document: every queue, exchange and message, from the contracts alone.

Seen from the system: it receives commands and queries, and sends events. AsyncAPI has no place for AMQP's own
properties (`reply_to`, `correlation_id`, …), so they stand with the headers.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway.catalogue import EXCHANGES, QUEUES_OF_THE_SYSTEM, refusals_of, remark, requests, sentence
from gateway.examples import example_of
from shared import topology
from shared.messages import EVENTS, REQUESTS, Answer, Command, Event, Message, Refusal, Request

Json = dict[str, Any]
Entries = Iterator[tuple[str, Json]]

ABOUT = """
Publish JSON to a queue. It is named like the command or query; no header is needed. With `reply_to` the
answer comes to that queue under your `correlation_id`; its `type` is the answer's name, or `Refusal`. A
command with a `message_id` is done once, however often it is sent.
"""
ANSWERS = "answers"
BINDING = {"bindingVersion": "0.3.0"}


def document(host: str, virtual_host: str) -> Json:
    """All that the contracts declare, on the broker at `host`."""
    topology.load_contracts()
    path = f"/{quote(virtual_host, safe='')}"
    return {
        "asyncapi": "3.1.0",
        "info": {"title": "Conveyor", "version": "0.1.0", "description": ABOUT.strip()},
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {"protocol": "amqp", "host": host, "pathname": path}},
        "channels": {
            **dict(_queues()),
            ANSWERS: _answers(),
            **dict(_routing_keys()),
            **dict(_exchanges()),
        },
        "operations": {**dict(_received()), **dict(_said()), **dict(_heard())},
        "components": {
            "messages": {**dict(_messages()), **dict(_refusals())},
            "schemas": _schemas(),
            "correlationIds": {"conversation": {"location": "$message.header#/correlation_id"}},
        },
    }


def _queues() -> Entries:
    for queue in topology.queues(recent=True):
        contract = topology.request_of(queue.name) or EVENTS.get(queue.name.partition(".on.")[2])
        flags = {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False}
        yield (
            queue.name,
            {
                "address": queue.name,
                "description": QUEUES_OF_THE_SYSTEM.get(queue.name, ""),
                "messages": _components([contract.__name__] if contract else []),
                "bindings": {"amqp": {"is": "queue", "queue": flags, **BINDING}},
                "x-arguments": dict(queue.arguments),
                "x-bound-to": [{"exchange": exchange, "routingKey": key} for exchange, key in queue.bindings],
            },
        )


def _answers() -> Json:
    names = [*(one.__name__ for one in _answer_types()), *(name for name, _ in _refusals())]
    return {
        "address": None,
        "title": "Answers",
        "description": "Whatever queue a request names in `reply_to`.",
        "messages": _components(names),
    }


def _routing_keys() -> Entries:
    events = next(one for one in topology.exchanges() if one.name == topology.EVENTS_EXCHANGE)
    for event in EVENTS.values():
        channel: Json = {
            "address": event.routing_key.replace("*", "{owner}"),
            "messages": _components([event.__name__]),
            "bindings": _exchange_binding(events),
        }
        if "*" in event.routing_key:
            channel["parameters"] = {
                "owner": {"enum": topology.owners(), "description": "Whose command it was."}
            }
        yield _channel_of(event), channel


def _exchanges() -> Entries:
    for exchange in topology.exchanges():
        yield (
            f"exchange.{exchange.name}",
            {
                "address": exchange.name,
                "title": f"Exchange {exchange.name}",
                "description": EXCHANGES[exchange.name],
                "bindings": _exchange_binding(exchange),
                "x-arguments": dict(exchange.arguments),
            },
        )


def _exchange_binding(exchange: topology.Exchange) -> Json:
    flags = {"name": exchange.name, "type": exchange.kind, "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": flags, **BINDING}}


def _received() -> Entries:
    for queue, request in requests():
        kind = "command" if issubclass(request, Command) else "query"
        refusals = refusals_of(request)
        codes = dict.fromkeys(_refusal_name(refusal.code) for refusal in refusals)
        told = "\n".join(f"- `{refusal.code}`: {sentence(refusal)}" for refusal in refusals)
        yield (
            queue,
            {
                "action": "receive",
                "title": request.__name__,
                "summary": sentence(request),
                "description": f"{remark(request)}\n\nRefused with\n\n{told}".strip(),
                "channel": _pointer("channels", queue),
                "messages": [_pointer("channels", queue, "messages", request.__name__)],
                "reply": {
                    "address": {"location": "$message.header#/reply_to"},
                    "channel": _pointer("channels", ANSWERS),
                    "messages": [
                        _pointer("channels", ANSWERS, "messages", name)
                        for name in [request.answer.__name__, *codes]
                    ],
                },
                "tags": [{"name": queue.partition(".")[0]}, {"name": kind}],
            },
        )


def _said() -> Entries:
    for event in EVENTS.values():
        yield _channel_of(event), _about_event(event, "send", _channel_of(event))


def _heard() -> Entries:
    for event in EVENTS.values():
        for consumer in topology.hearers(event):
            queue = event.queue_of(consumer)
            yield queue, _about_event(event, "receive", queue)


def _about_event(event: type[Event], action: str, channel: str) -> Json:
    return {
        "action": action,
        "title": event.__name__,
        "summary": sentence(event),
        "channel": _pointer("channels", channel),
        "messages": [_pointer("channels", channel, "messages", event.__name__)],
        "tags": [{"name": channel.partition(".")[0]}, {"name": "event"}],
    }


def _messages() -> Entries:
    for contract in _contracts():
        payload = _pointer("components", "schemas", contract.__name__)
        shown = example_of(contract)
        yield contract.__name__, _message(contract, contract.__name__, sentence(contract), payload, shown)


def _refusals() -> Entries:
    """A message for each code: that is what programs tell refusals apart by."""
    kinds = {refusal for request in REQUESTS.values() for refusal in refusals_of(request)}
    for code in sorted({kind.code for kind in kinds}):
        sentences = sorted({sentence(kind) for kind in kinds if kind.code == code})
        of_this_code = {"properties": {"code": {"const": code}}}
        payload = {"allOf": [_pointer("components", "schemas", "Refusal"), of_this_code]}
        shown = {"code": code, "message": sentences[0], "errors": []}
        name = _refusal_name(code)
        yield name, _message(Refusal, name, " ".join(sentences), payload, shown)


def _message(kind: type[Any], name: str, summary: str, payload: Json, shown: Json) -> Json:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "headers": _properties(kind),
        "correlationId": _pointer("components", "correlationIds", "conversation"),
        "payload": payload,
        "examples": [{"payload": shown}],
    }


def _contracts() -> list[type[Message]]:
    return [*REQUESTS.values(), *_answer_types(), *EVENTS.values()]


def _answer_types() -> list[type[Answer]]:
    return list(dict.fromkeys(request.answer for request in REQUESTS.values()))


def _properties(kind: type[Any]) -> Json:
    """The AMQP properties that matter: nobody needs to set them, everybody who answers does."""
    names = ["message_id", "correlation_id"] + ["reply_to"] * issubclass(kind, Request)
    properties: Json = {name: {"type": "string"} for name in names}
    if not issubclass(kind, Request):
        properties["type"] = {"const": kind.__name__}
    return {"type": "object", "properties": properties}


def _schemas() -> Json:
    modes: list[tuple[type[Message], JsonSchemaMode]] = [
        (contract, "validation" if issubclass(contract, Request) else "serialization")
        for contract in _contracts()
    ]
    _, found = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    text = {"type": "string"}
    fault = {"type": "object", "properties": {"field": text, "message": text}}
    refusal = {
        "type": "object",
        "description": "`code` is stable and for programs, `message` is for people and says what to do.",
        "required": ["code", "message", "errors"],
        "properties": {"code": text, "message": text, "errors": {"type": "array", "items": fault}},
    }
    return {**found["$defs"], "Refusal": refusal}


def _channel_of(event: type[Event]) -> str:
    return event.routing_key.replace("*", "owner")


def _refusal_name(code: str) -> str:
    return f"refusal.{code}"


def _components(names: list[str]) -> Json:
    return {name: _pointer("components", "messages", name) for name in names}


def _pointer(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}
