"""`python -m tests.compose [options of pytest]`: docker-compose.yml, proven on an engine, in order."""

import os
import sys
from pathlib import Path

import pytest

from infra.local.problems import Problem
from tests.compose.composed import docker_program

HERE = Path(__file__).parent
ORDER = ("hosted", "images", "use", "metrics", "kills", "upgrade", "keeping", "end")
"""What an earlier one leaves a later one finds: it is one system for all."""

if __name__ == "__main__":
    try:
        docker_program()
    except Problem as problem:
        sys.exit(str(problem))
    os.environ["CONVEYOR_COMPOSE_TEST"] = "1"
    files = [str(HERE / f"test_{name}.py") for name in ORDER]
    sys.exit(pytest.main([*files, "--timeout=1800", "-v", "--durations=20", *sys.argv[1:]]))
