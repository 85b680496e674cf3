"""The runner in the background, and the verbs that look at it or stop it from another process."""

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from infra.local import processes, requirements
from infra.local.clone import Clone
from infra.local.health import accepts, is_ready
from infra.local.passwords import private_folder
from infra.local.problems import Problem
from infra.local.system import System
from infra.local.table import table

NOTHING_RUNS = "Nothing runs here: start it with 'make run' in another terminal or 'make up'."


def up(clone: Clone, system: System) -> None:
    """Start the system in the background and return when it is ready."""
    if not clone.runs():
        requirements.check(clone, system)
        _await_ready(clone, _detach(clone))
    elif _phase(clone) == "ready":
        print("Conveyor already runs here.")
    else:
        print(f"Conveyor is {_phase(clone) or 'starting'} here already; waiting for it …", flush=True)
        _await_ready(clone)
    print(table(system, clone.addresses()))


def _detach(clone: Clone) -> "subprocess.Popen[bytes]":
    private_folder(clone.logs)
    with _runner_log(clone).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local", "background"],
            cwd=clone.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _runner_log(clone: Clone) -> Path:
    return clone.logs / "runner.log"


def _await_ready(clone: Clone, runner: "subprocess.Popen[bytes] | None" = None) -> None:
    """Show what this runner says until the system is ready; a Problem when it ends instead."""
    try:
        with _runner_log(clone).open() if runner else io.StringIO() as said:
            while True:
                ended = runner.poll() is not None if runner else not clone.runs()
                sys.stdout.write(said.read())
                sys.stdout.flush()
                if ended:
                    raise Problem("Conveyor did not start." if runner else "It stopped: 'make up' starts it.")
                if _phase(clone) == "ready":
                    return
                time.sleep(0.1)
    except KeyboardInterrupt:
        print("\nIt goes on starting in the background: 'make status', 'make down'.")
        raise


def _phase(clone: Clone) -> str:
    """What the runner that holds the lock says of itself; empty until it has said something."""
    state = clone.state()
    is_of_it = processes.is_alive(state.get("runner", 0), state.get("identity", ""))
    return str(state["phase"]) if is_of_it else ""


def down(clone: Clone) -> None:
    """Stop what runs here, and return when it is gone."""
    processes.wait_until(lambda: _phase(clone) != "" or not clone.runs(), 5)
    if not clone.runs():
        print("Nothing runs here.")
        return
    state = clone.state()
    print("Stopping …", flush=True)
    if processes.is_alive(state.get("runner", 0), state.get("identity", "")):
        processes.send(state["runner"], signal.SIGTERM)
    if not processes.wait_until(lambda: not clone.runs(), 25):
        raise Problem(f"The runner (pid {state.get('runner')}) does not end: look at {_runner_log(clone)}.")
    print("Stopped. The data stays; 'make clean-data' removes it.")


def status(clone: Clone) -> int:
    """Print what runs; 0 when all of it is ready, else 1."""
    if not clone.runs():
        print(NOTHING_RUNS)
        return 1
    phase = _phase(clone) or "starting"
    if phase != "ready":
        print(f"Conveyor is {phase} here.")
    rows = [_row(part) for part in clone.state().get("parts", [])] if _phase(clone) else []
    _print_columns([("NAME", "PID", "STATE", "RESTARTS", "UP", "ADDRESS"), *rows] if rows else [])
    return 0 if phase == "ready" and all(row[2] == "ready" for row in rows) else 1


def _print_columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    running = part["pid"] is not None and bool(processes.identity(part["pid"]))
    state = "down" if not running else "ready" if _answers(part) else "not ready"
    up = _duration(time.time() - part["started_at"]) if running else "-"
    return part["name"], str(part["pid"] or "-"), state, str(part["restarts"]), up, part["address"]


def _answers(part: dict[str, Any]) -> bool:
    host, _, port = part["address"].rpartition(":")
    return is_ready(part["health"]) if part["health"] else accepts((host, int(port)))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
