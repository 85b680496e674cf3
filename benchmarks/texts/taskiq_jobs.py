"""taskiq doing the same: its broker and its task, and as a program the client that hands texts in.

As its documentation says: taskiq-aio-pika with its quorum queue, results in Redis, orjson and uvloop where
they are installed. The task is a coroutine, which spares it the way through a thread.
"""

import asyncio
import os

import redis.asyncio as redis
import uvloop
from taskiq import AsyncTaskiqTask
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import RedisAsyncResultBackend

from benchmarks.texts.handing_in import IN_FLIGHT, POLL_SECONDS, TOP, HandingIn, from_arguments
from text_worker.domain.counting import report_on

backend = RedisAsyncResultBackend(os.environ["RESULTS_URL"], serializer=ORJSONSerializer())
broker = AioPikaBroker(os.environ["BROKER_URL"], qos=128).with_result_backend(backend)
broker = broker.with_serializer(ORJSONSerializer())


@broker.task(task_name="count_text")
async def count_text(text: str) -> str:
    return report_on(text, TOP)


async def main() -> None:
    round_ = from_arguments()
    store = redis.Redis.from_url(os.environ["RESULTS_URL"])
    known = await store.dbsize()
    await broker.startup()

    round_.start()
    tasks = await _hand_in(round_)
    while await store.dbsize() < known + len(round_.texts):
        await asyncio.sleep(POLL_SECONDS)
    round_.all_there()

    round_.say([(await task.get_result()).return_value for task in tasks])
    await store.aclose()
    await broker.shutdown()


async def _hand_in(round_: HandingIn) -> list[AsyncTaskiqTask[str]]:
    waiting = iter(round_.texts)
    tasks = []

    async def send() -> None:
        for text in waiting:
            tasks.append(await count_text.kiq(text))

    await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
    round_.all_handed_in()
    return tasks


if __name__ == "__main__":
    uvloop.run(main())
