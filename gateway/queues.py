"""`/docs/queues`: every queue with what to type into it, what comes back and what it refuses; every event."""

import json
import re
from html import escape
from typing import Any
from urllib.parse import quote

from gateway.catalogue import QUEUES_OF_THE_SYSTEM, refusals_of, remark, requests, routing_keys, sentence
from gateway.examples import example_of
from shared import topology
from shared.messages import EVENTS, Command, Event, Request

CODE = re.compile("`([^`]+)`")
HOW = """
<h1>Queues and events</h1>
<p>On RabbitMQ's management page open a queue, press <em>Publish message</em> and paste the payload. No header
is needed, and any content type will do. Three properties help:</p>
<ul>
<li>with a <code>message_id</code> a command is done once, however often it is sent;</li>
<li>with <code>reply_to</code> the answer comes to that queue under your <code>correlation_id</code>; its
<code>type</code> is the answer's name, or <code>Refusal</code>;</li>
<li>without <code>reply_to</code> a refused command is kept in <code>refused.recent</code>.</li>
</ul>
<input id="filter" type="search" placeholder="Filter by any words" aria-label="Filter by any words" hidden>
<p id="nothing" hidden>Nothing here has all these words.</p>
"""


class Links:
    """Where queues are on RabbitMQ's management page. Without its address there are no links."""

    def __init__(self, management_url: str, virtual_host: str):
        self.page = management_url.rstrip("/")
        self.virtual_host = quote(virtual_host, safe="")

    def to(self, queue: str) -> str:
        if not self.page:
            return ""
        address = f"{self.page}/#/queues/{self.virtual_host}/{quote(queue, safe='')}"
        return f'<a href="{escape(address)}" target="_blank" rel="noopener">open in RabbitMQ</a>'


def content(links: Links) -> str:
    """All queues and events of all contracts, by owner."""
    topology.load_contracts()
    sections: dict[str, list[str]] = {}
    for queue, request in requests():
        sections.setdefault(queue.partition(".")[0], []).append(_request(queue, request, links))
    for event in EVENTS.values():
        sections.setdefault("events", []).extend(_event(key, event, links) for key in routing_keys(event))
    for queue, about in QUEUES_OF_THE_SYSTEM.items():
        sections.setdefault("the system's own", []).append(_card(queue, "queue", about, links.to(queue)))
    return HOW + "".join(
        f"<section><h2>{escape(title)}</h2>{''.join(cards)}</section>" for title, cards in sections.items()
    )


def _request(queue: str, request: type[Request[Any]], links: Links) -> str:
    refusals = "".join(
        f"<dt><code>{escape(refusal.code)}</code></dt><dd>{_text(sentence(refusal))}</dd>"
        for refusal in refusals_of(request)
    )
    return _card(
        queue,
        "command" if issubclass(request, Command) else "query",
        f"{sentence(request)} {remark(request)}",
        links.to(queue),
        _example("Payload", example_of(request)),
        f"<details><summary>Refused with</summary><dl>{refusals}</dl></details>",
        f"<details><summary>Answered with <code>{request.answer.__name__}</code></summary>"
        f"{_example('Answer', example_of(request.answer))}</details>",
    )


def _event(routing_key: str, event: type[Event], links: Links) -> str:
    queues = map(event.queue_of, topology.hearers(event))
    hearing = [f"<code>{escape(queue)}</code> {links.to(queue)}" for queue in queues]
    return _card(
        routing_key,
        "event",
        f"{sentence(event)} {remark(event)}",
        "",
        f"<p>Heard in {', '.join(hearing)}.</p>" if hearing else "<p>No service hears it yet.</p>",
        _example("Example", example_of(event)),
    )


def _card(name: str, kind: str, about: str, link: str, *parts: str) -> str:
    head = f'<h3><code>{escape(name)}</code></h3><span class="kind {kind}">{kind}</span>{link}'
    content = f"<header>{head}</header><p>{_text(about)}</p>{''.join(parts)}"
    return f'<article id="{escape(name)}">{content}</article>'


def _text(docstring: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(docstring, quote=False))


def _example(title: str, value: Any) -> str:
    text = escape(json.dumps(value, ensure_ascii=False, indent=2), quote=False)
    return f"<figure><figcaption>{title}</figcaption><pre>{text}</pre></figure>"
