"""Child processes that end with this one, and that are never taken for somebody else's.

Each has a session of its own, so a terminal's Ctrl-C does not reach it. A process is known by pid AND start
time: a pid that was given to another process meanwhile is never signalled.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from infra.local.logs import Log

LAUNCH = str(Path(__file__).with_name("launch.py"))
# The kernel tells a child when the THREAD that started it ends, so one lasting thread starts them all.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


class Process:
    """A child that can be started again after it ended; `end_signal` asks it to stop in good order.

    `orphan_signal` is what it gets when this process is gone, by default the same. The kernel sends that
    once for each thread that this process had.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Log,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        end_signal: int = signal.SIGTERM,
        orphan_signal: int | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.folder = folder
        self.end_signal = end_signal
        self.orphan_signal = orphan_signal or end_signal
        self.started_at = 0.0
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it writes goes to its log."""
        self._child = _starter.submit(self._launch).result()
        self.started_at = time.time()
        output = cast(io.BufferedReader, self._child.stdout)
        self.log.follow(iter(output.read1, b""))

    def _launch(self) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), str(int(self.orphan_signal))]
        return subprocess.Popen(
            [*launcher, *self.command],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs or was never started. Negative: the signal that ended it."""
        return None if self._child is None else self._child.poll()

    def ask_to_end(self) -> None:
        """Send its end signal, without waiting."""
        if (pid := self.pid) is not None:  # asked once: it may end in between
            send(pid, self.end_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        try:
            if self._child is not None:
                self._child.wait(max(seconds, 0.01))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, seconds: float = 8) -> None:
        """Ask it to end; after `seconds` kill it and all it started."""
        self.ask_to_end()
        if not self.wait(seconds):
            self.kill()

    def kill(self) -> None:
        """SIGKILL for it and all it started; returns when they are gone."""
        if self.pid is not None:
            kill_family(self.pid)
            self.wait(10)

    def freeze(self) -> None:
        """SIGSTOP for it and all it started: it looks connected and says nothing.

        Returns when they stand still: each of their threads stops only when it gets its turn.
        """
        if self.pid is not None:
            stop_family(self.pid)

    def thaw(self) -> None:
        """Undo `freeze`."""
        if self.pid is not None:
            for pid in [*descendants(self.pid), self.pid]:
                send(pid, signal.SIGCONT)


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def stop_family(pid: int) -> list[int]:
    """SIGSTOP for a process and its descendants, until none is new: who is still to stop may start one."""
    family: list[int] = []
    while new := [member for member in [pid, *descendants(pid)] if member not in family]:
        for member in new:
            send(member, signal.SIGSTOP)
        wait_until(lambda: not any(map(_moves, new)), 5)
        family += new
    return family


def kill_family(pid: int) -> None:
    """SIGKILL for a process and its descendants, frozen first so that it starts no more."""
    family = {member: identity(member) for member in stop_family(pid)}
    for member in family:
        send(member, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(member, known) for member, known in family.items()), 5)


def descendants(pid: int) -> list[int]:
    """The children of a process, their children and so on."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, []))
    for child in found:
        found.extend(children.get(child, []))
    return found


def _parents() -> list[tuple[int, int]]:
    if sys.platform == "linux":
        stats = ((int(path.name), _stat(path / "stat")) for path in Path("/proc").glob("[0-9]*"))
        return [(pid, int(stat[1])) for pid, stat in stats if stat]
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in table.stdout.splitlines())]


def _stat(path: Path) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _moves(pid: int) -> bool:
    """Whether a thread of it is not stopped yet; False where the system does not tell."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat") if sys.platform == "linux" else ()
    return any(stat and stat[0] not in "TtZX" for stat in map(_stat, threads))


def identity(pid: int) -> str:
    """What tells a process from a later one with the same pid: boot and start time; empty when it is gone."""
    if sys.platform == "linux":
        stat = _stat(Path(f"/proc/{pid}/stat"))
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{stat[19]}" if stat and stat[0] not in "ZX" else ""
    started = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "-".join(started.stdout.split())


def is_alive(pid: int, known: str) -> bool:
    """Whether the process that was known as `known` still runs."""
    return known != "" and identity(pid) == known


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`; asked twenty times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
