"""Servers for tests in containers, in place of those that are embedded: `make test SERVERS=containers`.

They are the embedded ones but for what runs them: the same ports on 127.0.0.1, users and databases, killed,
frozen and started again as those are. Data outlive a kill and go with the container; what a killed test run
leaves, testcontainers' reaper removes.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import DockerException, NotFound  # type: ignore[import-untyped]
from docker.models.containers import Container  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from infra.local import processes
from infra.local.passwords import private_folder, remembered
from infra.local.postgresql import PostgreSQL
from infra.local.problems import Problem
from infra.local.rabbitmq import RabbitMQ, definitions
from infra.local.valkey import CACHE, Valkey

RABBITMQ_CONFIGURATION = b"""\
load_definitions = /etc/rabbitmq/definitions.json
disk_free_limit.absolute = 200MB
log.console = true
"""
MADE: list[DockerContainer] = []


def remove_all() -> None:
    """What was made here, with its data."""
    while MADE:
        with suppress(NotFound):  # the reaper may be faster
            MADE.pop().stop()


def check() -> None:
    """A Problem, in one sentence, where nothing runs containers here."""
    try:
        DockerClient().client.ping()
    except DockerException:
        raise Problem(
            "SERVERS=containers needs Docker, and no engine answers here: install it or start it."
        ) from None


class ContainedProcess:
    """A container where a `Process` is expected: made at the first start, started again at the others."""

    def __init__(self, image: str, ports: dict[int, int], command: list[str], **environment: str) -> None:
        """`ports`: those of this machine, by those of the container."""
        self.wanted = DockerContainer(image, env=environment)
        published: Any = self.wanted.ports
        published |= {f"{there}/tcp": ("127.0.0.1", here) for there, here in ports.items()}
        if command:
            self.wanted.with_command(command)
        self._made: Container | None = None

    def start(self, files: dict[str, bytes], **more: Any) -> None:
        """`files`: contents by their place in the container, the first time."""
        if self._made is None:
            for place, content in files.items():
                self.wanted.with_copy_into_container(content, place)
            self.wanted.with_kwargs(**more).start()
            self._made = self.wanted.get_wrapped_container()
            MADE.append(self.wanted)
        else:
            self._made.start()

    @property
    def made(self) -> Container:
        assert self._made is not None, "it was never started"
        return self._made

    @property
    def pid(self) -> int | None:
        """Of its first process; None while it does not run."""
        if self._made is None:
            return None
        self._made.reload()
        return int(self._made.attrs["State"]["Pid"]) or None

    @property
    def exit_code(self) -> int | None:
        return None if self.pid else int(self.made.attrs["State"]["ExitCode"])

    def ask_to_end(self) -> None:
        if self.pid:
            self.made.kill(signal=self.made.attrs["Config"].get("StopSignal") or "SIGTERM")

    def wait(self, seconds: float) -> bool:
        return processes.wait_until(lambda: self.pid is None, seconds)

    def end(self, seconds: float = 8) -> None:
        if self.pid:
            self.made.stop(timeout=int(seconds))

    def kill(self) -> None:
        self.thaw()
        if self.pid:
            self.made.kill()

    def freeze(self) -> None:
        self.made.pause()

    def thaw(self) -> None:
        if self.pid and self.made.attrs["State"]["Paused"]:
            self.made.unpause()

    def run(self, *words: str) -> None:
        """A command in it; fails where that does."""
        code, said = self.made.exec_run(list(words))
        if code:
            raise Problem(f"'{' '.join(words)}' failed: {said.decode(errors='replace')[-300:]}")


class ContainedRabbitMQ(RabbitMQ):
    """RabbitMQ 4 of the official image."""

    def __init__(self, directory: Path, **more: Any) -> None:
        super().__init__(directory, **more)
        ports = {5672: self.port, 15672: self.management_port}
        self.container = ContainedProcess("rabbitmq:4-management", ports, [])
        self.process: Any = self.container

    def start(self) -> None:
        files = {
            "/etc/rabbitmq/conf.d/90-conveyor.conf": RABBITMQ_CONFIGURATION,
            "/etc/rabbitmq/definitions.json": json.dumps(definitions(self.users)).encode(),
        }
        self.container.start(files, hostname="conveyor")  # the name of its data comes from that of its host

    def stop(self) -> None:
        self.container.thaw()
        self.container.end(8)

    def kill(self) -> None:
        self.container.kill()

    def control(self, *words: str) -> None:
        self.container.run("rabbitmqctl", *words)


class ContainedPostgreSQL(PostgreSQL):
    """PostgreSQL 17 of the official image."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory, port)
        self._password = remembered(private_folder(directory) / "superuser_password")
        command = ["postgres", "-c", "max_connections=200"]
        self.container = ContainedProcess(
            "postgres:17", {5432: port}, command, POSTGRES_PASSWORD=self._password
        )
        self.process: Any = self.container

    def start(self) -> None:
        self.container.start({}, shm_size="128m")


class ContainedValkey(Valkey):
    """Valkey 8 of the official image."""

    def __init__(self, directory: Path, port: int, password: str) -> None:
        super().__init__(directory, port, password)
        command = ["valkey-server", "/etc/valkey.conf"]
        self.container = ContainedProcess("valkey/valkey:8", {6379: port}, command)
        self.process: Any = self.container

    def start(self) -> None:
        self.container.start({"/etc/valkey.conf": CACHE.format(password=self.password).encode()})
