"""Composition root of the gateway: settings → broker connections → routes → process."""

import asyncio

from fastapi import FastAPI
from starlette.routing import Route

from gateway import errors, examples
from gateway.asking import Gateway
from gateway.limits import BodyLimit
from gateway.metrics import HttpMetrics
from gateway.operations import Operations
from gateway.routes import operations as operation_routes
from gateway.routes import tasks, waste
from gateway.routes.pages import pages
from gateway.settings import GatewaySettings
from shared.asking import RequestClient
from shared.bus import Publisher
from shared.health import Dependency, Health
from shared.process import end, http_door, run_process, settings_or_exit, until_stopped

ABOUT = "Commands and queries of Conveyor. Each becomes a message; its owner answers."


def build_app(settings: GatewaySettings, gateway: Gateway, health: Health) -> FastAPI:
    app = FastAPI(title="Conveyor", version="0.1.0", description=ABOUT, docs_url=None, redoc_url=None)
    app.state.gateway = gateway
    app.add_middleware(BodyLimit, most=settings.body_bytes)
    app.add_middleware(HttpMetrics)
    errors.install(app)
    examples.install(app)
    for router in (tasks.router, waste.router, operation_routes.router, pages(settings)):
        app.include_router(router)
    for path, page in health.pages():
        app.routes.append(Route(path, page, include_in_schema=False))
    return app


async def run(settings: GatewaySettings) -> None:
    publisher = Publisher(settings.rabbitmq_url, "gateway")
    client = RequestClient(settings.rabbitmq_url, publisher)
    broker = Dependency("broker", client.probe)
    health = Health([broker])
    operations = Operations(settings.secret.get_secret_value(), settings.operation_hours * 3600)
    gateway = Gateway(client, broker, operations, settings.wait_seconds, settings.waiting_requests)
    background = [
        asyncio.create_task(publisher.link.keep_open(), name="publishing"),
        asyncio.create_task(client.link.keep_open(), name="answers"),
        asyncio.create_task(broker.keep_probing(), name="broker"),
    ]
    health.stage = "running"
    async with http_door(build_app(settings, gateway, health), settings.http_host, settings.http_port):
        try:
            await until_stopped(*background)
            health.stage = "stopping"
            await gateway.drained(settings.grace_seconds)
        finally:
            await end(*background)


def main() -> None:
    settings = settings_or_exit(GatewaySettings)
    run_process("gateway", settings, lambda: run(settings))


if __name__ == "__main__":
    main()
