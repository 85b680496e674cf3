"""What is in the images, and what they need: no other's code or libraries, no root, no shell, no writing."""

import json
import re
from typing import Any

import pytest

from infra.containers.locked import packages
from infra.local.system import CONVEYOR
from tests.compose.composed import Composed
from tests.system import ROOT

SERVICES = [service.name for service in CONVEYOR.services]
LISTING = """
import json, pathlib
from importlib import metadata
code = sorted(str(one) for one in pathlib.Path("/app").rglob("*.py"))
libraries = sorted(one.metadata["Name"] for one in metadata.distributions(path=[next(iter(
    str(one) for one in pathlib.Path("/opt/conveyor/lib").glob("*/site-packages")))]))
print(json.dumps({"code": code, "libraries": libraries}))
"""
ISOLATED = ("run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL")


def image(service: str) -> str:
    return f"conveyor/{service}:test"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_its_services_code_and_libraries_and_no_others(built: Composed, service: str) -> None:
    python = ("--entrypoint=/opt/conveyor/bin/python", image(service), "-c", LISTING)
    listed = json.loads(built.engine(*ISOLATED, *python))

    folders = {one.split("/")[2] for one in listed["code"]}
    assert folders == {"shared", service, "healthy.py"}
    assert not [one for one in listed["code"] if "tests" in one.split("/")]
    project, lock = ((ROOT / name).read_text() for name in ("pyproject.toml", "requirements.lock"))
    locked = packages(project, lock, service)
    elsewhere = {name for name, lines in locked.items() if " ; " in lines[0]}  # on other platforms or Pythons
    has = {normal(name) for name in listed["libraries"]}
    assert locked.keys() - elsewhere <= has <= locked.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_run_by_nobody_in_particular_and_says_what_it_is(built: Composed, service: str) -> None:
    [told] = json.loads(built.engine("image", "inspect", image(service)))
    settings: dict[str, Any] = told["Config"]

    assert settings["User"] == "10001:10001"
    assert settings["Labels"]["org.opencontainers.image.title"] == f"conveyor/{service}"
    assert settings["Healthcheck"]["Test"][0] == "CMD"
    assert settings["Entrypoint"] == ["/app/service"]
    assert settings["Labels"]["org.opencontainers.image.revision"] == built.environment["CONVEYOR_REVISION"]
    who = ("--entrypoint=python", image(service), "-c", "import os; print(os.getuid())")
    assert built.engine(*ISOLATED, *who) == "10001\n"


@pytest.mark.parametrize("service", ["gateway", "text_worker"])
def test_it_may_write_large_texts_into_a_volume(built: Composed, service: str) -> None:
    """A new volume has the owner of the folder that it covers."""
    write = "import pathlib; pathlib.Path('/blobs/one').write_text('large'); print('written')"

    said = built.engine(*ISOLATED, "--volume=/blobs", "--entrypoint=python", image(service), "-c", write)

    assert said.strip() == "written"


@pytest.mark.parametrize("service", SERVICES)
def test_it_needs_no_shell(built: Composed, service: str) -> None:
    """All of its program is loaded where no shell is to be had."""
    masked = [f"--volume=/dev/null:/usr/bin/{shell}" for shell in ("bash", "dash")]
    run = (*ISOLATED, *masked, "--entrypoint=python", image(service), "-c")
    no_shell = "import os; assert not os.access('/bin/sh', os.X_OK)"

    said = built.engine(*run, f"{no_shell}; import {service}.main; print('loaded')")

    assert said.strip() == "loaded"


def test_the_same_sources_make_the_same_files(built: Composed) -> None:
    """Names, modes, owners and contents of all that is ours, of two builds that share nothing.

    Their digests differ, as an image has times in it.
    """
    sums = (
        "import hashlib, pathlib\n"
        "for top in ('/app', '/opt/conveyor'):\n"
        "    for one in sorted(pathlib.Path(top).rglob('*')):\n"
        "        known = hashlib.sha256(one.read_bytes()).hexdigest() if one.is_file() else ''\n"
        "        print(one, oct(one.lstat().st_mode), one.lstat().st_uid, known)\n"
    )
    again = "conveyor/task_service:test-again"
    build = ("build", "--no-cache", "--quiet", "--file=infra/Dockerfile", "--build-arg=SERVICE=task_service")
    built.engine(*build, "--build-arg=VERSION=test", f"--tag={again}", ".")
    try:
        listed = [
            built.engine(*ISOLATED, "--entrypoint=python", one, "-c", sums)
            for one in (image("task_service"), again)
        ]
    finally:
        built.engine("image", "rm", again)
    first, second = ({*one.splitlines()} for one in listed)
    assert first ^ second == set()
    assert len(first) > 1000
