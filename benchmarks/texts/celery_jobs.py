"""Celery doing the same: its application and its task, and as a program the client that hands texts in.

As its documentation says for many short tasks (User Guide, Optimizing; Backends and Brokers; RabbitMQ): a
quorum queue, many messages fetched ahead, late acknowledgement so that a killed worker loses nothing, results
in Redis.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import redis
from celery import Celery

from benchmarks.texts.handing_in import IN_FLIGHT, POLL_SECONDS, TOP, from_arguments
from text_worker.domain.counting import report_on

app = Celery("texts", broker=os.environ["BROKER_URL"], backend=os.environ["RESULTS_URL"])
app.conf.update(
    broker_pool_limit=IN_FLIGHT,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue_type="quorum",
    worker_prefetch_multiplier=64,
)


@app.task(name="count_text")
def count_text(text: str) -> str:
    return report_on(text, TOP)


def _connect(all_of_them: Barrier) -> None:
    """As many connections as threads are in the pool of producers."""
    with app.producer_or_acquire() as producer:
        assert producer.connection.ensure_connection().connected
        all_of_them.wait()


def main() -> None:
    round_ = from_arguments()
    store = redis.Redis.from_url(os.environ["RESULTS_URL"])
    known = store.dbsize()
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        list(threads.map(_connect, [Barrier(IN_FLIGHT)] * IN_FLIGHT))
        round_.start()
        results = list(threads.map(count_text.delay, round_.texts))
        round_.all_handed_in()
    while store.dbsize() < known + len(round_.texts):
        sleep(POLL_SECONDS)
    round_.all_there()

    round_.say([result.get(timeout=1) for result in results])


if __name__ == "__main__":
    main()
