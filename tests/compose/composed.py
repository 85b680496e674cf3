"""docker-compose.yml brought up beside whatever else runs here: a project, secrets and ports of its own."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from infra.containers import secrets
from infra.local.passwords import remembered
from infra.local.ports import Ports
from infra.local.problems import Problem
from infra.local.system import CONVEYOR
from tests.faults.stage import Stage
from tests.system import ROOT, Replica, System, user_of

PROJECT = "conveyor-test"
FILES = ("docker-compose.yml", "tests/compose/published.yml")
POSTGRESQL, MONGODB = "CONVEYOR_TEST_POSTGRESQL_PORT", "CONVEYOR_TEST_MONGODB_PORT"
PROMETHEUS = "CONVEYOR_PROMETHEUS_PORT"
NAMED_BY = "CONVEYOR_COMPOSED"
"""The variable by which tests that run elsewhere are told where it is: a file with `Composed.environment`."""
UP_SECONDS = 900
AS_HERE = {"places": "2"}
"""Settings that some tests ask for, and that the compose file gives."""


def docker_program() -> str:
    """Docker's program; a Problem, in one sentence, where it or its engine is missing."""
    program = shutil.which("docker")
    if program is None:
        raise Problem("Containers need Docker Engine and its Compose: install them.")
    for words in (["version"], ["compose", "version"]):
        if subprocess.run([program, *words], capture_output=True, check=False).returncode:
            raise Problem(f"Containers need an engine, and 'docker {' '.join(words)}' fails: start it.")
    return program


@dataclass
class Composed:
    """The system in containers. `environment` is what its compose file is told."""

    folder: Path
    environment: dict[str, str]
    docker: str = field(default_factory=docker_program)
    volumes_before: frozenset[str] = frozenset()
    """The engine's, of everybody, when nothing of this project was there."""

    @classmethod
    def beside(cls, folder: Path) -> "Composed":
        """With secrets in `folder` and free ports."""
        ports = Ports()
        names = (*secrets.PORTS, POSTGRESQL, MONGODB, PROMETHEUS)
        chosen = {name: str(ports.choose_any()) for name in names}
        ports.release()
        places = {
            "CONVEYOR_SECRETS": f"{folder}/secrets",
            "CONVEYOR_DEFINITIONS": f"{folder}/definitions.json",
        }
        secrets.write(folder / "secrets", folder / "definitions.json", chosen)
        built = {"CONVEYOR_VERSION": "test", "CONVEYOR_REVISION": "0123abc"}
        return cls(folder, chosen | places | built)

    @classmethod
    def told(cls, file: str) -> "Composed":
        """The one that somebody else brought up."""
        environment = json.loads(Path(file).read_text())
        return cls(Path(file).parent, environment)

    def tell(self) -> str:
        file = self.folder / "composed.json"
        file.write_text(json.dumps(self.environment))
        return str(file)

    @property
    def shell(self) -> dict[str, str]:
        """The environment in which `docker compose`, without more, means this one."""
        files = os.pathsep.join(str(ROOT / file) for file in FILES)
        return self.environment | {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": files}

    def compose(self, *words: str, check: bool = True, seconds: float = UP_SECONDS) -> str:
        """What Compose says; fails with its last words."""
        files = [f"--file={ROOT / file}" for file in FILES]
        command = [self.docker, "compose", f"--project-name={PROJECT}", *files, *words]
        return self._run(command, check, seconds)

    def engine(self, *words: str, check: bool = True) -> str:
        """What the engine says."""
        return self._run([self.docker, *words], check, UP_SECONDS)

    def log_of(self, container: str) -> str:
        """What a container has said; processes of ours say it on their standard error."""
        command = [self.docker, "logs", container]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return str(subprocess.run(command, **both, text=True, check=True).stdout)  # type: ignore[call-overload]

    def _run(self, command: list[str], check: bool, seconds: float) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode:
            said = done.stderr[-3000:] or done.stdout[-3000:]
            raise AssertionError(f"'{' '.join(command[1:])}' failed: {said}")
        return done.stdout

    def up(self, *words: str) -> None:
        self.compose("up", "--detach", "--wait", f"--wait-timeout={UP_SECONDS}", *words)

    def containers(self, service: str) -> list[str]:
        """The ids of those that run a service."""
        return self.compose("ps", "--quiet", service).split()

    def left(self) -> dict[str, list[str]]:
        """What the engine still has of this project."""
        mine = f"label=com.docker.compose.project={PROJECT}"
        kinds = {"container": ["ls", "--all"], "volume": ["ls"], "network": ["ls"]}
        found = {
            kind: self.engine(kind, *words, "--quiet", "--filter", mine).split()
            for kind, words in kinds.items()
        }
        return {kind: ids for kind, ids in found.items() if ids}

    def volumes(self) -> frozenset[str]:
        """All that the engine has, also those without a name or a project."""
        return frozenset(self.engine("volume", "ls", "--quiet").split())

    def password(self, name: str) -> str:
        return remembered(self.folder / "secrets" / "passwords" / name)

    @property
    def addresses(self) -> dict[str, str]:
        ports = {name: int(self.environment[name]) for name in secrets.PORTS}
        return secrets.addresses(self.password, ports)


class Elsewhere:
    """Stands where tests look into a process or break a server of their own: here they are skipped."""

    def __getattr__(self, name: str) -> Any:
        pytest.skip("it looks into what is a container's own here")

    def __call__(self) -> Any:
        pytest.skip("it reads what is a container's own here")


class InContainer:
    """A process as far as it can be seen from outside: NGINX is everybody's way to a gateway."""

    process = log = lines = Elsewhere()

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url or pytest.skip("nobody outside its container reaches this process")


class ComposedSystem(System):
    """The same for tests that know the system as processes of their own on servers of their own.

    What needs a process with settings of its own is skipped: here all run as anybody would run them.
    """

    def __init__(self, composed: Composed) -> None:
        super().__init__(Elsewhere(), composed.folder, name="%2F")  # type: ignore[arg-type]
        self.composed = composed

    async def start(self, service: str, **settings: str) -> Replica:
        if settings.items() - AS_HERE.items():
            pytest.skip("it needs a process with settings of its own")
        return self._found(service)

    def launch(self, service: str, **settings: str) -> Replica:
        pytest.skip("it needs a process of its own")

    def _found(self, service: str) -> Replica:
        url = self.composed.addresses["GATEWAY_URL"] if service == "gateway" else ""
        return InContainer(url)  # type: ignore[return-value]

    def broker_url(self, user: str) -> str:
        port = self.composed.environment["CONVEYOR_AMQP_PORT"]
        return f"amqp://{user}:{self.composed.password(user)}@127.0.0.1:{port}/%2F"

    def management(self) -> httpx2.AsyncClient:
        url = self.composed.addresses["RABBITMQ_MANAGEMENT_URL"]
        login = ("operator", self.composed.password("operator"))
        return httpx2.AsyncClient(base_url=url, auth=login, timeout=30)

    @property
    def blobs(self) -> Path:
        pytest.skip("it looks into the folder of large content")

    def database_url(self, service: str) -> str:
        """As the service has it, from outside."""
        user = user_of(service)
        prefix = next(one.prefix for one in CONVEYOR.services if one.name == user).lower()
        parts = urlsplit(secrets.files(self.composed.password)[f"{prefix}_database_url"].strip())
        port = self.composed.environment[MONGODB if parts.scheme == "mongodb" else POSTGRESQL]
        login, _, _ = parts.netloc.rpartition("@")
        query = parts.query.replace(f"replicaSet={secrets.REPLICA_SET}", "directConnection=true")
        return parts._replace(netloc=f"{login}@127.0.0.1:{port}", query=query).geturl()

    async def stop(self) -> None:
        """It goes on."""


class ComposedStage(Stage):
    """Where faults happen to containers: what they break, the engine starts again."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.system = ComposedSystem(composed)

    async def open(self) -> None:
        await self.until_ready()
        await self._furnish()

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.composed.addresses["GATEWAY_URL"], timeout=40)

    async def is_ready(self) -> bool:
        try:
            async with self.http() as http:
                paths = ("/health/ready", "/tasks", "/waste/kinds", "/texts")
                return all([(await http.get(path)).is_success for path in paths])
        except httpx2.TransportError:
            return False

    def any_broker_url(self) -> str:
        return f"{self.system.broker_url('operator')}?heartbeat=5"
