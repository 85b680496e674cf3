"""The server of MongoDB's protocol keeps what it answered, keeps its databases apart, and can be given."""

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from infra.local import background, mongodb, requirements, secantusdb
from infra.local.clone import Clone
from infra.local.given_mongodb import GivenMongoDB
from infra.local.mongodb import Client, MongoDB
from infra.local.ports import Ports
from infra.local.problems import Problem
from infra.local.processes import wait_until
from infra.local.system import Service, System
from infra.local.tests.running import pid_of, running, starting

DOCUMENTS = System((Service("stub_service", "STUB", port=20_100, mongodb="stub"),))
NUMBERS = count()
MAJORITY = WriteConcern("majority")


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGODB_URL", raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server that these tests may kill."""
    program, ports = mongodb.find_program(), Ports()
    if program is None:
        pytest.skip(mongodb.MISSING)
    server = MongoDB(tmp_path_factory.mktemp("folder of words"), ports.choose_any(), program)
    server.start()
    server.wait_ready()
    yield server
    server.stop()
    ports.release()


def test_a_commit_that_was_answered_survives_a_kill_under_load(server: MongoDB) -> None:
    server.create_database("notes", "writer", "secret")
    url = server.url("notes", "writer", "secret")
    answered: list[int] = []

    for enough in (100, 200, 300, 400):
        writer = threading.Thread(target=write_until_it_fails, args=(url, answered))
        writer.start()
        assert wait_until(partial(has_over, answered, enough), 30)
        server.kill()
        writer.join()
        server.start()
        server.wait_ready()

    with Client(url) as client:
        kept = {note["_id"] for note in client.notes.note.find()}
        assert set(answered) <= kept
        assert kept == {note["of"] for note in client.notes.copy.find()}


def has_over(answered: list[int], enough: int) -> bool:
    return len(answered) > enough


def write_until_it_fails(url: str, answered: list[int]) -> None:
    """Two documents a transaction, one transaction after the other."""
    try:
        with Client(url, retryWrites=False, serverSelectionTimeoutMS=1000) as client:
            for number in NUMBERS:
                with client.start_session() as session, session.start_transaction(write_concern=MAJORITY):
                    client.notes.note.insert_one({"_id": number}, session=session)
                    client.notes.copy.insert_one({"of": number}, session=session)
                answered.append(number)
    except PyMongoError:
        return


def test_a_user_gets_into_no_other_database_and_nobody_in_without_a_password(server: MongoDB) -> None:
    server.create_database("mine", "me", "secret")
    server.create_database("others", "me", "other secret")

    with Client(server.url("mine", "me", "secret")) as client:
        client.mine.note.insert_one({})
        client.mine.note.create_index("at")
        client.mine.command("collMod", "note", validator={"at": {"$exists": True}})
        with pytest.raises(OperationFailure, match="not authorized"):
            client.others.note.insert_one({})
    wrong = server.url("mine", "me", "other secret")
    with Client(wrong, serverSelectionTimeoutMS=500) as client, pytest.raises(PyMongoError):
        client.mine.note.insert_one({})
    with Client("127.0.0.1", server.port) as client, pytest.raises(OperationFailure):
        client.mine.note.insert_one({})


def test_a_password_that_is_set_again_is_the_one_that_counts(server: MongoDB) -> None:
    server.create_database("again", "me", "first")
    server.create_database("again", "me", "it's: @nother/one")

    with Client(server.url("again", "me", "it's: @nother/one")) as client:
        assert client.again.note.insert_one({}).acknowledged


def test_a_frozen_mongodb_answers_again_when_thawed(server: MongoDB) -> None:
    server.freeze()
    assert not server.answers()

    server.thaw()
    server.wait_ready(10)


def test_it_stops_at_once_though_clients_are_connected_and_keeps_its_data(server: MongoDB) -> None:
    server.create_database("kept", "me", "secret")
    with Client(server.url("kept", "me", "secret")) as client:
        client.kept.note.insert_one({"_id": 1})
        server.stop()

        assert server.process.exit_code == 0
        server.start()
        server.wait_ready()

        assert client.kept.note.find_one() == {"_id": 1}


def test_a_preparation_that_was_interrupted_is_made_up_for(server: MongoDB) -> None:
    server.stop()
    for prepared in server.directory.glob("*.prepared"):
        prepared.unlink()

    server.start()

    server.wait_ready()


def test_its_passwords_are_its_owner_s_alone(server: MongoDB) -> None:
    password = (server.directory / "superuser_password").read_text()

    assert password not in " ".join(server.process.command)
    assert server.directory.stat().st_mode & 0o777 == 0o700
    assert (server.directory / "superuser_password").stat().st_mode & 0o777 == 0o600


def test_the_environment_cannot_make_it_forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECANTUS_TEST_FAST_STORAGE", "1")

    assert "SECANTUS_TEST_FAST_STORAGE" not in secantusdb.SecantusDB().environment()


def test_a_dead_mongodb_is_started_again_at_its_address(tmp_path: Path) -> None:
    with running(tmp_path, "with-documents"):
        url = Clone(tmp_path).addresses()["DOCUMENT_DATABASE_URL"]
        first = pid_of(tmp_path, "mongodb")

        os.kill(first, signal.SIGKILL)

        assert wait_until(lambda: pid_of(tmp_path, "mongodb") not in (0, first), 10)
        assert wait_until(lambda: background.status(Clone(tmp_path)) == 0, 10)
        with Client(url) as client:
            assert client.documents.note.insert_one({}).acknowledged
    settings = (tmp_path / ".conveyor" / "logs" / "document_service.log").read_text()
    assert settings.strip() == "settings: DOCUMENT_DATABASE_URL DOCUMENT_HTTP_PORT DOCUMENT_RABBITMQ_URL"


def test_a_mongodb_that_the_person_gave_is_waited_for_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", "mongodb://me:secret@127.0.0.1:1/")

    with starting(tmp_path, "amqp://one.example,amqp://two.example", "with-documents") as runner:
        assert runner.stdout is not None
        said = next(line for line in runner.stdout if "Waiting" in line)
        addresses = Clone(tmp_path).addresses()
        assert Clone(tmp_path).state()["parts"] == []

    assert "127.0.0.1:1: nobody listens there" in said
    assert "MONGODB_URL" in said and "secret" not in said
    assert addresses["DOCUMENT_DATABASE_URL"] == "mongodb://me:secret@127.0.0.1:1/documents?authSource=admin"
    assert "MONGODB_URL" not in addresses


def test_where_no_mongodb_runs_the_person_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb, "find_program", lambda: None)
    monkeypatch.setenv("RABBITMQ_URL", "amqp://broker")

    with pytest.raises(Problem, match="give MONGODB_URL"):
        requirements.check(Clone(tmp_path), DOCUMENTS)

    monkeypatch.setenv("MONGODB_URL", "mongodb://store")
    requirements.check(Clone(tmp_path), DOCUMENTS)


def test_tests_on_a_given_server_leave_nothing_there_and_touch_nothing_else(server: MongoDB) -> None:
    root = (server.directory / "superuser_password").read_text()
    given = GivenMongoDB(f"mongodb://superuser:{root}@127.0.0.1:{server.port}/")
    given.start()
    given.create_database("notes", "me", "secret")

    with Client(given.given) as client:
        client.theirs.note.insert_one({})
        with Client(given.url("notes", "me", "secret")) as user:
            user.get_default_database().note.insert_one({})
        assert any(name.endswith("_notes") for name in client.list_database_names())
        given.stop()

        assert "theirs" in client.list_database_names()
        assert not any(name.startswith("conveyor_test_") for name in client.list_database_names())
    assert given.kind == f"{server.kind.replace('mongod', 'MongoDB')} of MONGODB_URL"


def test_a_given_server_that_does_not_answer_is_refused_without_its_password() -> None:
    silent = GivenMongoDB("mongodb://me:secret@127.0.0.1:1/?serverSelectionTimeoutMS=100")

    with pytest.raises(Problem, match="MONGODB_URL cannot be used") as refused:
        silent.start()

    assert "secret" not in str(refused.value)
