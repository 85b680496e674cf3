"""`python -m tests.faults [--only a,b] [--seed n] [--broker 4]`: break all, and write docs/reliability.md.

Exit code 0: all as promised; 1: some of it is not.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from random import randrange
from tempfile import TemporaryDirectory
from time import monotonic

import asyncpg

from infra.local.postgresql import PostgreSQL
from infra.local.problems import Problem
from infra.local.rabbitmq import RabbitMQ
from infra.local.servers import mongodb_kind, start_test_servers
from tests.faults import report, suite
from tests.faults.container import in_containers
from tests.faults.line import Line
from tests.faults.registry import Fault


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, epilog=f"Faults: {', '.join(suite.ORDER)}."
    )
    parser.add_argument("--only", default="", help="names of faults, with commas")
    parser.add_argument("--seed", type=int, default=randrange(10**6))
    parser.add_argument(
        "--broker", default="", help="a version of RabbitMQ, or an image of it; else the system's"
    )
    given = parser.parse_args()
    faults = suite.chosen(given.only)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a container outlives who started it
    with in_containers(given.broker) if given.broker else nullcontext(RabbitMQ) as broker:
        return _break(faults, given.seed, broker)


def _break(faults: list[Fault], seed: int, broker: Callable[..., RabbitMQ]) -> int:
    for chatty in ("aiormq", "aio_pika", "asyncio"):  # they tell of every lost connection
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    print(f"{len(faults)} faults, seed {seed} (make faults SEED={seed})", flush=True)
    began = monotonic()

    with TemporaryDirectory(prefix="faults.") as folder:
        servers = start_test_servers(Path(folder) / "servers", broker)
        try:
            stores = f"PostgreSQL {asyncio.run(_version(servers.postgresql))}, {mongodb_kind()}, Valkey"

            def tell(line: Line) -> None:
                report.say(line)
                report.write([line], suite.ORDER, seed, stores)

            lines = asyncio.run(suite.run(faults, servers, Path(folder), seed, tell))
        finally:
            servers.stop()
    minutes = (monotonic() - began) / 60
    print(report.summary(lines, minutes, seed), flush=True)
    if len(lines) == len(suite.ORDER):
        report.note_whole_run(lines, minutes, date.today(), suite.ORDER, seed, stores)
    return 1 if any(line.wrong for line in lines) or minutes > report.AT_MOST_MINUTES else 0


async def _version(postgresql: PostgreSQL) -> str:
    connection = await asyncpg.connect(postgresql.superuser_url())
    try:
        return str(await connection.fetchval("SHOW server_version")).split()[0]
    finally:
        await connection.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(str(problem))
