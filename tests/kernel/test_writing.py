"""Writes leave grouped by statement, and a message's own in their order."""

from typing import Any, cast

import sqlalchemy as sa
from pymongo import InsertOne, UpdateOne

from shared.journal_mongo_transaction import MongoTransaction
from shared.journal_postgresql import PostgresqlTransaction
from shared.journal_sql import SqlTransaction

FIRST, SECOND, THIRD = sa.text("first"), sa.text("second"), sa.text("third")


def transaction() -> SqlTransaction:
    return PostgresqlTransaction(cast(Any, None), cast(Any, None))


def groups(transaction: SqlTransaction) -> list[tuple[str, int]]:
    return [(str(statement), len(parameters)) for statement, parameters in transaction.waiting]


def test_equal_writes_of_many_messages_leave_as_one_group_each() -> None:
    written = transaction()
    for _ in range(64):
        written.next_message()
        for statement in (FIRST, SECOND, THIRD):
            written.write(statement, {})

    assert groups(written) == [("first", 64), ("second", 64), ("third", 64)]


def test_no_write_of_a_message_overtakes_an_earlier_one_of_its_own() -> None:
    written = transaction()
    written.write(THIRD, {})
    written.next_message()
    for statement in (FIRST, SECOND, THIRD):
        written.write(statement, {})

    assert groups(written) == [("third", 1), ("first", 1), ("second", 1), ("third", 1)]


def test_a_statement_that_a_message_repeats_between_others_keeps_its_place() -> None:
    written = transaction()
    for statement in (FIRST, SECOND, FIRST):
        written.write(statement, {})

    assert groups(written) == [("first", 1), ("second", 1), ("first", 1)]


def test_messages_that_grow_a_statement_share_its_parameters_until_it_leaves() -> None:
    written = transaction()
    for number in range(3):
        written.next_message()
        written.write(FIRST, {})
        written.grow(SECOND, list).append(number)
        written.grow(SECOND, list).append(-number)
    writes, sent = written.writes, written.taken()
    written.grow(SECOND, list).append(3)

    assert writes == 9
    assert sent == [(FIRST, [{}, {}, {}]), (SECOND, [[0, 0, 1, -1, 2, -2]])]
    assert written.waiting == [(SECOND, [[3]])]


def test_what_grows_never_overtakes_an_earlier_write_of_its_own_message() -> None:
    written = transaction()
    written.grow(FIRST, list).append(1)
    written.next_message()
    written.write(SECOND, {})
    written.grow(FIRST, list).append(2)

    assert written.waiting == [(FIRST, [[1]]), (SECOND, [{}]), (FIRST, [[2]])]


def test_in_mongodb_equal_kinds_of_writes_to_a_collection_leave_as_one_group_each() -> None:
    written = MongoTransaction(cast(Any, None), None)
    for number in range(0, 128, 2):
        written.next_message()
        written.write("jobs", UpdateOne({"_id": number}, {"$set": {"n": 1}}))
        written.write("reports", InsertOne({"_id": number}))
        written.next_message()
        written.write("jobs", InsertOne({"_id": number + 1}))

    assert [(group, len(writes)) for group, writes in written.waiting] == [
        (("jobs", UpdateOne), 64),
        (("reports", InsertOne), 64),
        (("jobs", InsertOne), 64),
    ]
