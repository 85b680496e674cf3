"""Composition root of the gateway: settings → broker connections → routes → process."""

import asyncio

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway import errors, examples, openapi
from gateway.cache import Cache
from gateway.compression import Compression
from gateway.deadline import Deadline
from gateway.event_line import EventLine
from gateway.gateway import Gateway
from gateway.lean import Lean
from gateway.limits import Limits
from gateway.methods import Methods
from gateway.metrics import WAITING, HttpMetrics
from gateway.operations import Operations
from gateway.routes import operations as operation_routes
from gateway.routes import tasks, texts, waste
from gateway.routes.pages import pages
from gateway.settings import GatewaySettings
from gateway.valkey_level import ValkeyLevel
from shared.asking import RequestClient
from shared.blobs import Blobs
from shared.bus import Publisher
from shared.health import Dependency, Health
from shared.http.door import http_door
from shared.process import end, run_process, settings_or_exit, until_stopped

ABOUT = "Commands and queries of Conveyor. Each becomes a message; its owner answers."
ROUTERS = (tasks.router, waste.router, texts.router, operation_routes.router)


def build_app(settings: GatewaySettings, gateway: Gateway, health: Health) -> FastAPI:
    app = FastAPI(
        title="Conveyor",
        version="0.1.0",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would trust the Host header, and lose what some clients sent
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.gateway = gateway
    errors.install(app)
    examples.install(app)
    openapi.install(app)
    for router in (*ROUTERS, pages(settings)):
        app.include_router(router)
    for path, page in health.pages():
        app.routes.append(Route(path, page, methods=["GET"], include_in_schema=False))
    return app


def behind_checks(app: FastAPI, settings: GatewaySettings) -> ASGIApp:
    """All that a request passes before it comes to a route, from the innermost to the outermost."""
    door: ASGIApp = Lean(app, ROUTERS)
    door = Compression(door, least=settings.compressed_bytes)
    door = Methods(door, app.routes)
    door = Limits(door, settings=settings, larger={"/texts": settings.text_body_bytes})
    door = Deadline(door, seconds=settings.request_seconds)
    return HttpMetrics(door)


async def run(settings: GatewaySettings) -> None:
    publisher = Publisher(settings.rabbitmq_url, "gateway")
    level = (
        ValkeyLevel(settings.valkey_url, settings.cache_seconds)
        if settings.valkey_url and settings.cache_bytes
        else None
    )
    cache = Cache(settings.cache_bytes, settings.cache_seconds, lambda: broker.up and client.hears, level)
    client = RequestClient(settings.rabbitmq_url, publisher, also=EventLine(cache).open)
    broker = Dependency("broker", client.probe)
    health = Health([broker, *([level.dependency] if level else [])])
    operations = Operations(settings.secret.get_secret_value(), settings.operation_hours * 3600)
    gateway = Gateway(client, broker, cache, operations, settings, Blobs(settings.blobs_url))
    WAITING.set_function(lambda: gateway.waiting)
    background = [
        asyncio.create_task(publisher.link.keep_open(), name="publishing"),
        asyncio.create_task(client.link.keep_open(), name="answers"),
        *(asyncio.create_task(one.keep_probing(), name=one.name) for one in health.dependencies),
    ]
    health.stage = "running"
    door = behind_checks(build_app(settings, gateway, health), settings)
    place, patience = (settings.http_host, settings.http_port), settings.grace_seconds
    try:
        async with http_door(door, *place, first=health.ready_soon, grace_seconds=patience):
            await until_stopped(*background)
            health.stage = "stopping"
            cache.dismiss()
    finally:  # who came in before the door was closed still needed the broker
        await end(*background)
        if level:
            await level.close()


def main() -> None:
    settings = settings_or_exit(GatewaySettings)
    run_process("gateway", settings, lambda: run(settings))


if __name__ == "__main__":
    main()
