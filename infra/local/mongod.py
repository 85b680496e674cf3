"""MongoDB's own server, where the person has it on the PATH, as a replica set of one (5.0 or newer).

Tests here run it on a stand-in program; on which mongod all tests have run stands in docs/promises.md.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from infra.local.passwords import remembered

NOT_YET_INITIALIZED, NOT_A_MEMBER = 94, 93  # its error codes: no set yet; a set without this address
OPTIONS = [
    *("--bind_ip", "127.0.0.1", "--nounixsocket"),
    *("--wiredTigerCacheSizeGB", "0.25"),  # the least that it takes
    *("--maxConns", "1000"),  # as many as SecantusDB takes; a worker has ten
    *("--oplogSize", "512"),  # MB; otherwise 5 % of the disk
    # Else a worker that dies within a transaction leaves it in the way of others for a minute.
    *("--setParameter", "transactionLifetimeLimitSeconds=15"),
    # Else it goes on for 15 s after SIGTERM, in case somebody is still reading.
    *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
]


class Mongod:
    """What is particular to mongod: its command, and that somebody must make it a replica set."""

    name = "mongod"
    replica_set = "rs0"
    orphan_signal = signal.SIGTERM

    def __init__(self, program: Path) -> None:
        self.program = program

    @property
    def kind(self) -> str:
        """Name and version, as in "mongod 8.0.4"."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"version v?([\w.-]+)", said)
        return f"mongod {version[1] if version else 'of an unknown version'}"

    def command(self, folder: Path, port: int, passwords: bool) -> Sequence[str]:
        """What runs it on the data in `folder`/mongod; a replica set that asks for passwords needs a key."""
        data = folder / self.name
        data.mkdir(mode=0o700, exist_ok=True)
        remembered(folder / "key")
        keys = ["--keyFile", "key"] if passwords else []
        place = ["--dbpath", data.name, "--port", str(port), "--replSet", self.replica_set]
        return [str(self.program), *place, *OPTIONS, *keys]

    def environment(self) -> dict[str, str]:
        """It reads nothing of the environment."""
        return dict(os.environ)

    def prepared_for(self, port: int) -> str:
        """The set knows its only member by address; at another port it is prepared again, as at the first."""
        return f"127.0.0.1:{port}"

    def prepare(self, client: "MongoClient[dict[str, Any]]", port: int) -> None:
        """Make it a replica set of one at this address; after that it elects itself."""
        members = [{"_id": 0, "host": self.prepared_for(port)}]
        try:
            client.admin.command("replSetGetStatus")
        except OperationFailure as state:
            if state.code == NOT_YET_INITIALIZED:
                client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": members})
            elif state.code == NOT_A_MEMBER:
                known = client.admin.command("replSetGetConfig")["config"]
                moved = {**known, "version": known["version"] + 1, "members": members}
                client.admin.command("replSetReconfig", moved, force=True)
            else:
                raise


def find() -> Mongod | None:
    """The mongod on the PATH."""
    program = shutil.which("mongod")
    return Mongod(Path(program)) if program else None
