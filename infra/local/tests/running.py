"""A runner of a stub service, for tests: in a process of its own, as `make run` is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.clone import Clone
from infra.local.processes import wait_until

ROOT = Path(__file__).parents[3]


@contextmanager
def running(folder: Path, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """A runner of a stub service in `folder`, ready; it was given a broker, so it starts none."""
    with starting(folder, "amqp://one.example,amqp://two.example", *words) as runner:
        assert wait_until(lambda: phase(folder) == "ready" or runner.poll() is not None, 30)
        assert runner.poll() is None, runner.stdout and runner.stdout.read()
        yield runner


@contextmanager
def starting(folder: Path, broker_url: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """The same from its first moment on."""
    command = [sys.executable, "-m", "infra.local.tests.run_stubs", str(folder), *words]
    environment = {**os.environ, "RABBITMQ_URL": broker_url}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as runner:
        try:
            yield runner
        finally:
            runner.terminate()
            runner.wait(20)


def phase(folder: Path) -> str:
    return str(Clone(folder).state().get("phase"))


def pid_of(folder: Path, name: str) -> int:
    return next((part["pid"] or 0 for part in Clone(folder).state()["parts"] if part["name"] == name), 0)
