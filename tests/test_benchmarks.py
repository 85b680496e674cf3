"""The benchmarks in small, so that they do not rot: that they run and say what was found, never how fast."""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
from aio_pika import Message

from benchmarks.__main__ import COMPARISONS, compare_by
from benchmarks.anatomy.comparison import CONNECTIONS, Side, door_figures
from benchmarks.anatomy.parts import OTHER, PARTS, SERVER, part_of, shares
from benchmarks.bench import prepared
from benchmarks.comparing import Comparison, Found, Goal, in_turn
from benchmarks.draining.sides import copy_of
from benchmarks.environments import LOCKS, versions_of
from benchmarks.footprint.sides import Costs
from benchmarks.footprint.usage import memory_mb
from benchmarks.load import load
from benchmarks.performance import LOADS, fill_in
from benchmarks.performance import PARTS as PARTS_OF_DOORS
from benchmarks.results import HERE, keep
from benchmarks.versions import versions
from infra.local.servers import Servers
from tests.system import Replica, System

VERSIONS = {"machine": "a small one"}
PROGRAMS = [
    ".".join(("benchmarks", *program.relative_to(HERE).with_suffix("").parts))
    for program in sorted(HERE.rglob("*.py"))
]
OF_PEERS = {"celery", "dramatiq", "nameko", "psycopg", "psycopg2", "redis", "scipy", "taskiq"}
"""Libraries in environments of their own."""
DOORS = {
    "64 connections": {
        **{"gateway": 10, "task_service": 20, "RabbitMQ": 30, "PostgreSQL": 40, "Valkey": 5},
        **{"all": 1105, "the monolith": 2210},
    },
    "1 connection": {
        **dict.fromkeys(("gateway", "task_service", "RabbitMQ", "PostgreSQL", "Valkey"), 1),
        **{"all": 5, "the monolith": 10},
    },
}


def comparison(*, ours: tuple[float, ...], theirs: tuple[float, ...], goal: Goal) -> Comparison:
    return Comparison("a thing & more", "a <peer>", "things/s", goal, ours, theirs)


def quiet(line: str) -> None:
    """Nobody reads it."""


@pytest.mark.parametrize("name", COMPARISONS)
async def test_every_comparison_runs_in_small(name: str, servers: Servers, tmp_path: Path) -> None:
    async with prepared(servers, tmp_path, quiet, rounds=1, small=True) as bench:
        found = await compare_by(name)(bench)

    assert "Conveyor" in found.notes


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_of_every_side_loads_as_far_as_its_libraries_are_here(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/nowhere")
    for setting in ("BROKER_URL", "RESULTS_URL", "TASK"):
        monkeypatch.setenv(setting, "{}")
    try:
        import_module(program)
    except ModuleNotFoundError as missing:
        assert missing.name in OF_PEERS


async def test_load_without_wrk_counts_answers_and_failures(
    system: System, task_service: Replica, gateway: Replica, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)

    found = await load(f"{gateway.url}/tasks", 4, 0.5, {"BODY": '{"title": "Buy milk"}'}, tmp_path)
    read = await load(f"{gateway.url}/tasks", 4, 0.2, {}, tmp_path)
    with pytest.raises(AssertionError, match="failed"):
        await load(f"{gateway.url}/tasks", 4, 0.2, {"BODY": "{}"}, tmp_path)

    [[rows]] = await system.fetch("task_service", "SELECT count(*) FROM tasks")
    assert rows == found["requests"] > 0
    assert read["requests"] > 0


def test_a_copy_of_a_waiting_message_has_an_id_of_its_own_wherever_that_stands() -> None:
    template = Message(b'{"id": "abc"}', headers={"id": "abc", "retries": 0}, correlation_id="abc")

    copy = copy_of(template, "abc")

    own = copy.correlation_id
    assert own != "abc"
    assert (copy.headers, copy.body) == ({"id": own, "retries": 0}, f'{{"id": "{own}"}}'.encode())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_memory_is_that_of_a_process_and_of_each_of_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mine = memory_mb(os.getpid())
        its = memory_mb(child.pid)

    assert len(mine) > len(its) == 1
    assert min(its) > 0


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    at_least = comparison(ours=(10, 30, 100), theirs=(10, 10, 10), goal=Goal(2.5))
    at_most = comparison(ours=(10, 30, 100), theirs=(10, 10, 10), goal=Goal(2.5, at_most=True))

    assert (at_least.middle, at_least.is_met, at_most.is_met) == (3, True, False)


def test_a_goal_with_a_unit_is_a_limit_for_our_figure_alone() -> None:
    limit = Goal(90, at_most=True, unit="MB")
    memory = comparison(ours=(80, 85, 100), theirs=(1, 1, 1), goal=limit)

    assert (memory.middle, memory.is_met, str(limit)) == (85, True, "≤ 90 MB")


async def test_sides_take_turns_and_every_other_round_goes_backwards() -> None:
    measured: list[str] = []

    async def ours() -> float:
        measured.append("ours")
        return 1

    async def theirs() -> float:
        measured.append("theirs")
        return 2

    figures = await in_turn({"ours": ours, "theirs": theirs}, 2, quiet)
    assert measured == ["ours", "theirs", "theirs", "ours"]
    assert figures == {"ours": [1, 1], "theirs": [2, 2]}


def test_results_of_other_runs_are_kept(tmp_path: Path) -> None:
    met = comparison(ours=(30,), theirs=(10,), goal=Goal(2))
    missed = comparison(ours=(3,), theirs=(3,), goal=Goal(2))
    light = comparison(ours=(40,), theirs=(3,), goal=Goal(90, at_most=True, unit="MB"))
    keep("first", Found([missed], "of the first"), VERSIONS, tmp_path)
    keep("second", Found([met], "of the second"), VERSIONS, tmp_path)
    keep("first", Found([met, missed, light], "of the first"), VERSIONS, tmp_path)

    page = (tmp_path / "results.md").read_text()
    assert [page.count(word) for word in ("| met |", "**missed**", "## first", "## second")] == [3, 1, 1, 1]
    assert "3.00 × (3.00–3.00)" in page
    assert page.count("A trial run") == 2, "one round does not count"
    assert "40.00 MB (40.00–40.00)" in page
    assert list(json.loads((tmp_path / "results.json").read_text())) == ["first", "second"]
    marks = ElementTree.parse(tmp_path / "results.svg").getroot().iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(marks)) == 3, "only ratios are in the chart"


def test_a_stack_belongs_to_its_innermost_frame_that_is_known() -> None:
    run = "run (/x/shared/process.py:117);run (/x/uvloop/__init__.py:1);run (/usr/lib/asyncio/runners.py:5)"
    write = "_write (/x/shared/bus.py:9);write (/x/shared/amqp/connection.py:1)"

    assert part_of(run) == SERVER
    assert part_of(f"{run};__call__ (/x/gateway/lean.py:7);{write}") == "AMQP"
    assert part_of(f"{run};commit (/x/shared/batch.py:7);dumps (/usr/lib/json/__init__.py:3)") == PARTS[4]
    assert part_of(f"{run};of_nobody (/x/elsewhere.py:3)") == OTHER
    assert part_of("wait (/usr/lib/threading.py:3)") == OTHER

    waits = "run (/usr/lib/threading.py:9);_worker (/usr/lib/concurrent/futures/thread.py:81)"
    found = shares([f"{run} 3", f"{run};{write} 1", " 7", f"{waits} 5"])
    assert (found[SERVER], found["AMQP"], sum(found.values())) == (0.75, 0.25, 1)


def test_the_page_of_performance_keeps_its_prose_and_gets_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    names = ("before and after", "anatomy", "missed")
    page.write_text(
        "\n".join(f"Of {name}:\n<!-- {name} -->\nold\n<!-- /{name} -->" for name in names) + "\nEnd.\n"
    )
    row = Comparison("POST /tasks, 64 connections", "the monolith", "requests/s", Goal(1.25), (30,), (10,))
    missed = comparison(ours=(3,), theirs=(3,), goal=Goal(2))
    keep("anatomy", Found([row, missed], "of it", "| doors |\n", DOORS), VERSIONS, tmp_path)

    fill_in(tmp_path, page)
    once = page.read_text()
    fill_in(tmp_path, page)

    assert page.read_text() == once, "filling it in again changes nothing"
    assert "old" not in once
    assert all(f"Of {name}:" in once for name in names)
    assert once.endswith("End.\n")
    assert "| 0.49 × (570 to 1,155 requests/s) | 3.00 × (30 to 10 requests/s) | met |" in once
    assert "| doors |\n" in once
    assert "| 10 | 20 | 30 | 40 | 5 | 1,105 | 2,210 | 0.50 × |" in once
    assert once.count("a thing & more") == 1, "what is missed"


def test_what_anatomy_found_door_to_door_is_what_the_page_asks_for() -> None:
    costs = dict.fromkeys(("gateway", "task_service", "RabbitMQ", "PostgreSQL", "Valkey"), 0.0014)
    ours = Side("ours", "", {"gateway": None, "task_service": None})  # type: ignore[dict-item]
    theirs = Side("theirs", "", {"the monolith": None})  # type: ignore[dict-item]
    for side, used in ((ours, costs), (theirs, {"the monolith": 0.003, "PostgreSQL": 0.001})):
        side.costs.update({connections: [Costs(1.0, used, 0.0)] for connections in CONNECTIONS})

    found = door_figures(ours, theirs)

    assert list(found) == list(LOADS)
    assert list(found["1 connection"].values()) == [1, 1, 1, 1, 1, 7, 4], "rounded after they are added"
    assert set(found["64 connections"]) == set(PARTS_OF_DOORS)


def test_versions_are_those_of_what_runs(servers: Servers) -> None:
    found = versions(servers)

    assert "Erlang" in found["RabbitMQ"]
    assert all(value and value != "?" for value in found.values())


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda lock: lock.stem)
def test_peers_are_pinned_by_hash(lock: Path) -> None:
    pinned = lock.read_text().split(" \\\n    --hash=sha256:")

    assert versions_of(lock.stem)
    assert len(pinned) > lock.read_text().count("==") > 0
