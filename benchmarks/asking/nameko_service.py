"""Answers by Nameko's RPC, psycopg2 made cooperative by psycogreen.

Transient and unconfirmed, as ours; by itself its answers would be persistent, and their confirmation awaited.
"""

import os
from typing import Any, get_args

import psycopg2
from eventlet.pools import Pool
from nameko.amqp.publish import Publisher
from nameko.constants import NON_PERSISTENT
from nameko.rpc import rpc
from psycogreen.eventlet import patch_psycopg
from psycopg2.extras import RealDictCursor

from shared.contracts.tasks import Priority

patch_psycopg()
Publisher.delivery_mode, Publisher.use_confirms = NON_PERSISTENT, False
PRIORITIES: tuple[str, ...] = get_args(Priority)
GET = "SELECT * FROM tasks WHERE id = %s"


class Connections(Pool):  # type: ignore[misc]
    def create(self) -> Any:
        connection = psycopg2.connect(os.environ["DATABASE_URL"], cursor_factory=RealDictCursor)
        connection.autocommit = True
        return connection


connections = Connections(max_size=20)


class Tasks:
    name = "tasks"

    @rpc
    def get_task(self, task: str) -> dict[str, Any]:
        with connections.item() as connection, connection.cursor() as cursor:
            cursor.execute(GET, [task])
            row = cursor.fetchone()
        times = ("due_at", "created_at", "changed_at", "completed_at")
        written = {name: row[name] and row[name].isoformat() for name in times}
        return {**row, **written, "priority": PRIORITIES[row["priority"]]}
