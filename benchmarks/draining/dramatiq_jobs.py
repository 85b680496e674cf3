"""Dramatiq: one process with threads, on the durable classic queue that it declares, confirmed.

It acknowledges after the commit. As a program it hands in one task and says under which id.
"""

import json
import os
import threading
from typing import Any

import dramatiq
import psycopg
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.draining.inserting import DATABASE_URL, TITLE, insert_into, row_of

dramatiq.set_broker(RabbitmqBroker(url=os.environ["BROKER_URL"], confirm_delivery=True))
INSERT = insert_into("dramatiq")
of_thread = threading.local()


@dramatiq.actor
def create_task(fields: dict[str, Any]) -> None:
    if not hasattr(of_thread, "connection"):
        of_thread.connection = psycopg.connect(DATABASE_URL, autocommit=True)
    of_thread.connection.execute(INSERT, row_of(fields), prepare=True)


if __name__ == "__main__":
    print(json.dumps({"id": create_task.send({"title": TITLE}).message_id}))
