"""The pages for people: whole, from this gateway alone, and true."""

import html
import json
import re

import httpx2
import pytest

from gateway.catalogue import refusals_of
from shared import topology
from tests.amqp import client
from tests.system import Replica, System

topology.load_contracts()

PAGES = ("/docs", "/docs/queues", "/asyncapi")
LOADED = re.compile(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"')
CARD = re.compile(r'<article id="([^"]+)">(.*?)</article>', re.S)
PAYLOAD = re.compile(r"Payload</figcaption><pre>(.*?)</pre>", re.S)


@pytest.fixture(scope="module")
async def gateway(system: System) -> Replica:
    return await system.start("gateway", management_url="http://rabbit.example:15672/")


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_loads_only_what_this_gateway_serves(
    system: System, gateway: Replica, page: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.get(page)
        loaded = [await http.get(address) for address in LOADED.findall(answer.text)]

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert len(loaded) >= 2
    assert {(one.status_code, one.request.url.host) for one in loaded} == {(200, "127.0.0.1")}


async def test_what_has_a_version_in_its_path_is_kept_and_the_rest_asked_for_anew(
    system: System, gateway: Replica
) -> None:
    async with system.http(gateway) as http:
        loaded = LOADED.findall((await http.get("/docs")).text)
        answers = [await http.get(address) for address in loaded]
        again = [
            await http.get(address, headers={"if-none-match": answer.headers["etag"]})
            for address, answer in zip(loaded, answers, strict=True)
        ]

    for address, answer in zip(loaded, answers, strict=True):
        lasts = bool(re.search(r"-\d+\.\d+\.\d+/", address))
        assert ("immutable" in answer.headers["cache-control"]) == lasts
    assert {(one.status_code, one.content) for one in again} == {(304, b"")}


@pytest.mark.parametrize(
    "path",
    [
        "/assets/%2e%2e/main.py",
        "/assets/..%2fmain.py",
        "/assets//etc/passwd",
        "/assets/%00",
        "/assets/",
        "/assets/swagger-ui-5.35.0",
        "/assets/" + "x" * 5000,
        "/redoc",
    ],
)
async def test_nothing_but_assets_is_served_as_an_asset(system: System, gateway: Replica, path: str) -> None:
    async with system.http(gateway) as http:
        answer = await http.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route")


async def test_the_documents_are_where_the_pages_look_for_them(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        rest = (await http.get("/openapi.json")).json()
        messages = (await http.get("/asyncapi.json")).json()

    assert "/tasks/{task}" in rest["paths"]
    assert "/docs" not in rest["paths"]
    assert "tasks.create_task" in messages["channels"]
    assert messages["servers"]["rabbitmq"]["pathname"] == f"/{system.name}"


async def test_every_queue_is_shown_with_a_link_to_where_it_is(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        cards = dict(CARD.findall((await http.get("/docs/queues")).text))

    for queue in topology.queues(recent=True):
        card = cards[queue.name.partition(".on.")[2] or queue.name]  # an event's queues stand with the event
        assert f'href="http://rabbit.example:15672/#/queues/{system.name}/{queue.name}"' in card
    for request in map(topology.request_of, topology.request_queues()):
        assert request is not None
        for refusal in refusals_of(request):
            assert f"<code>{refusal.code}</code>" in cards[request.queue.replace("*", "tasks")]
    assert {"waste.waste_stored", "tasks.command_refused"} <= cards.keys()


async def test_without_the_address_of_the_management_page_there_are_no_links(system: System) -> None:
    plain = await system.start("gateway")
    async with system.http(plain) as http:
        page = (await http.get("/docs/queues")).text

    assert "#/queues" not in page
    assert len(CARD.findall(page)) > 30


async def test_every_payload_can_be_pasted_as_it_stands(
    system: System, gateway: Replica, services: list[Replica]
) -> None:
    async with system.http(gateway) as http:
        cards = CARD.findall((await http.get("/docs/queues")).text)
    found = {queue: PAYLOAD.search(card) for queue, card in cards}
    payloads = {queue: json.loads(html.unescape(payload[1])) for queue, payload in found.items() if payload}

    async with client(system) as amqp:
        answers = {queue: await amqp.ask(queue, payload) for queue, payload in payloads.items()}

    assert answers.keys() == set(topology.request_queues())
    for queue, answer in answers.items():
        request = topology.request_of(queue)
        assert request is not None
        codes = {refusal.code for refusal in request.refusals}
        assert not answer.refused or answer.body["code"] in codes, (queue, answer.body)


async def test_a_service_describes_itself_without_loading_anything_from_elsewhere(
    system: System, services: list[Replica]
) -> None:
    async with system.http(services[0]) as http:
        document = await http.get("/docs/asyncapi.json")
        page = await http.get("/docs/asyncapi")

    assert document.json()["asyncapi"].startswith("3.")
    assert page.status_code == httpx2.codes.NOT_FOUND
