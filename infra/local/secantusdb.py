"""The wheel `SecantusDB`: a server in Python that speaks MongoDB's protocol, for development alone.

It is GPL-2.0-only, so it runs as a process of its own and nothing of it is ever imported here. It stores
with WiredTiger, as MongoDB does. Without `sync_on_commit` a kill loses commits that were answered (tried: 3
to 19 in each of six kills under load; with it none in six, at 182 instead of 236 transactions a second one by
one and no difference in batches of 64).
"""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from infra.local.passwords import write_private

CONFIGURATION = """\
[server]
host = "127.0.0.1"
port = {port}
storage_path = "secantusdb"
auth = {auth}
[storage]
cache_size = "128M"
sync_on_commit = true
"""


class SecantusDB:
    """What is particular to SecantusDB: its command, and that it is a replica set from its first moment."""

    name = "secantusdb"
    replica_set = "secantus"
    orphan_signal = signal.SIGKILL
    """Asked to end while it ends, it waits for itself; what it committed, a kill does not lose."""

    @property
    def kind(self) -> str:
        """Name and version, as in "SecantusDB 0.7.0b3"."""
        return f"SecantusDB {metadata.version('secantusdb')}"

    def command(self, folder: Path, port: int, passwords: bool) -> Sequence[str]:
        """What runs it on the data in `folder`/secantusdb."""
        settings = CONFIGURATION.format(port=port, auth=json.dumps(passwords))
        write_private(folder / "secantusd.toml", settings)
        return [sys.executable, "-m", "secantus", "--config", "secantusd.toml"]

    def environment(self) -> dict[str, str]:
        """Without variables that would make it forget, or write less."""
        return {name: value for name, value in os.environ.items() if not name.startswith("SECANTUS_")}

    def prepared_for(self, port: int) -> str:
        """It takes any port."""
        return "any port"

    def prepare(self, client: "MongoClient[dict[str, Any]]", port: int) -> None:
        """It is a replica set already."""


def find() -> SecantusDB | None:
    """None where there is no wheel for this platform or Python."""
    return SecantusDB() if importlib.util.find_spec("secantus") else None
