"""How much CPU a process and all that it started have used: where a contender's limit is.

More robust than time on a clock where a machine has other work too. Linux only; elsewhere nothing is told.
"""

import os
from pathlib import Path

from infra.local.processes import descendants


def cpu_seconds(*pids: int | None) -> float:
    """Of the processes, their descendants, and those of their children that have ended. 0 where unknown."""
    families = {member for pid in pids if pid for member in (pid, *descendants(pid))}
    return sum(map(_used, families))


def _used(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
