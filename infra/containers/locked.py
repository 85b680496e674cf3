"""`python locked.py GROUP`: the part of requirements.lock that a dependency group needs, hashes and all.

The lock says of every package who brought it ("# via …"), so nothing is resolved again: what an image gets is
what everybody tested. Standard library only, since it runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PINNED = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(\[[^]]*\])?==")
BROUGHT_BY = re.compile(r" +#(?: via)? +(?P<name>[a-z0-9][a-z0-9._-]*)$")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def blocks(lock: str) -> dict[str, list[str]]:
    """The lines of each package, by its name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in lock.splitlines():
        if pinned := PINNED.match(line):
            lines = found.setdefault(pinned["name"], [])
        lines.append(line)
    return found


def asked_for(groups: dict[str, list[Any]], group: str) -> Iterator[str]:
    """The packages that a group of pyproject.toml names, and those of the groups that it includes."""
    for one in groups[group]:
        if isinstance(one, dict):
            yield from asked_for(groups, one["include-group"])
        elif name := NAME.match(one):
            yield re.sub(r"[-_.]+", "-", name[0]).lower()


def packages(project: str, lock: str, group: str) -> dict[str, list[str]]:
    """What the group needs, whole: the lines of each package in the lock."""
    pinned = blocks(lock)
    wanted = set(asked_for(tomllib.loads(project)["dependency-groups"], group))
    if missing := wanted - pinned.keys():
        raise KeyError(f"requirements.lock is older than pyproject.toml: it has no {sorted(missing)}")
    brought_by = {
        name: {found["name"] for line in lines if (found := BROUGHT_BY.fullmatch(line))}
        for name, lines in pinned.items()
    }
    more = wanted
    while more:
        more = {name for name, who in brought_by.items() if who & more} - wanted
        wanted |= more
    return {name: lines for name, lines in pinned.items() if name in wanted}


if __name__ == "__main__":
    here = Path()
    project, lock = (here / "pyproject.toml").read_text(), (here / "requirements.lock").read_text()
    for lines in packages(project, lock, sys.argv[1]).values():
        print(*lines, sep="\n")
