"""Who looks at what runs in containers: their health check, and `make` from outside."""

import getpass
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from desk_service import __main__ as desk_program
from infra.containers import healthy, running
from infra.local.clone import Clone
from infra.local.problems import Problem
from infra.local.system import CONVEYOR, Service


@pytest.fixture
def door() -> Iterator[HTTPServer]:
    """Somebody who answers what the test puts into `answer`: a status and a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = self.server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *about: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("service", CONVEYOR.services, ids=lambda service: service.name)
def test_health_is_asked_at_the_port_that_the_process_has(service: Service) -> None:
    image = {"CONVEYOR_SERVICE": service.name, "HTTP_PORT": "8000"}

    assert healthy.port(image) == 8000
    assert healthy.port(image | {f"{service.prefix}_HTTP_PORT": "9000", "OTHER_HTTP_PORT": "9001"}) == 9000


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_health_check_is_what_the_process_says(door: HTTPServer, status: int, code: int) -> None:
    door.answer = (status, b"{}")  # type: ignore[attr-defined]
    own = {"CONVEYOR_SERVICE": "task_service", "TASK_HTTP_PORT": str(door.server_port), "HTTP_PORT": "1"}

    done = subprocess.run([sys.executable, healthy.__file__], env=os.environ | own, check=False)

    assert done.returncode == code


def a_clone(folder: Path, url: str) -> Clone:
    """One whose containers are published there."""
    (folder / ".env").write_text("CONVEYOR_SECRETS=elsewhere\n")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "addresses.env").write_text(f"GATEWAY_URL={url}\n")
    return Clone(folder)


@pytest.mark.parametrize(
    ("status", "body", "is_it"),
    [
        (200, b'{"alive":true}', True),
        (503, b'{"code": "outcome_unknown"}', True),
        (200, b"<html>", False),
        (200, b"[]", False),
        (404, b'{"detail": "Not Found"}', False),
        (500, b"\xff", False),
    ],
)
def test_who_listens_is_asked_whether_it_is_conveyor(
    door: HTTPServer, tmp_path: Path, status: int, body: bytes, is_it: bool
) -> None:
    door.answer = (status, body)  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{door.server_port}"

    assert running.addresses(a_clone(tmp_path, url)) == ({"GATEWAY_URL": url} if is_it else {})


def test_where_nobody_listens_nothing_runs(tmp_path: Path) -> None:
    assert running.addresses(a_clone(tmp_path, "http://127.0.0.1:1")) == {}
    assert running.addresses(Clone(tmp_path / "none")) == {}


def test_the_environment_says_more_than_a_file_where_secrets_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CONVEYOR_SECRETS=./mine\nCONVEYOR_DEFINITIONS=/anywhere.json\n")
    clone = Clone(tmp_path)
    assert running.secrets_folder(clone) == tmp_path / "mine"
    assert running.definitions_file(clone) == Path("/anywhere.json")

    monkeypatch.setenv("CONVEYOR_SECRETS", "/other")

    assert running.secrets_folder(clone) == Path("/other")


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        (["discard", "x", "--reason", "seen"], getpass.getuser()),
        (["discard", "x", "--reason", "seen", "--as", "bob"], "bob"),
        (["discard", "x", "--reason", "seen", "--as=bob"], "bob"),
        (["discard", "--as=bob", "x", "--reason=--as"], "bob"),
    ],
)
def test_the_record_names_who_is_said_to_do_it_else_who_is_logged_in_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], who: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/words\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert running.desk(Clone(tmp_path), arguments) == 0

    words = (tmp_path / "words").read_text().splitlines()
    assert desk_program.parser().parse_args(words[words.index("-m") + 2 :]).who == who


def test_logs_that_cannot_be_had_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'no configuration file provided: not found' >&2\nexit 14\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(Problem, match="saying: no configuration file provided"):
        running.logs(Clone(tmp_path))
