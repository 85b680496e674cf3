"""What the system lacks is installed only where the person has the rights to."""

import os
import shutil
import subprocess

import pytest

from infra.local import packages
from infra.local.problems import Problem


def test_without_rights_nothing_is_announced_and_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    monkeypatch.setattr(subprocess, "Popen", None)

    with pytest.raises(Problem, match=r"needs root: run 'sudo apt-get install rabbitmq-server'"):
        packages.install("rabbitmq-server", "RabbitMQ")

    assert capsys.readouterr().out == ""
