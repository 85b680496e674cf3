"""Dramatiq doing the same: its broker and its actor, and as a program the client that hands texts in.

As its documentation says (User Guide, Results; Advanced, Brokers): RabbitMQ with `confirm_delivery`, results
in Redis. Its queue is the durable classic one that it declares; its messages are persistent always.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import dramatiq
import redis
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.texts.handing_in import IN_FLIGHT, POLL_SECONDS, TOP, from_arguments
from text_worker.domain.counting import report_on

broker = RabbitmqBroker(url=os.environ["BROKER_URL"], confirm_delivery=True)
backend = RedisBackend(url=os.environ["RESULTS_URL"])
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def count_text(text: str) -> str:
    return report_on(text, TOP)


def _connect(all_of_them: Barrier) -> None:
    """Each thread has a connection of its own."""
    assert broker.channel.is_open
    all_of_them.wait()


def main() -> None:
    round_ = from_arguments()
    store = redis.Redis.from_url(os.environ["RESULTS_URL"])
    known = store.dbsize()
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        list(threads.map(_connect, [Barrier(IN_FLIGHT)] * IN_FLIGHT))
        round_.start()
        messages = list(threads.map(count_text.send, round_.texts))
        round_.all_handed_in()
        while store.dbsize() < known + len(round_.texts):
            sleep(POLL_SECONDS)
        round_.all_there()

    round_.say([message.get_result(backend=backend) for message in messages])


if __name__ == "__main__":
    main()
