"""A server of MongoDB's protocol as a private child process: mongod from the PATH, else the wheel SecantusDB.

It listens on 127.0.0.1 alone and asks everybody for a password. Users can be made only by who is one already,
so the first start runs it for a moment without passwords, on empty data, to make the superuser.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from infra.local import mongod, processes, secantusdb
from infra.local.health import accepts
from infra.local.logs import Log
from infra.local.mongod import Mongod
from infra.local.passwords import private_folder, remembered, write_private
from infra.local.problems import Problem
from infra.local.processes import Process
from infra.local.secantusdb import SecantusDB

SUPERUSER = "superuser"
MISSING = (
    "There is no MongoDB here, since SecantusDB has none for this platform or Python: install MongoDB's "
    "mongod, or give MONGODB_URL of a server."
)
Client = MongoClient[dict[str, Any]]


class MongoDB:
    """One server; `start` prepares its data when there is none. Each program has data of its own."""

    name = "mongodb"

    def __init__(
        self, directory: Path, port: int, program: Mongod | SecantusDB, log: Log | None = None
    ) -> None:
        self.directory = directory
        self.port = port
        self.program = program
        self.log = log or Log(directory / "mongodb.log")
        self.process = Process(
            self.name,
            [],
            log=self.log,
            folder=directory,
            environment=program.environment(),
            orphan_signal=program.orphan_signal,
        )

    @property
    def kind(self) -> str:
        """Which server it is, with its version."""
        return self.program.kind

    def start(self) -> None:
        """Start the server; `wait_ready` tells when it answers. A Problem where it cannot run here."""
        private_folder(self.directory)
        self._password = remembered(self.directory / "superuser_password")
        prepared = self.directory / f"{self.program.name}.prepared"
        what_for = self.program.prepared_for(self.port)
        if not prepared.exists() or prepared.read_text() != what_for:
            self._prepare()
            write_private(prepared, what_for)
        self._start(passwords=True)

    def wait_ready(self, seconds: float = 60) -> None:
        """Return as soon as it takes writes; a Problem with its last words when it ends instead."""
        self._until(self.answers, seconds)

    def answers(self, passwords: bool = True) -> bool:
        """Whether it takes writes, told within a few seconds."""
        if not self._listens():
            return False
        try:
            with self.client(passwords) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def create_database(self, name: str, user: str, password: str) -> None:
        """A database that `user` alone may use, made by a first write; repeating sets the password again."""
        roles = [{"role": role, "db": name} for role in ("readWrite", "dbAdmin")]
        with self.client() as client:
            _set_user(client, name, user, password, roles)

    def url(self, name: str, user: str, password: str) -> str:
        """The address of a database for its user."""
        known = f"{quote(user, safe='')}:{quote(password, safe='')}"
        options = f"replicaSet={self.program.replica_set}&authSource={quote(name, safe='')}"
        return f"mongodb://{known}@127.0.0.1:{self.port}/{quote(name, safe='')}?{options}"

    def stop(self) -> None:
        """Stop in good order; nothing that was committed is lost."""
        self.process.thaw()
        # SecantusDB's main thread sleeps on a lock. Where the kernel gives the signal to another thread,
        # Python does not wake it: so it may be asked again, but not while it ends, or it would end twice.
        for _ in range(3):
            self.process.ask_to_end()
            # It would wait two seconds for a next connection before it looks up.
            if processes.wait_until(lambda: not self._listens(), 3):
                break
        if not self.process.wait(8):  # whatever is not synced by then is in its journal
            self.process.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would; the next `start` recovers."""
        self.process.kill()

    def freeze(self) -> None:
        """Connections stay open and nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.thaw()

    def _prepare(self) -> None:
        """Run it without passwords until it is a replica set with a superuser; repeating does no harm."""
        self._start(passwords=False)
        try:
            self._until(self._listens)
            with self.client(passwords=False) as client:
                self.program.prepare(client, self.port)
                self._until(lambda: self.answers(passwords=False))
                _set_user(client, "admin", SUPERUSER, self._password, [{"role": "root", "db": "admin"}])
        except PyMongoError as error:
            raise Problem(f"{self.kind} could not be prepared in {self.directory}: {error}") from None
        finally:
            self.stop()

    def _start(self, passwords: bool) -> None:
        self.process.command = list(self.program.command(self.directory, self.port, passwords))
        self.process.start()

    def _until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        reached = processes.wait_until(lambda: self.process.pid is None or condition(), seconds)
        if not reached or self.process.pid is None:
            self.log.settle()
            raise Problem(f"{self.kind} did not start. {self.log.path} ends with: {self.log.last_lines(3)}")

    def _listens(self) -> bool:
        return accepts(("127.0.0.1", self.port))

    def client(self, passwords: bool = True) -> Client:
        """The superuser's."""
        limits = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
        options: dict[str, Any] = {"directConnection": True, **dict.fromkeys(limits, 2000)}
        if passwords:
            options |= {"username": SUPERUSER, "password": self._password}
        return MongoClient("127.0.0.1", self.port, **options)


def _set_user(client: Client, database: str, user: str, password: str, roles: list[dict[str, str]]) -> None:
    """Until it is on the disk: who is killed a moment later would not know its users any more."""
    known = client[database].command("usersInfo", user)["users"]
    kept = {"w": "majority", "j": True}
    change = "updateUser" if known else "createUser"
    client[database].command(change, user, pwd=password, roles=roles, writeConcern=kept)


def find_program() -> Mongod | SecantusDB | None:
    """What can run here; None where it is neither."""
    return mongod.find() or secantusdb.find()
