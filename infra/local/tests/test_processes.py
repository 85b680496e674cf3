"""Child processes: what they get when their parent is gone, and that what was frozen stands still."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import processes
from infra.local.logs import Log
from infra.local.processes import Process, wait_until
from infra.local.tests.running import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")
BUSY = """
import threading, time
def run():
    while True:
        pass
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
print("busy", flush=True)
time.sleep(60)
"""


def test_whose_parent_is_gone_gets_the_signal_for_that(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    parent = f"""
import sys, time
from pathlib import Path
from infra.local.logs import Log
from infra.local.processes import Process, wait_until
log = Path(sys.argv[1])
child = Process("deaf", [sys.executable, "-c", {deaf!r}], log=Log(log), orphan_signal=9)
child.start()
assert wait_until(lambda: log.exists() and "deaf" in log.read_text(), 10)
print(child.pid, flush=True)
time.sleep(60)"""
    command = [sys.executable, "-c", parent, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        known = processes.identity(child)
        assert known

        started.kill()

    assert wait_until(lambda: not processes.is_alive(child, known), 10)


def test_what_is_frozen_stands_still(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    children = [Process(f"busy{number}", [sys.executable, "-c", BUSY], log=log) for number in range(3)]
    for child in children:
        child.start()
    try:
        assert wait_until(lambda: log.path.exists() and log.path.read_text().count("busy") == 3, 10)

        for child in children * 3:
            child.freeze()
            threads = Path(f"/proc/{child.pid}/task").glob("*/stat")
            assert {path.read_text().rpartition(")")[2].split()[0] for path in threads} == {"T"}
            child.thaw()
    finally:
        for child in children:
            child.kill()
