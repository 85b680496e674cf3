"""What processes have of the machine, from `/proc`: memory and bytes written. Linux only; elsewhere 0."""

from pathlib import Path

from infra.local.processes import descendants

MB = 1024 * 1024


def memory_mb(pid: int | None) -> list[float]:
    """PSS of a process and of each of its descendants: a page that several share counts in parts for each."""
    return [_field(f"/proc/{member}/smaps_rollup", "Pss:") * 1024 / MB for member in _family(pid)]


def bytes_written(*pids: int | None) -> float:
    """To files, by the processes and their descendants, also by children that have ended."""
    return sum(_field(f"/proc/{member}/io", "write_bytes:") for pid in pids for member in _family(pid))


def _family(pid: int | None) -> list[int]:
    return [pid, *descendants(pid)] if pid else []


def _field(file: str, name: str) -> float:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
