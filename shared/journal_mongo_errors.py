"""What MongoDB's errors mean to the kernel: is the store away, was it a conflict, can it never be right?"""

from collections.abc import Iterator
from contextlib import contextmanager

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, ExecutionTimeout, OperationFailure, PyMongoError, WTimeoutError

from shared.journal import Conflict, StoreAway
from shared.journal_mongo_documents import Document

PROBE_MS = 2000
LETS_NOBODY_IN = frozenset((13, 18))
AWAY_CODES = frozenset((6, 7, 18, 43, 89, 91, 134, 189, 202, 211, 262, 365, 9001, 10107)) | frozenset(
    (11600, 11601, 11602, 13435, 13436, 14031)
)
"""Host and network errors, a password that counts no longer, a cursor that its server took along, stepping
down, shutting down, exceeded time, an operation that somebody ended, no disk space, no majority yet, and no
keys yet to know its own times by after a start (MongoDB's error_codes.yml)."""
AWAY_LABELS = ("UnknownTransactionCommitResult", "SystemOverloadedError", "RetryableWriteError")
"""Nobody knows whether it was committed; the server sheds load (8.2 and newer); the driver has repeated it in
vain. They count before TransientTransactionError, which is repeated at once."""
LIVED_TOO_LONG = 290
"""Unlike NoSuchTransaction, as which it shows afterwards, it has no label where it meets a commit."""


class NotYet(StoreAway):
    """It may come by itself."""


async def look_at(database: AsyncDatabase[Document]) -> None:
    """StoreAway where waiting for it will not help, `NotYet` where it may."""
    try:
        with pymongo.timeout(PROBE_MS / 1000):
            hello = await database.command("hello")
            await database["migrations"].find_one({"_id": "0000 journal"})
    except OperationFailure as error:
        kind = StoreAway if error.code in LETS_NOBODY_IN else NotYet
        raise kind(str(error.details["errmsg"] if error.details else error)) from error
    except PyMongoError as error:
        raise NotYet(str(error)) from error
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":  # isdbgrid: a mongos says so
        raise StoreAway("it is a standalone server; transactions need a replica set, one node will do")


@contextmanager
def translated() -> Iterator[None]:
    """Say of a driver's error what the kernel has to know: is the store away, or was it a conflict?"""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise StoreAway(f"{type(error).__name__}: {error}") from error
    except PyMongoError as error:
        if labels := [label for label in AWAY_LABELS if error.has_error_label(label)]:
            raise StoreAway(f"{', '.join(labels)}: {error}") from error
        code = error.code if isinstance(error, OperationFailure) else None
        if error.has_error_label("TransientTransactionError") or code == LIVED_TOO_LONG:
            raise Conflict(str(error)) from error
        if code in AWAY_CODES:
            raise StoreAway(f"{type(error).__name__}: {error}") from error
        raise
