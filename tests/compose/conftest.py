"""One system in containers for all these tests, which `make compose-test` runs: `make test` has no engine."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.compose.composed import Composed, ComposedStage
from tests.faults.accountant import Accountant

collect_ignore_glob = [] if os.environ.get("CONVEYOR_COMPOSE_TEST") else ["test_*.py"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The images, and nothing that runs yet; nothing is left at the end, whatever happened."""
    composed = Composed.beside(tmp_path_factory.mktemp("composed"))
    composed.compose("--profile=*", "down", "--volumes", "--remove-orphans")  # of a run that was killed
    composed.volumes_before = composed.volumes()
    composed.compose("build")
    yield composed
    logs = composed.folder / "containers.log"
    logs.write_text(composed.compose("logs", "--no-color", "--timestamps", check=False))
    composed.compose("--profile=*", "down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="session")
def composed(built: Composed) -> Composed:
    """All of it, healthy."""
    built.up()
    return built


@pytest.fixture(scope="session")
async def stage(composed: Composed) -> ComposedStage:
    stage = ComposedStage(composed)
    await stage.open()
    return stage


@pytest.fixture(scope="session")
async def accountant(stage: ComposedStage) -> AsyncIterator[Accountant]:
    accountant = Accountant(stage)
    await accountant.open()
    yield accountant
    await accountant.close()
