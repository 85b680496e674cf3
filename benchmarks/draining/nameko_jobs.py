"""Nameko: one process, a consumer of a quorum queue with 64 workers, psycopg2 made cooperative by psycogreen.

It acknowledges after the commit, and answers nobody, as the others. As a program it hands in one task.
"""

import json
import os
from typing import Any

import psycopg2
from eventlet.pools import Pool
from kombu import Connection, Queue
from nameko.messaging import consume
from psycogreen.eventlet import patch_psycopg

from benchmarks.draining.inserting import DATABASE_URL, TITLE, insert_into, row_of

patch_psycopg()
INSERT = insert_into("nameko")
QUEUE = Queue("nameko.create_task", durable=True, queue_arguments={"x-queue-type": "quorum"})


class Connections(Pool):  # type: ignore[misc]
    def create(self) -> Any:
        connection = psycopg2.connect(DATABASE_URL)
        connection.autocommit = True
        return connection


connections = Connections(max_size=20)


class Tasks:
    name = "tasks"

    @consume(QUEUE)
    def create_task(self, fields: dict[str, Any]) -> None:
        row = row_of(fields)
        row[0] = str(row[0])
        with connections.item() as connection, connection.cursor() as cursor:
            cursor.execute(INSERT, row)


if __name__ == "__main__":
    with Connection(os.environ["BROKER_URL"]) as connection:
        connection.Producer().publish(
            {"title": TITLE}, routing_key=QUEUE.name, declare=[QUEUE], delivery_mode=2
        )
    print(json.dumps({"id": ""}))
