"""The MongoDB that MONGODB_URL names, in place of a test server: databases apart, dropped when tests end."""

import secrets
from functools import cached_property
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from infra.local.given_servers import with_database
from infra.local.problems import Problem


class GivenMongoDB:
    """A server of somebody else's: its user must be allowed to use and drop databases `conveyor_test_…`."""

    def __init__(self, given: str) -> None:
        self.given = given
        self._prefix = f"conveyor_test_{secrets.token_hex(3)}_"
        self._created: set[str] = set()

    @cached_property
    def kind(self) -> str:
        """Which server it is, with its version; a Problem where transactions cannot run there."""
        try:
            with self._client() as client:
                hello, build = client.admin.command("hello"), client.admin.command("buildInfo")
        except PyMongoError as error:
            raise Problem(
                f"MONGODB_URL cannot be used ({type(error).__name__}): correct or unset it."
            ) from None
        if not hello.get("setName") and hello.get("msg") != "isdbgrid":  # isdbgrid: a mongos says so
            raise Problem(
                "MONGODB_URL is of a standalone server: transactions need a replica set, one node will do."
            )
        ours = build.get("secantusVersion")
        return f"{f'SecantusDB {ours}' if ours else 'MongoDB ' + build['version']} of MONGODB_URL"

    def create_database(self, name: str, user: str, password: str) -> None:
        """Remember to drop it; a first write makes it, and the given user is everybody's."""
        self._created.add(self._prefix + name)

    def url(self, name: str, user: str, password: str) -> str:
        """The address of a database, for the given user."""
        return with_database(self.given, self._prefix + name)

    def start(self) -> None:
        """It runs; a Problem where it cannot be used."""
        assert self.kind

    def wait_ready(self) -> None:
        """`start` has asked it."""

    def stop(self) -> None:
        """Drop what was created; the server goes on."""
        with self._client() as client:
            for name in self._created:
                client.drop_database(name)

    def _client(self) -> "MongoClient[dict[str, Any]]":
        return MongoClient(self.given, serverSelectionTimeoutMS=3000, connectTimeoutMS=3000)
