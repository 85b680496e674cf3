"""Where the desk listens."""

import pytest

from desk_service.settings import DeskSettings
from shared.process import ProcessSettings


def test_what_moves_all_other_processes_does_not_move_the_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_HOST", "0.0.0.0")

    assert ProcessSettings().http_host == "0.0.0.0"
    assert DeskSettings().http_host == "127.0.0.1"
