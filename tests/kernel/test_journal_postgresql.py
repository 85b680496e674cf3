"""What PostgreSQL's journal does in a way of its own: rows as lists of columns, and one statement a batch."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shared import journal_postgresql
from shared.journal import Conflict, Outcome, Settled, StoreAway
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sql import Prepared
from task_service.store import Ranked

KEY = ("toy.mark", "1")
DONE = Settled(*KEY, "direct", Outcome("done", b"{}", b"\x00"))
MARKS = sa.table("marks", sa.column("text", sa.Text))
HEARD = sa.table("heard", sa.column("text", sa.Text))
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVERYTHING = sa.Table(
    "every thing",
    sa.MetaData(),
    sa.Column("id", sa.Uuid),
    sa.Column("order", sa.Text),
    sa.Column("short", sa.String(3)),
    sa.Column("words", sa.ARRAY(sa.Text)),
    sa.Column("numbers", sa.ARRAY(sa.Integer)),
    sa.Column("amount", sa.Numeric(13, 3)),
    sa.Column("weight", sa.Float),
    sa.Column("body", sa.LargeBinary),
    sa.Column("fields", JSONB),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("rank", Ranked),
    sa.Column("yes", sa.Boolean),
)
WORDS = ['"', "\\", "", "NULL", "null", "{a,b}", ",", " ", "'", "\n", "молоко", "\\n", '\\"', "\U0001f600"]
ROWS: list[dict[str, Any]] = [
    {
        "id": UUID(int=1),
        "order": "'; DROP TABLE marks; --",
        "short": "мол",
        "words": WORDS,
        "numbers": [1, None, -3],
        "amount": Decimal("12.345"),
        "weight": 0.5,
        "body": b"\x00\xff",
        "fields": {"a": [1, None, "\\"]},
        "at": NOW,
        "rank": "high",
        "yes": True,
    },
    dict.fromkeys(EVERYTHING.c.keys()) | {"id": UUID(int=2), "words": [], "numbers": []},
    dict.fromkeys(EVERYTHING.c.keys()) | {"id": UUID(int=3), "fields": {}},
]


async def counted(journal: PostgresqlJournal) -> tuple[int, ...]:
    async with journal.reading() as transaction:
        found = await transaction.read(
            sa.text("SELECT (SELECT count(*) FROM marks), (SELECT count(*) FROM heard)")
        )
        return tuple(found.one())


async def sent(
    journal: PostgresqlJournal, *writes: tuple[Any, dict[str, str]], apart: bool = True
) -> list[str]:
    """The first words of what a batch with these writes sends, once the driver knows its types."""
    queries: list[str] = []
    for number in range(2):
        async with journal.transaction() as transaction:
            if number:
                transaction.driver.add_query_logger(lambda query: queries.append(query.query.split()[0]))
            for target, row in writes:
                if apart:  # each is another message's
                    transaction.next_message()
                transaction.write(target, row)
            settled = Settled("toy.mark", f"{number}", "direct", DONE.outcome)
            await transaction.conclude([settled], [], last=True)
    await asyncio.sleep(0)  # the driver tells of a query in the loop's next turn
    return queries


async def test_rows_of_every_type_come_back_as_they_were(journal: PostgresqlJournal) -> None:
    async with journal.transaction() as transaction:
        await transaction.begin()
        await transaction.connection.run_sync(EVERYTHING.create)
        for row in ROWS:
            transaction.write(EVERYTHING, row)
        await transaction.conclude([], [])

    async with journal.reading() as transaction:
        found = (await transaction.read(sa.select(EVERYTHING).order_by(EVERYTHING.c.id))).mappings().all()
    assert [dict(row) for row in found] == ROWS


async def test_a_prepared_statement_takes_and_gives_every_type(journal: PostgresqlJournal) -> None:
    async with journal.transaction() as transaction:
        await transaction.begin()
        await transaction.connection.run_sync(EVERYTHING.create)
        transaction.write(EVERYTHING, ROWS[0])
        for column in EVERYTHING.c:
            alone = Prepared(sa.select(EVERYTHING).where(column == sa.bindparam("value", type_=column.type)))
            assert await transaction.rows(alone, {"value": ROWS[0][column.name]}) == [ROWS[0]], column.name
        change = sa.update(EVERYTHING).where(EVERYTHING.c.rank == "high").values(rank=sa.bindparam("to"))
        changed = await transaction.rows(Prepared(change.returning(EVERYTHING.c.rank)), {"to": "low"})
        assert changed == [{"rank": "low"}]


async def test_columns_without_a_name_and_namesakes_keep_their_types(journal: PostgresqlJournal) -> None:
    both = EVERYTHING.alias()
    rank, weight = EVERYTHING.c.rank, EVERYTHING.c.weight
    plain = sa.select(sa.func.max(rank), weight + 1, rank, both.c.rank, sa.cast(weight, sa.Numeric))
    statement = plain.where(both.c.id == EVERYTHING.c.id).group_by(weight, rank, both.c.rank)
    async with journal.transaction() as transaction:
        await transaction.begin()
        await transaction.connection.run_sync(EVERYTHING.create)
        transaction.write(EVERYTHING, ROWS[0])

        expected = [dict(row) for row in (await transaction.read(statement)).mappings()]
        assert await transaction.rows(Prepared(statement)) == expected
        assert [*expected[0].values()] == ["high", 1.5, "high", "high", Decimal("0.5")]


async def test_what_a_newer_release_has_changed_is_a_conflict_once(
    journal: PostgresqlJournal, database: str
) -> None:
    marked = Prepared("SELECT * FROM marks")
    async with journal.transaction() as transaction:
        await transaction.begin()
        assert await transaction.rows(marked) == []
    newer = await asyncpg.connect(database)
    await newer.execute("ALTER TABLE marks ADD COLUMN more int")
    await newer.close()

    with pytest.raises(Conflict):
        async with journal.transaction() as transaction:
            await transaction.begin()
            await transaction.rows(marked)
    async with journal.transaction() as transaction:
        await transaction.begin()
        assert await transaction.rows(marked) == []


async def test_what_cannot_be_prepared_is_said(journal: PostgresqlJournal) -> None:
    several = Prepared(sa.select(MARKS).where(MARKS.c.text.in_(["x", "y"])))
    async with journal.reading() as transaction:
        with pytest.raises(AssertionError, match="cannot be prepared"):
            await transaction.rows(several)
        with pytest.raises(KeyError, match="text"):
            await transaction.rows(Prepared("SELECT * FROM marks WHERE text = :text"))


async def test_a_text_that_is_too_long_for_its_column_is_refused_and_not_cut(
    journal: PostgresqlJournal,
) -> None:
    with pytest.raises(asyncpg.StringDataRightTruncationError):
        async with journal.transaction() as transaction:
            await transaction.begin()
            await transaction.connection.run_sync(EVERYTHING.create)
            transaction.write(EVERYTHING, ROWS[0] | {"short": "молоко"})
            await transaction.conclude([], [])


async def test_a_batch_that_reads_nothing_and_only_adds_rows_is_one_statement(
    journal: PostgresqlJournal,
) -> None:
    rows = [(table, {"text": f"{number}"}) for number in range(64) for table in (MARKS, HEARD)]

    assert await sent(journal, *rows) == ["WITH"]
    assert await counted(journal) == (128, 128)


async def test_what_does_more_begins_and_commits(journal: PostgresqlJournal) -> None:
    change = sa.text("DELETE FROM marks WHERE text = :text")

    queries = await sent(journal, (MARKS, {"text": "x"}), (change, {"text": "x"}), (HEARD, {"text": "x"}))

    assert (queries[0], queries[-1]) == ("BEGIN", "COMMIT")
    assert await counted(journal) == (0, 2)


@pytest.mark.parametrize("looks", ["nowhere", "elsewhere", "for one", "for both"])
async def test_rows_of_a_command_that_another_process_has_ended_are_not_kept(
    journal: PostgresqlJournal, looks: str
) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([DONE], [])

    says = "some of these commands were ended before" if looks.startswith("for") else "inbox_pkey"
    with pytest.raises(Conflict, match=says):
        async with journal.transaction() as transaction:
            if looks == "elsewhere":
                await transaction.read(sa.text("SELECT 1"))
            if looks.startswith("for"):
                await transaction.find([("toy.mark", "2"), *([KEY] if looks == "for both" else [])])
            transaction.write(MARKS, {"text": "x"})
            await transaction.conclude(
                [DONE, Settled("toy.mark", "2", "direct", DONE.outcome)], [], last=True
            )

    assert await counted(journal) == (0, 0)
    async with journal.transaction() as transaction:
        assert set(await transaction.find([KEY, ("toy.mark", "2")])) == {KEY}


@pytest.mark.parametrize("table", ["heard", "unique_at_commit"])
async def test_rows_that_the_store_refuses_undo_the_whole_batch(
    journal: PostgresqlJournal, table: str
) -> None:
    """At once, or where it would commit."""
    refused = sa.table(table, sa.column("text", sa.Text))
    with pytest.raises((asyncpg.NotNullViolationError, asyncpg.UniqueViolationError)):
        async with journal.transaction() as transaction:
            transaction.write(MARKS, {"text": "x"})
            for _ in range(2):
                transaction.write(refused, {"text": None if table == "heard" else "twin"})
            await transaction.conclude([DONE], [], last=True)

    assert await counted(journal) == (0, 0)
    async with journal.transaction() as transaction:
        assert await transaction.find([KEY]) == {}


@pytest.mark.parametrize("looks", [True, False])
async def test_what_is_concluded_in_the_middle_of_a_batch_is_undone_with_it(
    journal: PostgresqlJournal, *, looks: bool
) -> None:
    with pytest.raises(RuntimeError):
        async with journal.transaction() as transaction:
            transaction.write(MARKS, {"text": "of another message"})
            if looks:
                assert await transaction.look_up(KEY) is None
            await transaction.conclude([DONE], [])
            raise RuntimeError

    assert await counted(journal) == (0, 0)
    async with journal.transaction() as transaction:
        assert await transaction.find([KEY]) == {}


async def test_a_table_that_a_message_writes_twice_keeps_its_order(journal: PostgresqlJournal) -> None:
    queries = await sent(
        journal, (MARKS, {"text": "1"}), (HEARD, {"text": "x"}), (MARKS, {"text": "2"}), apart=False
    )

    assert queries.count("WITH") == 3
    async with journal.reading() as transaction:
        found = await transaction.read(sa.text("SELECT text FROM marks ORDER BY ctid"))
        assert [*found.scalars()] == ["1", "2"] * 2


async def test_a_statement_that_takes_too_long_leaves_connections_that_serve(
    journal: PostgresqlJournal, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_postgresql, "STATEMENT_SECONDS", 0.5)
    hasty = PostgresqlJournal(database, journal.migrations)
    async with journal.transaction() as holding:
        await holding.read(sa.text("LOCK TABLE marks"))
        with pytest.raises(StoreAway):
            async with hasty.transaction() as transaction:
                transaction.write(MARKS, {"text": "x"})
                await transaction.conclude([DONE], [], last=True)

    assert await counted(hasty) == (0, 0)
    assert await sent(hasty, (MARKS, {"text": "y"})) == ["WITH"]
    assert await counted(hasty) == (2, 0)
    await hasty.close()


async def test_what_the_inbox_has_is_known_by_whatever_its_key_is_called(journal: PostgresqlJournal) -> None:
    """REINDEX CONCURRENTLY has it under another name for a while."""
    async with journal.transaction() as transaction:
        await transaction.conclude([DONE], [])
        await transaction.driver.execute("ALTER INDEX inbox_pkey RENAME TO inbox_pkey_ccold")

    with pytest.raises(Conflict, match="inbox_pkey_ccold"):
        async with journal.transaction() as transaction:
            await transaction.conclude([DONE], [], last=True)
