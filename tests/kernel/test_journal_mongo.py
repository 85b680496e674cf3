"""What MongoDB's documentation says of transactions that fail, played by a server that fails on demand.

Its command `configureFailPoint` is for tests; SecantusDB has it behind a switch, as mongod does.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import AutoReconnect, OperationFailure
from pymongo.monitoring import CommandListener, register

from infra.local import secantusdb
from infra.local.health import accepts
from infra.local.logs import Log
from infra.local.ports import Ports
from infra.local.processes import Process
from shared import journal_mongo_transaction
from shared.journal import Conflict, Journal, Outcome, Settled, StoreAway
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_documents import row_of
from shared.journal_mongo_errors import translated
from shared.journal_mongo_presence import BEAT_SECONDS, MISSED_BEATS
from shared.journal_mongo_transaction import MongoTransaction
from tests.kernel.test_journal import KEY, look_up
from tests.system import eventually
from tests.test_wrong_settings import refusal

pytestmark = pytest.mark.skipif(secantusdb.find() is None, reason="no server here that fails on demand")
DONE = Outcome("done", b"null", b"")


@asynccontextmanager
async def a_server(folder: Path, *options: str) -> AsyncIterator[str]:
    """Its address."""
    ports = Ports()
    port = ports.choose_any()
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", ":memory:", *options]
    command = [sys.executable, "-m", "secantus", *arguments]
    log = Log(folder / "secantusdb.log")
    process = Process("secantusdb", command, log=log, folder=folder, environment=dict(os.environ))
    process.start()

    async def listens() -> bool:
        return accepts(("127.0.0.1", port))

    await eventually(listens, "it listens")
    yield f"mongodb://127.0.0.1:{port}"
    await asyncio.to_thread(process.kill)
    ports.release()


@pytest.fixture(scope="module")
async def failing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with a_server(tmp_path_factory.mktemp("failing"), "--enable-test-commands") as url:
        yield url


@pytest.fixture
async def journal(failing: str, request: pytest.FixtureRequest) -> AsyncIterator[MongoJournal]:
    journal = MongoJournal(f"{failing}/t{abs(hash(request.node.name))}", {})
    await journal.migrate()
    yield journal
    await fail(failing, mode="off")
    await journal.close()


async def fail(url: str, mode: Any, **data: Any) -> None:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


async def conclude(journal: Journal) -> None:
    async with journal.transaction() as transaction:
        if await transaction.find([KEY]):
            return
        await transaction.conclude([Settled(*KEY, "direct", DONE)], [])


@pytest.mark.parametrize("command", ["find", "update", "insert", "commitTransaction"])
async def test_a_transient_error_is_a_conflict_that_left_nothing_and_can_be_repeated(
    failing: str, journal: Journal, command: str
) -> None:
    if command == "update":
        await journal.note_start(KEY, "direct")  # its row is there
    await fail(failing, {"times": 1}, failCommands=[command], errorCode=112)  # WriteConflict

    with pytest.raises(Conflict):
        await conclude(journal)

    noted = await look_up(journal)
    assert noted is None or noted.ending is None
    await conclude(journal)
    assert (noted := await look_up(journal)) and noted.ending == "done"


async def test_a_commit_whose_reply_is_lost_is_asked_for_again_by_the_driver(
    failing: str, journal: Journal
) -> None:
    await fail(failing, {"times": 1}, failCommands=["commitTransaction"], closeConnection=True)

    await conclude(journal)

    assert (noted := await look_up(journal)) and noted.ending == "done"


@pytest.mark.parametrize(
    "failure",
    [
        {"closeConnection": True},
        {"errorCode": 50},  # MaxTimeMSExpired
        {"errorCode": 91},  # ShutdownInProgress
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    ],
    ids=["lost connection", "time", "shutdown", "write concern"],
)
async def test_a_commit_of_which_nobody_knows_is_a_store_that_is_away_and_the_inbox_tells_afterwards(
    failing: str, journal: Journal, failure: dict[str, Any]
) -> None:
    await fail(failing, "alwaysOn", failCommands=["commitTransaction"], **failure)

    with pytest.raises(StoreAway):
        await conclude(journal)
    await fail(failing, mode="off")

    async def answers() -> bool:
        with suppress(StoreAway):
            await journal.probe()
            return True
        return False

    await eventually(answers, "the driver has noticed that the server is there")
    await conclude(journal)
    assert (noted := await look_up(journal)) and noted.ending == "done"


async def test_a_commit_that_was_applied_and_whose_reply_never_came_has_one_effect(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = AsyncClientSession.commit_transaction, count(1)

    async def applied_and_lost(session: AsyncClientSession) -> None:
        await commit(session)
        if next(commits) == 1:
            lost = AutoReconnect("connection closed")
            lost._add_error_label("UnknownTransactionCommitResult")
            raise lost

    async def count_once() -> None:
        async with journal.transaction() as transaction:
            if not await transaction.find([KEY]):
                transaction.write("marks", UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, upsert=True))
                await transaction.conclude([Settled(*KEY, "direct", DONE)], [])

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", applied_and_lost)
    with pytest.raises(StoreAway):
        await count_once()
    await count_once()

    async with journal.reading() as reading:
        assert await reading.find_many("marks", {}) == [{"_id": 1, "n": 1}]


async def test_handlers_that_outlive_every_transaction_are_no_conflict_but_too_slow(
    failing: str, journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mongo_transaction, "SLOW_SECONDS", 0.2)
    await fail(failing, {"times": 1}, failCommands=["commitTransaction"], errorCode=251)  # NoSuchTransaction

    with pytest.raises(TimeoutError, match="work like that goes before it"):
        async with journal.transaction() as transaction:
            await asyncio.sleep(0.3)
            await transaction.conclude([Settled(*KEY, "direct", DONE)], [])


async def test_a_transaction_that_ended_while_the_server_did_not_answer_is_a_conflict(
    failing: str, journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mongo_transaction, "SLOW_SECONDS", 0.5)
    frozen = {"blockConnection": True, "blockTimeMS": 900, "errorCode": 251}
    await fail(failing, {"times": 1}, failCommands=["commitTransaction"], **frozen)

    with pytest.raises(Conflict):
        await conclude(journal)


LABELLED = {
    ("TransientTransactionError",): Conflict,
    ("UnknownTransactionCommitResult",): StoreAway,
    ("TransientTransactionError", "UnknownTransactionCommitResult"): StoreAway,
    ("SystemOverloadedError", "RetryableError", "TransientTransactionError"): StoreAway,
    ("RetryableWriteError", "NoWritesPerformed"): StoreAway,
    ("NoWritesPerformed",): OperationFailure,
}


async def test_what_a_dead_worker_holds_is_a_conflict_at_once_for_notes_too(journal: MongoJournal) -> None:
    now = datetime.now(UTC)
    async with journal.client.start_session() as dead:
        await dead.start_transaction()
        await journal.database["inbox"].insert_one(row_of(*KEY, "direct", now), session=dead)

        async with asyncio.timeout(10):
            with pytest.raises(Conflict):
                await journal.note_start(KEY, "direct")
            with pytest.raises(Conflict):
                await journal.note_attempt(KEY, "direct", 2, now, "it broke")

    assert await journal.note_start(KEY, "direct") == 1


async def test_what_a_dead_worker_holds_is_let_go_when_its_beats_have_ceased(
    failing: str, journal: MongoJournal
) -> None:
    dead = MongoJournal(f"{failing}/{journal.database.name}", {})
    await dead.probe()
    holding = dead.transaction()
    await (await holding.__aenter__()).conclude([Settled(*KEY, "direct", DONE)], [])

    async def let_go() -> bool:
        await journal.probe()
        with suppress(Conflict):
            await conclude(journal)
            return True
        return False

    assert not await let_go()
    await eventually(let_go, "it is in nobody's way", 20)
    with pytest.raises(Conflict):  # it lived after all
        await holding.__aexit__(None, None, None)
    assert (noted := await look_up(journal)) and noted.ending == "done"
    assert await journal.database["processes"].count_documents({}) == 1
    await dead.close()


async def test_who_beats_keeps_what_it_holds(failing: str, journal: MongoJournal) -> None:
    other = MongoJournal(f"{failing}/{journal.database.name}", {})
    async with other.transaction() as transaction:
        await transaction.conclude([Settled(*KEY, "direct", DONE)], [])
        for _ in range(2 * MISSED_BEATS):
            await asyncio.sleep(BEAT_SECONDS)
            await other.probe()
            await journal.probe()
    assert (noted := await look_up(journal)) and noted.ending == "done"
    await other.close()
    assert await journal.database["processes"].count_documents({}) == 1


async def test_nobody_has_the_session_of_what_was_left_open_not_even_who_ends_that(
    journal: MongoJournal,
) -> None:
    """A mongod interrupts all that a session does that is killed: who kills it, too."""
    await journal.database.create_collection("marks")
    left_open = await leave_open(journal, 2)

    async with journal.client.start_session() as next_one:
        assert next_one.session_id not in left_open
    await asyncio.gather(conclude(journal), journal.probe(), journal.probe())

    await journal.database["marks"].insert_many([{"_id": 1}, {"_id": 2}])  # nothing is in their way
    assert not journal.left_open


async def leave_open(journal: MongoJournal, number: int) -> list[Any]:
    """The sessions of so many transactions that have written, and whose end nobody knows."""
    if not number:
        return []
    with pytest.raises(StoreAway):
        async with journal.transaction() as transaction:
            transaction.write("marks", InsertOne({"_id": number}))
            await transaction.flush()
            others = await leave_open(journal, number - 1)
            raise StoreAway("nobody knows")
    assert transaction.session
    return [transaction.session.session_id, *others]


@pytest.mark.parametrize("labels", LABELLED, ids="+".join)
def test_every_label_of_an_error_means_something(labels: tuple[str, ...]) -> None:
    with pytest.raises(LABELLED[labels]), translated():
        raise OperationFailure("labelled", 1, {"errorLabels": list(labels)})


CODES = {112: OperationFailure, 121: OperationFailure, 290: Conflict}
CODES |= dict.fromkeys((43, 211, 262, 11601), StoreAway)


@pytest.mark.parametrize("code", CODES)
def test_codes_without_a_label_count_where_they_are_about_the_server(code: int) -> None:
    with pytest.raises(CODES[code]), translated():
        raise OperationFailure("unlabelled", code)


class Commands(CommandListener):
    """What a client sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: Any) -> None:
        self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        """Only what was sent counts."""

    def failed(self, event: Any) -> None:
        """Only what was sent counts."""


async def test_a_batch_reads_one_snapshot_and_is_committed_by_a_journaled_majority(failing: str) -> None:
    commands = Commands()
    register(commands)  # for every client made from here on: it only listens
    journal = MongoJournal(f"{failing}/snapshot", {})
    await journal.migrate()
    other = MongoJournal(f"{failing}/snapshot", {})
    async with other.transaction() as made:
        assert isinstance(made, MongoTransaction)
        made.write("marks", InsertOne({"_id": 0}))
    commands.sent.clear()

    async with journal.transaction() as batch:
        assert isinstance(batch, MongoTransaction)
        assert await batch.find_many("marks", {}) == [{"_id": 0}]
        async with other.transaction() as beside:
            assert isinstance(beside, MongoTransaction)
            beside.write("marks", InsertOne({"_id": 1}))
        assert await batch.find_many("marks", {}) == [{"_id": 0}]
        batch.write("marks", InsertOne({"_id": 2}))
        await batch.conclude([Settled(*KEY, "direct", DONE)], [])

    first = next(sent for sent in commands.sent if sent.get("startTransaction"))
    commits = [sent for sent in commands.sent if "commitTransaction" in sent]
    assert first["readConcern"]["level"] == "snapshot"
    assert len(commits) == 2
    assert all(commit["writeConcern"] == {"w": "majority", "j": True} for commit in commits)
    ours = [sent for sent in commands.sent if "txnNumber" in sent and sent.get("update") != "processes"]
    assert all(sent["autocommit"] is False for sent in ours)
    for one in (journal, other):
        await one.close()


async def test_a_standalone_server_is_refused_in_one_sentence_at_the_start(tmp_path: Path) -> None:
    async with a_server(tmp_path, "--standalone") as url:
        for step in (["migrate"], []):
            said = await refusal("text_worker.main", *step, TEXT_DATABASE_URL=f"{url}/texts")

            assert said == (
                "The database at TEXT_DATABASE_URL cannot be used: it is a standalone server; "
                "transactions need a replica set, one node will do."
            )
