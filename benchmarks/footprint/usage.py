"""What processes have of the machine: memory, and bytes that reach the disk. Linux only; elsewhere 0."""

import os
from pathlib import Path

from infra.local.processes import descendants

MB = 1024 * 1024
SECTOR = 512


def memory_mb(pid: int | None) -> list[float]:
    """PSS of a process and of each of its descendants: a page that several share counts in parts for each."""
    return [_field(f"/proc/{member}/smaps_rollup", "Pss:") * 1024 / MB for member in _family(pid)]


def bytes_on_disk(folder: Path) -> float:
    """Written since the start of the machine to the device that `folder` is on, whoever wrote them.

    What `/proc` counts for a process are whole pages and more that it touched, not what was written of them.
    """
    device = folder.stat().st_dev
    try:
        fields = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    except OSError:
        return 0.0
    return int(fields[6]) * SECTOR


def _family(pid: int | None) -> list[int]:
    return [pid, *descendants(pid)] if pid else []


def _field(file: str, name: str) -> float:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
