"""The runner starts again what dies, ends all that it started, and cleans up after one that was killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local import background, processes
from infra.local.clone import Clone
from infra.local.logs import Log
from infra.local.problems import Problem
from infra.local.processes import Process, wait_until
from infra.local.supervision import Supervised
from infra.local.system import System
from infra.local.tests.running import ROOT, phase, pid_of, running, starting


def test_a_dead_service_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path):
        first = pid_of(tmp_path, "stub_service")

        os.kill(first, signal.SIGKILL)

        assert wait_until(lambda: pid_of(tmp_path, "stub_service") not in (0, first), 10)
        assert wait_until(lambda: background.status(Clone(tmp_path)) == 0, 10)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_however_the_runner_ends_nothing_that_it_started_is_left(
    tmp_path: Path, ending: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONGODB_URL", raising=False)
    with running(tmp_path, "with-database", "with-documents", "with-cache") as runner:
        names = ("stub_service", "document_service", "postgresql", "mongodb", "valkey")
        known = {name: (pid_of(tmp_path, name), processes.identity(pid_of(tmp_path, name))) for name in names}
        assert all(identity for _, identity in known.values())

        runner.send_signal(ending)

        exit_code = runner.wait(15)
        wait_until(lambda: not any(processes.is_alive(*one) for one in known.values()), 15)
    assert [name for name, one in known.items() if processes.is_alive(*one)] == []
    assert exit_code == (-ending if ending is signal.SIGKILL else 0)


def test_each_process_gets_its_own_settings_and_a_log(tmp_path: Path) -> None:
    with running(tmp_path, "with-database"):
        said = (tmp_path / ".conveyor" / "logs" / "stub_service.log").read_text()

    assert said.strip() == "settings: STUB_DATABASE_URL STUB_HTTP_PORT STUB_RABBITMQ_URL"


def test_two_systems_run_side_by_side(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    with running(one), running(other):
        assert Clone(one).addresses()["STUB_SERVICE_URL"] != Clone(other).addresses()["STUB_SERVICE_URL"]
        assert background.status(Clone(one)) == background.status(Clone(other)) == 0


def test_a_start_that_is_under_way_shows_and_can_be_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = Clone(tmp_path)
    clone.home.mkdir()
    clone.write_state({"runner": os.getpid(), "identity": "another-boot/1", "phase": "ready"})

    with starting(tmp_path, "amqp://127.0.0.1:1") as runner:
        assert wait_until(lambda: phase(tmp_path) == "starting", 10)
        assert background.status(clone) == 1
        background.down(clone)

        assert runner.wait(10) == 0
    assert "Conveyor is starting here." in capsys.readouterr().out


def test_who_holds_the_lock_and_has_said_nothing_yet_is_starting_and_no_stranger_is_signalled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = Clone(tmp_path)
    signalled: list[int] = []
    monkeypatch.setattr(processes, "send", lambda pid, _: signalled.append(pid))
    monkeypatch.setattr(processes, "wait_until", lambda condition, _: condition())

    with clone.locked():
        clone.write_state({"runner": os.getpid(), "identity": "another-boot/1", "phase": "ready"})
        assert background.status(clone) == 1
        with pytest.raises(Problem):
            background.down(clone)

    assert signalled == []
    assert "Conveyor is starting here." in capsys.readouterr().out


def test_a_second_start_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        ThreadPoolExecutor(1) as thread,
        socket.socket() as broker,
        starting(tmp_path, f"amqp://127.0.0.1:{unused_port(broker)}"),
    ):
        assert wait_until(lambda: phase(tmp_path) == "starting", 10)
        second = thread.submit(background.up, Clone(tmp_path), System(()))
        assert not wait_until(second.done, 0.5)

        broker.listen()

        second.result(20)
        assert phase(tmp_path) == "ready"
    assert "waiting for it" in capsys.readouterr().out


def unused_port(bound: socket.socket) -> int:
    bound.bind(("127.0.0.1", 0))
    return int(bound.getsockname()[1])


def test_what_a_pid_now_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".conveyor").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / ".conveyor" / "pids").write_text(f"rabbitmq {stranger.pid} 15 another-boot/1\n")

        with running(tmp_path):
            assert stranger.poll() is None

        stranger.kill()


def test_a_given_server_that_is_silent_is_named_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    with starting(tmp_path, "amqp://me:secret@127.0.0.1:1") as runner:
        assert runner.stdout is not None
        said = next(line for line in runner.stdout if "Waiting" in line)

    assert "Waiting for 127.0.0.1:1: nobody listens there" in said
    assert "RABBITMQ_URL" in said and "secret" not in said


def test_a_service_is_at_the_port_that_the_person_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        wanted = unused_port(free)
    monkeypatch.setenv("STUB_HTTP_PORT", str(wanted))

    with running(tmp_path):
        assert Clone(tmp_path).addresses()["STUB_SERVICE_URL"] == f"http://127.0.0.1:{wanted}"


def test_the_last_lines_of_a_process_are_not_those_of_an_earlier_run(tmp_path: Path) -> None:
    log = Log(tmp_path / "step.log")
    for words in ("first", "second"):
        step = Process("step", [sys.executable, "-c", f"print({words!r})"], log=log)
        step.start()
        step.wait(10)
        log.settle()

    assert log.last_lines(8) == ["second"]
    assert log.path.read_text() == "first\nsecond\n"


def test_a_service_that_ends_by_itself_is_named_with_its_last_words(tmp_path: Path) -> None:
    process = Process(
        "stub", [sys.executable, "-c", "raise SystemExit('no such setting')"], log=Log(tmp_path / "log")
    )
    part = Supervised(process, start=lambda: None, address="")
    said: list[str] = []
    process.start()
    process.wait(10)

    part.look(said.append)

    assert "with code 1 (no such setting)" in said[0]


def test_delays_double_up_to_ten_seconds_and_begin_again_after_a_long_life(tmp_path: Path) -> None:
    process = Process("stub", [], log=Log(tmp_path / "stub.log"))
    part = Supervised(process, start=lambda: None, address="")
    delays: list[str] = []
    process.started_at = time.time()
    for _ in range(7):
        part.again_at = None
        part.look(delays.append)
    process.started_at = time.time() - 31
    part.again_at = None

    part.look(delays.append)

    seconds = [delay.split()[-2] for delay in delays]
    assert seconds == ["0.5", "1", "2", "4", "8", "10", "10", "0.5"]


def test_a_log_keeps_its_size_and_its_last_lines(tmp_path: Path) -> None:
    log = Log(tmp_path / "talker.log", largest_bytes=1_000)
    process = Process("talker", [sys.executable, "-c", "for n in range(300): print('line', n)"], log=log)

    process.start()
    process.wait(10)
    log.settle()

    assert log.last_lines(2) == ["line 298", "line 299"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_child_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from infra.local.logs import Log; from infra.local.processes import Process\n"
        "child = Process('sleeper', ['sleep', '600'], log=Log(Path(sys.argv[1]) / 'log'))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        known = processes.identity(pid)

        parent.kill()

    assert wait_until(lambda: not processes.is_alive(pid, known), 10)
