"""Celery: one process with a pool of threads, since the work is waiting for the database.

A quorum queue, many messages fetched ahead, acknowledgement after the commit, no results.
As a program it hands in one task and says under which id.
"""

import json
import os
import threading
from typing import Any

import psycopg
from celery import Celery

from benchmarks.draining.inserting import DATABASE_URL, TITLE, insert_into, row_of

app = Celery("tasks", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue_type="quorum",
    task_ignore_result=True,
    worker_prefetch_multiplier=16,
)
INSERT = insert_into("celery")
of_thread = threading.local()


@app.task(name="create_task")
def create_task(fields: dict[str, Any]) -> None:
    if not hasattr(of_thread, "connection"):
        of_thread.connection = psycopg.connect(DATABASE_URL, autocommit=True)
    of_thread.connection.execute(INSERT, row_of(fields), prepare=True)


if __name__ == "__main__":
    print(json.dumps({"id": create_task.delay({"title": TITLE}).id}))
