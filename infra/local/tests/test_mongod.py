"""mongod from the PATH: how it is started and made a replica set. No real mongod runs here.

A stand-in is on the PATH instead, which keeps what it was asked for and becomes SecantusDB.
"""

import sys
from pathlib import Path
from typing import Any, cast

import pytest
from pymongo.errors import OperationFailure

from infra.local import mongod, mongodb, secantusdb
from infra.local.mongod import Mongod
from infra.local.mongodb import Client, MongoDB
from infra.local.ports import Ports
from infra.local.problems import Problem

STAND_IN = f"""\
#!{sys.executable}
import os, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print("db version v8.0.4", "Build Info: {{}}", sep=os.linesep))
with open("starts", "a") as starts:
    print(*sys.argv[1:], file=starts)
options = dict(zip(sys.argv[1:-1], sys.argv[2:]))
auth = ["--auth"] if "--keyFile" in options else []
place = ["--port", options["--port"], "--storage-path", options["--dbpath"]]
os.execv(sys.executable, [sys.executable, "-m", "secantus", "--sync-on-commit", *place, *auth])
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mongod:
    if secantusdb.find() is None:
        pytest.skip(mongodb.MISSING)
    program = tmp_path / "bin" / "mongod"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    found = mongodb.find_program()
    assert isinstance(found, Mongod)
    return found


def test_a_mongod_on_the_path_comes_before_secantusdb_and_tells_its_version(stand_in: Mongod) -> None:
    assert stand_in.kind == "mongod 8.0.4"


def test_it_is_prepared_without_a_key_once_for_each_port_and_runs_with_one(
    stand_in: Mongod, tmp_path: Path
) -> None:
    ports = Ports()
    for port in (one := ports.choose_any(), one, ports.choose_any()):
        server = MongoDB(tmp_path / "mongodb", port, stand_in)
        server.start()
        server.wait_ready()
        server.create_database("notes", "me", "secret")
        server.stop()
    ports.release()

    starts = (tmp_path / "mongodb" / "starts").read_text().splitlines()
    assert ["--keyFile key" in start for start in starts] == [False, True, True, False, True]
    assert all("--bind_ip 127.0.0.1" in start and "--replSet rs0" in start for start in starts)
    assert (tmp_path / "mongodb" / "key").stat().st_mode & 0o777 == 0o600
    assert server.url("notes", "me", "secret") == (
        f"mongodb://me:secret@127.0.0.1:{server.port}/notes?replicaSet=rs0&authSource=notes"
    )


def test_one_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho 'no such option'\nexit 1\n")
    program.chmod(0o755)

    with pytest.raises(Problem, match=r"did not start.*no such option"):
        MongoDB(tmp_path / "mongodb", 1, Mongod(program)).start()


class Answers:
    """A client's `admin` whose server knows a set, none, or one that it is no member of."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        self.asked: list[tuple[Any, ...]] = []
        self.admin = self

    def command(self, name: str, value: object = 1, **options: object) -> dict[str, Any]:
        self.asked.append((name, value, options))
        if name == "replSetGetStatus" and self.code is not None:
            raise OperationFailure("not yet", self.code)
        return {"config": {"_id": "rs0", "version": 4, "members": [{"_id": 0, "host": "127.0.0.1:1"}]}}


MEMBERS = [{"_id": 0, "host": "127.0.0.1:2"}]


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        (None, []),
        (mongod.NOT_YET_INITIALIZED, [("replSetInitiate", {"_id": "rs0", "members": MEMBERS}, {})]),
        (
            mongod.NOT_A_MEMBER,
            [
                ("replSetGetConfig", 1, {}),
                ("replSetReconfig", {"_id": "rs0", "version": 5, "members": MEMBERS}, {"force": True}),
            ],
        ),
    ],
)
def test_it_is_made_a_set_of_one_and_told_its_address_when_that_changed(
    code: int | None, asked: list[tuple[Any, ...]]
) -> None:
    answers = Answers(code)

    Mongod(Path("mongod")).prepare(cast(Client, answers), 2)

    assert answers.asked[1:] == asked


def test_what_else_is_wrong_with_the_set_is_not_hidden() -> None:
    with pytest.raises(OperationFailure):
        Mongod(Path("mongod")).prepare(cast(Client, Answers(13)), 2)
