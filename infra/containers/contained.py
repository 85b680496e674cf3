"""A container in place of a child process: started, killed, frozen and asked to end as one, with its log.

Data outlive a kill and go with the container; what a killed run leaves, testcontainers' reaper removes.
Podman runs them, too: DOCKER_HOST names its socket.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from docker.errors import APIError, DockerException, NotFound  # type: ignore[import-untyped]
from docker.models.containers import Container  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from infra.local import processes
from infra.local.logs import Log
from infra.local.problems import Problem


def check(wanted: str) -> None:
    """A Problem, in one sentence, where nothing runs containers here."""
    try:
        DockerClient().client.ping()
    except DockerException:
        raise Problem(
            f"{wanted} needs an engine that runs containers, and none answers here: "
            "install Docker and start it, or have DOCKER_HOST name Podman's socket."
        ) from None


class Containers:
    """What was made for one set of servers, which goes with that set and with no other."""

    def __init__(self) -> None:
        self._removes: list[Callable[[], None]] = []

    def add(self, remove: Callable[[], None]) -> None:
        """`remove` is called at the end, before those that were added earlier."""
        self._removes.append(remove)

    def network(self) -> Network:
        """One in which containers find each other by name."""
        made = Network().create()
        self.add(made.remove)
        return made

    def remove(self) -> None:
        """All of it, with its data."""
        while self._removes:
            with suppress(NotFound):  # the reaper may be faster
                self._removes.pop()()


class ContainedProcess:
    """A container where a `Process` is expected: made at the first start, started again at the others."""

    def __init__(
        self,
        containers: Containers,
        image: str,
        log: Log,
        ports: Mapping[int, int],
        *,
        command: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        network: Network | None = None,
        hostname: str | None = None,
        **more: Any,
    ) -> None:
        """`ports`: this machine's, by the container's. `files`: contents by their place in it."""
        self.containers = containers
        self.image = image
        self.log = log
        self.ports = {f"{there}/tcp": ("127.0.0.1", here) for there, here in ports.items()}
        self.command = list(command)
        self.files = dict(files or {})
        self.environment = dict(environment or {})
        self.network = network
        self.more = {"hostname": hostname} | more
        self._made: Container | None = None

    def start(self) -> None:
        began = time.time()
        if self._made is None:
            self._made = self._make()
        else:
            self._made.start()
        said = self._made.logs(stream=True, follow=True, since=began)
        self.log.follow(said)

    def _make(self) -> Container:
        try:
            wanted = DockerContainer(self.image, env=self.environment)
            published: Any = wanted.ports
            published |= self.ports
            if self.command:
                wanted.with_command(self.command)
            if self.network:
                wanted.with_network(self.network).with_network_aliases(self.more["hostname"])
            for place, content in self.files.items():
                wanted.with_copy_into_container(content.encode(), place)
            self.containers.add(wanted.stop)
            return wanted.with_kwargs(**self.more).start().get_wrapped_container()
        except DockerException as error:
            raise Problem(f"No container of {self.image} can be run here: {error}") from error

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
            with suppress(APIError):  # it may have ended in this moment
                self.made.kill()
            self.wait(10)

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
