"""Ports: wanted, next free, remembered, never shared."""

import socket
from pathlib import Path

from infra.local.ports import Ports


def test_a_wanted_port_that_is_taken_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]

        chosen = Ports().choose("gateway", wanted)

    assert wanted < chosen < wanted + 500


def test_a_port_is_the_same_at_the_next_start_while_it_is_free(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json")
    port = first.choose("gateway", first.choose_any() + 1)
    first.release()

    again = Ports(tmp_path / "ports.json").choose("gateway", 20_000)

    assert again == port


def test_a_port_that_the_person_gave_comes_before_the_remembered_one(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.choose("gateway", 20_300)
    wanted = ports.choose_any() + 1

    chosen = ports.choose_from("gateway", wanted)

    assert wanted <= chosen < wanted + 500
    ports.release()
    assert Ports(tmp_path / "ports.json").choose("gateway", 20_300) == chosen


def test_two_systems_that_start_at_the_same_moment_get_different_ports() -> None:
    one, other = Ports(), Ports()
    wanted = one.choose_any() + 1

    first, second = one.choose("gateway", wanted), other.choose("gateway", wanted)

    assert first != second


def test_a_memory_that_was_cut_short_is_no_obstacle(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    memory.write_text('{"gateway": 80')

    assert Ports(memory).choose("gateway", 20_200) >= 20_200
