"""What people see on a terminal: the runner's own sentences, and the services' logs with their names.

The log files stay JSON lines, whoever watches.
"""

import contextlib
import sys
import threading

from infra.local.logs import Echo, readable
from infra.local.runner import Runner

COLOURS = (36, 32, 33, 35, 34, 31)
_line_by_line = threading.Lock()


def say(sentence: str) -> None:
    """Print a line whole; a terminal that was closed meanwhile is no reason to stop in disorder."""
    with _line_by_line, contextlib.suppress(OSError, ValueError):
        print(sentence, flush=True)


def show(runner: Runner, table: str) -> None:
    """The table of addresses, then every line that the services log."""
    say(table)
    services = [part for part in runner.supervised if part.health]
    width = max((len(part.name) for part in services), default=0)
    for number, part in enumerate(services):
        part.process.log.echo = prefixed(part.name, width, COLOURS[number % len(COLOURS)])


def prefixed(name: str, width: int, colour: int) -> Echo:
    """Says each line with the name in front, coloured on a terminal."""
    prefix = f"{name:<{width}} | "
    if sys.stdout.isatty():
        prefix = f"\033[{colour}m{prefix}\033[0m"
    return lambda line: say(prefix + readable(line))
