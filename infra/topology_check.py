"""`make topology`: what the contracts declare against what the broker has, and what to do about it.

Exit code 0: all is right; 1: there are findings; 2: the broker cannot be asked, or a migration was broken
off. (`make` itself ends with 2 for either: a program calls `python -m infra.topology_check`.)
"""

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from infra.management import CannotLook, Management
from infra.topology_findings import Finding, Seen, findings
from infra.topology_move import migrate
from shared import topology
from shared.amqp.errors import AmqpError

SHOWN_AFTER = 6
"""Seconds: RabbitMQ's API tells of consumers every five."""


def look(management: Management) -> Seen:
    """Everything that the API tells of the virtual host; queue lengths may be five seconds old."""
    return Seen(
        management.ask("exchanges"),
        management.ask("queues"),
        management.ask("bindings"),
        management.ask("consumers"),
        management.channels(),
        management.connection_limit(),
    )


def lengths(seen: Seen) -> list[dict[str, Any]]:
    """The lasting queues with messages in them."""
    return [
        {
            "name": name,
            "messages": queue["messages"],
            "unacknowledged": queue.get("messages_unacknowledged", 0),
            "consumers": sum(one["queue"]["name"] == name for one in seen.consumers),
        }
        for name, queue in sorted(seen.lasting.items())
        if queue.get("messages")
    ]


def show(found: list[Finding], seen: Seen) -> None:
    for one in found:
        print(f"{one.kind}  {one.name}: {one.found}.\n    → {one.do}.")
    for line in ["", *_table(lengths(seen))]:
        print(line)
    print(f"{len(found)} findings." if found else f"All {len(seen.lasting)} queues are as declared.")


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'queue':<{width}}  messages  in hand  consumers"]
    for row in rows:
        figures = f"{row['messages']:>8}  {row['unacknowledged']:>7}  {row['consumers']:>9}"
        lines.append(f"{row['name']:<{width}}  {figures}")
    return [*lines, ""]


def check(management: Management, *, as_json: bool) -> int:
    recent = os.environ.get("EVENTS_RECENT", "on") == "on"
    wanted = topology.exchanges(), topology.queues(recent=recent)
    seen = look(management)
    found = findings(*wanted, seen)
    if not as_json and any(one.kind == "no_consumer" for one in found):
        print(f"Looking again in {SHOWN_AFTER} s: who has begun to consume just now is not shown yet.")
        time.sleep(SHOWN_AFTER)
        seen = look(management)
        found = findings(*wanted, seen)
    if as_json:
        said = {"findings": [asdict(one) for one in found], "lengths": lengths(seen)}
        print(json.dumps(said, ensure_ascii=False, indent=1))
    else:
        show(found, seen)
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make topology")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--migrate", metavar="QUEUE", help="give a queue the declared arguments, and keep")
    given = parser.parse_args()
    topology.load_contracts()
    management = Management(os.environ)
    if not given.migrate:
        return check(management, as_json=given.json)
    asyncio.run(migrate(given.migrate, management, print))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotLook as problem:
        print(problem, file=sys.stderr)
    except (AmqpError, OSError, TimeoutError) as error:
        print(f"Broken off: {error!r}. Nothing is lost: run the same again.", file=sys.stderr)
    except KeyboardInterrupt:
        print("Broken off. Nothing is lost: run the same again.", file=sys.stderr)
    sys.exit(2)
