"""Backup and restore without an engine: what is asked of it, and in which order."""

import gzip
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from infra.containers.backup import VOLUMES, back_up, restore
from tests.system import ROOT

DOCKER = """#!/bin/sh
echo "$*" >>"$0.log"
case "$1 $*" in
  volume*missing*) exit 1 ;;
  run*broken*) echo half; exit 1 ;;
  run*-czf*) tar -C "$0.data" -czf - . ;;
  run*) cat >/dev/null ;;
esac
"""


class Engine:
    """A program in place of Docker's, and Compose beside it: both only note what is asked of them."""

    def __init__(self, folder: Path, project: str = "mine", runs: str = "") -> None:
        self.asked: list[str] = []
        self.project = project
        self.runs = runs
        self.broken_off = False
        self.log = folder / "docker.log"
        self.log.touch()
        (folder / "docker").write_text(DOCKER)
        (folder / "docker").chmod(0o755)
        (folder / "docker.data").mkdir()
        (folder / "docker.data" / "kept").write_text("kept")

    def compose(self, *words: str) -> str:
        self.asked.append(" ".join(words))
        if words[0] == "stop" and self.broken_off:
            raise KeyboardInterrupt
        if words[0] == "config":
            return json.dumps({"volumes": {one: {"name": f"{self.project}_{one}"} for one in VOLUMES}})
        return self.runs if words[0] == "ps" else ""

    def volumes(self) -> list[str]:
        """Those that it had mounted, in order."""
        words = self.log.read_text().split()
        return [one.removeprefix("--volume=").removesuffix(":/data") for one in words if "--volume=" in one]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    return Engine(place)


def kept(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_every_volume_of_this_project_is_kept_and_what_ran_runs_again(engine: Engine, tmp_path: Path) -> None:
    engine.runs = "gateway\npostgresql\n"

    back_up(tmp_path / "backup", engine.compose)

    assert engine.volumes() == [f"mine_{volume}" for volume in VOLUMES]
    assert engine.asked[1:] == ["ps --services", "stop", "start gateway postgresql"]
    assert kept(tmp_path / "backup") == {f"{volume}.tar.gz" for volume in VOLUMES}
    with tarfile.open(tmp_path / "backup" / "blobs.tar.gz") as archive:
        assert "./kept" in archive.getnames()


def test_where_nothing_ran_nothing_is_started(engine: Engine, tmp_path: Path) -> None:
    back_up(tmp_path / "backup", engine.compose)

    assert not [one for one in engine.asked if one.startswith("start")]


def test_a_backup_that_breaks_off_has_the_name_of_none(engine: Engine, tmp_path: Path) -> None:
    engine.project, engine.runs = "broken", "gateway\n"

    with pytest.raises(Exception, match="returned non-zero"):
        back_up(tmp_path / "backup", engine.compose)

    assert kept(tmp_path / "backup") == {f"{volume}.tar.gz.unfinished" for volume in VOLUMES}
    assert engine.asked[-1] == "start gateway"


def test_what_was_being_stopped_when_somebody_broke_it_off_is_started_again(
    engine: Engine, tmp_path: Path
) -> None:
    engine.runs, engine.broken_off = "gateway\n", True

    with pytest.raises(KeyboardInterrupt):
        back_up(tmp_path / "backup", engine.compose)

    assert engine.asked[-1] == "start gateway"


def test_a_folder_that_was_there_stays_open_to_whom_it_was_and_the_files_are_their_owners(
    engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "of all"
    folder.mkdir()
    folder.chmod(0o1777)

    back_up(folder, engine.compose)

    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_volumes_that_are_not_there_are_not_made_to_be_kept(engine: Engine, tmp_path: Path) -> None:
    engine.project = "missing"

    with pytest.raises(Exception, match="returned non-zero"):
        back_up(tmp_path / "backup", engine.compose)

    assert engine.volumes() == []
    assert "stop" not in engine.asked


def test_what_was_kept_comes_back(engine: Engine, tmp_path: Path) -> None:
    back_up(tmp_path / "backup", engine.compose)
    engine.log.write_text("")

    restore(tmp_path / "backup", engine.compose)

    assert engine.volumes() == [f"mine_{volume}" for volume in VOLUMES]
    assert engine.asked[-2:] == ["down", "create"]


def refusal(*arguments: str, path: Path) -> str:
    """What a program says that ends with 1."""
    words = [sys.executable, "-m", *arguments]
    ended = subprocess.run(
        words,
        cwd=ROOT,
        env={"PATH": str(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    [said] = ended.stderr.splitlines()
    return said


@pytest.mark.parametrize(
    "program",
    ["backup backup /tmp/x", "backup restore /tmp/x --force", "upgrade"],
    ids=lambda words: words[:9],
)
def test_without_docker_it_is_a_sentence(tmp_path: Path, program: str) -> None:
    module, *rest = program.split()

    assert "there is no 'docker' here" in refusal(f"infra.containers.{module}", *rest, path=tmp_path)


def test_nothing_is_replaced_before_somebody_agreed(tmp_path: Path) -> None:
    said = refusal("infra.containers.backup", "restore", "/tmp/x", path=tmp_path)

    assert "FORCE=1" in said


def test_a_restore_that_breaks_off_says_that_only_a_part_is_back(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(tmp_path / "backup", engine.compose)
    engine.project = "broken"

    with pytest.raises(Exception, match="returned non-zero"):
        restore(tmp_path / "backup", engine.compose)

    assert "start nothing, run 'make restore' again" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_a_sentence_before_anything_stops(tmp_path: Path) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "docker").write_text(f'#!/bin/sh\necho "$*" >>{place}/asked\necho \'{{"volumes": {{}}}}\'\n')
    (place / "docker").chmod(0o755)
    (tmp_path / "file").touch()

    said = refusal("infra.containers.backup", "backup", str(tmp_path / "file" / "backup"), path=place)

    assert said.startswith(f"{tmp_path}/file") and said.endswith("Give a folder that you may write.")
    assert "stop" not in (place / "asked").read_text()


@pytest.mark.parametrize("damage", ["gone", "cut", "no archive", "a bit"])
def test_nothing_is_removed_for_a_backup_that_is_not_whole(
    engine: Engine, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "backup"
    back_up(folder, engine.compose)
    last = folder / f"{VOLUMES[-1]}.tar.gz"
    whole = last.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "no archive": gzip.compress(b"something else" * 100),
        "a bit": whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],
    }
    last.unlink() if damage == "gone" else last.write_bytes(damaged[damage])
    engine.asked.clear()
    engine.log.write_text("")

    with pytest.raises(SystemExit, match=f"{last.name} is .*Nothing was changed"):
        restore(folder, engine.compose)

    assert engine.asked == ["config --format=json"]
    assert engine.volumes() == []
