"""The runner in the background, and the verbs that look at it or stop it from another process."""

import signal
import subprocess
import sys
import time
from typing import Any

from infra.local import processes
from infra.local.clone import Clone
from infra.local.health import accepts, is_ready
from infra.local.passwords import private_folder
from infra.local.problems import Problem
from infra.local.system import System
from infra.local.table import table

NOTHING_RUNS = "Nothing runs here: start it with 'make run' in another terminal or 'make up'."


def up(clone: Clone, system: System) -> None:
    """Start the system in the background and return when it is ready."""
    if clone.runs():
        print("Conveyor already runs here.")
    else:
        _await_ready(clone, _detach(clone))
    print(table(system, clone.addresses()))


def _detach(clone: Clone) -> "subprocess.Popen[bytes]":
    private_folder(clone.logs)
    with (clone.logs / "runner.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local", "background"],
            cwd=clone.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_ready(clone: Clone, runner: "subprocess.Popen[bytes]") -> None:
    """Show what the runner says until it is ready; a Problem when it ends instead."""
    with (clone.logs / "runner.log").open() as said:
        while True:
            ended = runner.poll() is not None
            sys.stdout.write(said.read())
            sys.stdout.flush()
            if ended:
                raise Problem("Conveyor did not start.")
            if clone.state().get("runner") == runner.pid and clone.state().get("phase") == "ready":
                return
            time.sleep(0.1)


def down(clone: Clone) -> None:
    """Stop what runs here, and return when it is gone."""
    if not clone.runs():
        print("Nothing runs here.")
        return
    pid = int(clone.state()["runner"])
    print("Stopping …", flush=True)
    processes.send(pid, signal.SIGTERM)
    if not processes.wait_until(lambda: not clone.runs(), 25):
        raise Problem(f"The runner (pid {pid}) does not end: look at .conveyor/logs/runner.log.")
    print("Stopped. The data stays; 'make clean-data' removes it.")


def status(clone: Clone) -> int:
    """Print what runs; 0 when all of it is ready, else 1."""
    if not clone.runs():
        print(NOTHING_RUNS)
        return 1
    rows: list[tuple[str, ...]] = [("NAME", "PID", "STATE", "RESTARTS", "UP", "ADDRESS")]
    rows += [_row(part) for part in clone.state()["parts"]]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0 if clone.state()["phase"] == "ready" and all(row[2] == "ready" for row in rows[1:]) else 1


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
