"""What a killed runner left behind is ended at the next start, and never somebody else's process."""

from collections.abc import Callable, Iterable

from infra.local import processes
from infra.local.clone import Clone
from infra.local.passwords import write_private
from infra.local.processes import Process


def record(clone: Clone, known: Iterable[Process]) -> None:
    """Write down which of these processes run now, and the signal that ends each in good order."""
    running = [(process, process.pid) for process in known]
    lines = [
        f"{process.name} {pid} {int(process.end_signal)} {processes.identity(pid)}\n"
        for process, pid in running
        if pid is not None
    ]
    write_private(clone.home / "pids", "".join(lines))


def end(clone: Clone, say: Callable[[str], None]) -> None:
    """Ask what was written down and still runs to end; after eight seconds kill it."""
    left = [entry for entry in _recorded(clone) if processes.is_alive(entry[0], entry[2])]
    if not left:
        return
    say("Ending what an earlier run left behind …")
    for pid, end_signal, _ in left:
        processes.send(pid, end_signal)
    processes.wait_until(lambda: not any(processes.is_alive(pid, known) for pid, _, known in left), 8)
    for pid, _, known in left:
        if processes.is_alive(pid, known):
            processes.kill_family(pid)


def _recorded(clone: Clone) -> list[tuple[int, int, str]]:
    try:
        lines = (clone.home / "pids").read_text().splitlines()
    except OSError:
        return []
    entries = [line.split() for line in lines]
    return [(int(entry[1]), int(entry[2]), entry[3]) for entry in entries if len(entry) == 4]
