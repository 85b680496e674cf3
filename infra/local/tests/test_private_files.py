"""Passwords and addresses are readable by their owner alone, and by a shell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.clone import Clone, read_assignments
from infra.local.passwords import remembered
from infra.local.problems import Problem


def test_a_generated_password_stays_the_same_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "passwords" / "operator"

    first, second = remembered(path), remembered(path)

    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_addresses_reach_a_shell_as_they_are(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    clone.home.mkdir()
    url = "postgresql://waste:it's$HOME&more@db/waste?a=1&b=2"

    clone.write_addresses({"WASTE_DATABASE_URL": url})

    script = 'set -a; . .conveyor/addresses.env; printf %s "$WASTE_DATABASE_URL"'
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout == url == clone.addresses()["WASTE_DATABASE_URL"]
    assert (clone.home / "addresses.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("loading", [". .conveyor/addresses.env", "set -a; . .conveyor/addresses.env"])
def test_addresses_that_a_shell_has_loaded_are_no_wish_of_the_person(tmp_path: Path, loading: str) -> None:
    clone = Clone(tmp_path)
    clone.home.mkdir()
    clone.write_addresses({"RABBITMQ_URL": "amqp://embedded", "TASK_DATABASE_URL": "postgresql://embedded"})
    before_the_next_start = f"{loading}; export RABBITMQ_URL; echo >.conveyor/addresses.env; "

    def given(wish: str) -> str:
        program = "import pathlib, infra.local.clone as c; g = c.Clone(pathlib.Path()).given();"
        program += "print(*(g.get(name) for name in ('RABBITMQ_URL', 'TASK_DATABASE_URL')))"
        script = f"{before_the_next_start} {wish} '{sys.executable}' -c \"{program}\""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.check_output(["sh", "-c", script], cwd=tmp_path, env=environment, text=True).strip()

    assert given("") == "None None"
    assert given("RABBITMQ_URL=amqp://mine") == "amqp://mine None"


def test_a_server_that_the_person_gave_stays_given_after_loading_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://mine")
    clone = Clone(tmp_path)
    clone.home.mkdir()
    clone.write_addresses({"RABBITMQ_URL": "amqp://mine", "TASK_RABBITMQ_URL": "amqp://mine"})

    for name, value in read_assignments(clone.home / "addresses.env").items():
        monkeypatch.setenv(name, value)

    assert clone.given()["RABBITMQ_URL"] == "amqp://mine"
    assert "TASK_RABBITMQ_URL" not in clone.given()


def test_the_environment_comes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "# a comment\nexport RABBITMQ_URL='amqps://file'\nTASK_DATABASE_URL=file # why\n"
    )
    monkeypatch.setenv("RABBITMQ_URL", "amqps://environment")
    monkeypatch.delenv("TASK_DATABASE_URL", raising=False)

    given = Clone(tmp_path).given()

    assert given["RABBITMQ_URL"] == "amqps://environment"
    assert given["TASK_DATABASE_URL"] == "file"


def test_a_quote_that_is_not_closed_names_the_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RABBITMQ_URL='amqp://\n")

    with pytest.raises(Problem, match="RABBITMQ_URL"):
        read_assignments(tmp_path / ".env")


def test_a_second_runner_in_a_clone_is_told_so(tmp_path: Path) -> None:
    clone = Clone(tmp_path)

    with clone.locked(), pytest.raises(Problem, match="already runs here"), clone.locked():
        pass

    assert os.path.exists(clone.home) and not clone.runs()  # noqa: PTH110
