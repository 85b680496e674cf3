"""RabbitMQ of another version, from an image, in a container of its own: `make faults BROKER=4`.

Only its ports are published, on 127.0.0.1; its data outlives kills, and goes with the container at the end.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from infra.local.passwords import private_folder
from infra.local.problems import Problem, check_room
from infra.local.rabbitmq import ADVANCED, RabbitMQ, definitions

CONFIGURATION = """\
load_definitions = /etc/rabbitmq/definitions.json
disk_free_limit.absolute = 200MB
collect_statistics_interval = {figures_every}000
log.console = true
"""
ENGINES = ("docker", "podman")
PULL_SECONDS = 600


class ContainedRabbitMQ(RabbitMQ):
    """The process is the engine's client, attached to the container: it ends with it and carries its log."""

    def __init__(self, directory: Path, *, engine: "Engine", image: str, **more: Any) -> None:
        super().__init__(directory, **more)
        self.engine = engine
        self.image = image
        self.container = f"conveyor-faults-{self.port}"
        self.options = ["--hostname=conveyor"]
        """The name of its data comes from that of its host."""
        self.more_configuration = ""

    def start(self) -> None:
        private_folder(self.directory)
        check_room(self.directory)
        if self.container not in self.engine.made:
            self._create()
        self.process.command = [self.engine.program, "start", "--attach", self.container]
        self.process.start()

    def _create(self) -> None:
        published = {self.port: 5672, self.management_port: 15672}
        ports = [f"--publish=127.0.0.1:{here}:{there}" for here, there in published.items()]
        self.engine.make(self.container, *self.options, *ports, self.image)
        files = {
            "rabbitmq.conf": CONFIGURATION.format(**vars(self)) + self.more_configuration,
            "advanced.config": ADVANCED.format(**vars(self)),
            "definitions.json": json.dumps(definitions(self.users)),
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
            (self.directory / name).chmod(0o644)  # it is not our user who reads it there
            self.engine.run("cp", str(self.directory / name), f"{self.container}:/etc/rabbitmq/{name}")

    def stop(self) -> None:
        self.thaw()
        self.engine.run("stop", "--time=8", self.container, check=False)
        self.process.end(2)

    def kill(self) -> None:
        self.thaw()
        self.engine.run("kill", self.container, check=False)
        self.process.end(2)

    def freeze(self) -> None:
        self.engine.run("pause", self.container)

    def thaw(self) -> None:
        self.engine.run("unpause", self.container, check=False)

    def control(self, *words: str) -> None:
        self.engine.run("exec", self.container, "rabbitmqctl", *words)


class Engine:
    """What runs containers here, and those that were made by it."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.made: list[str] = []
        self.networks: list[str] = []

    def run(self, *words: str, check: bool = True, seconds: float = 60) -> str:
        """What it says; a Problem with its last words where it refuses."""
        command = [self.program, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        if check and done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise Problem(f"'{Path(self.program).name} {' '.join(words)}' failed, saying: {last}")
        return done.stdout

    def make(self, name: str, *words: str) -> None:
        """A container, after fetching its image where that is missing."""
        self.run("create", f"--name={name}", *words, seconds=PULL_SECONDS)
        self.made.append(name)

    def make_network(self, name: str) -> None:
        """In which containers find each other by name."""
        self.run("network", "create", name)
        self.networks.append(name)

    def remove_all(self) -> None:
        """With their data."""
        for name in self.made:
            self.run("rm", "--force", "--volumes", name, check=False)
        for name in self.networks:
            self.run("network", "rm", name, check=False)


def image_of(broker: str) -> str:
    """`4` and `4.1` are versions of the official image with its management page; else it names an image."""
    return broker if ":" in broker or "/" in broker else f"rabbitmq:{broker}-management"


@contextmanager
def in_containers(broker: str) -> Iterator[partial[ContainedRabbitMQ]]:
    """What makes such a server, in place of `RabbitMQ`. A Problem where nothing runs containers here."""
    program = next(filter(None, map(shutil.which, ENGINES)), None)
    if program is None:
        raise Problem(f"BROKER={broker} needs Docker or Podman, to run {image_of(broker)}: install one.")
    engine = Engine(program)
    try:
        engine.run("version")
    except (Problem, subprocess.TimeoutExpired):
        name = Path(program).name
        raise Problem(
            f"BROKER={broker} needs {name}, which is installed and does not run: start it."
        ) from None
    try:
        yield partial(ContainedRabbitMQ, engine=engine, image=image_of(broker))
    finally:
        engine.remove_all()
