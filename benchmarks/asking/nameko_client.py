"""Asks by Nameko's own client for programs that are no service, with `call_async` for several in flight.

Transient and confirmed, as ours; by itself it would publish persistent messages.
"""

import os
from collections import deque
from time import perf_counter
from typing import Any

from nameko.amqp.publish import Publisher
from nameko.constants import NON_PERSISTENT
from nameko.standalone.rpc import ClusterRpcProxy

from benchmarks.asking.clock import WARM_UP_SECONDS, arguments, say

Publisher.delivery_mode = NON_PERSISTENT


def asked(get_task: Any, task: str, seconds: float, in_flight: int) -> int:
    answers = 0
    on_their_way: deque[Any] = deque()
    end = perf_counter() + seconds
    while on_their_way or perf_counter() < end:
        while len(on_their_way) < in_flight and perf_counter() < end:
            on_their_way.append(get_task.call_async(task))
        if on_their_way:
            assert on_their_way.popleft().result()["title"] == "Buy milk"
            answers += 1
    return answers


def main() -> None:
    seconds, in_flight = arguments()
    task = os.environ["TASK"]
    with ClusterRpcProxy({"AMQP_URI": os.environ["BROKER_URL"]}, timeout=10) as cluster:
        asked(cluster.tasks.get_task, task, WARM_UP_SECONDS, in_flight)
        began = perf_counter()
        answers = asked(cluster.tasks.get_task, task, seconds, in_flight)
        say(answers, perf_counter() - began)


if __name__ == "__main__":
    main()
