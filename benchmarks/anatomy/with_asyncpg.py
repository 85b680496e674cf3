"""Inserts rows of tasks by asyncpg alone: `python -m … ROWS ROWS_A_TRANSACTION CONNECTIONS`."""

import asyncio
import json
import sys
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop

from benchmarks.anatomy.passing import Clocks, clocked
from benchmarks.draining.inserting import DATABASE_URL, TITLE, insert_into, row_of

INSERT = insert_into("raw", "${}")


async def main() -> None:
    rows, together, connections = map(int, sys.argv[1:])
    clocks = Clocks()
    rest = row_of({"title": TITLE})[1:]
    left: list[list[Any]] = [[uuid4(), *rest] for _ in range(rows)]

    async with asyncpg.create_pool(DATABASE_URL, min_size=connections, max_size=connections) as pool:

        async def insert_all() -> None:
            async with pool.acquire() as connection:
                insert = await connection.prepare(INSERT)
                while left:
                    batch = left[-together:]
                    del left[-together:]
                    await insert.executemany(batch)  # one transaction, without a round trip to begin it

        with clocked(clocks, "inserting", rows):
            await asyncio.gather(*(insert_all() for _ in range(connections)))
    print(json.dumps(clocks))


if __name__ == "__main__":
    uvloop.run(main())
