"""FastAPI that publishes through aio-pika, confirmed, to a quorum queue, and answers 202: nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from fastapi import FastAPI, Request

from shared.contracts.tasks import TaskFields

QUEUE = "bare.create_task"


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    async with await aio_pika.connect(os.environ["BROKER_URL"]) as connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=connected)


@app.post("/tasks", status_code=202)
async def create_task(fields: TaskFields, request: Request) -> dict[str, str]:
    body, persistent = fields.model_dump_json().encode(), aio_pika.DeliveryMode.PERSISTENT
    message = aio_pika.Message(body, delivery_mode=persistent, content_type="application/json")
    await request.app.state.exchange.publish(message, QUEUE, mandatory=True)
    return {"status": "waiting"}
