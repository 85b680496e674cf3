"""Servers in containers as far as they can be told without an engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound  # type: ignore[import-untyped]

from infra.containers.contained import Containers, check
from infra.containers.servers import ContainedRabbitMQ
from infra.local.problems import Problem
from infra.local.rabbitmq import User
from tests.faults.cluster import ContainedNode
from tests.faults.container import image_of

PORTS = {"port": 5001, "management_port": 5002, "distribution_port": 0, "epmd_port": 0}


def broker(kind: Callable[..., ContainedRabbitMQ], folder: Path, **more: Any) -> Any:
    users = {"operator": User("operator")}
    made = kind(directory=folder, containers=Containers(), users=users, figures_every=1, **PORTS, **more)
    return made.process


def test_what_was_made_for_one_set_of_servers_goes_with_it_alone() -> None:
    left, first, second = ["a", "b", "c"], Containers(), Containers()
    first.add(lambda: left.remove("a"))
    first.add(lambda: left.remove("b"))
    second.add(lambda: left.remove("c"))

    first.remove()
    first.remove()

    assert left == ["c"]


def test_a_network_goes_after_those_that_are_in_it_and_what_is_gone_is_passed_over() -> None:
    removed, containers = [], Containers()

    def gone() -> None:
        raise NotFound("the reaper was faster")

    containers.add(lambda: removed.append("network"))
    containers.add(gone)
    containers.add(lambda: removed.append("container"))
    containers.remove()

    assert removed == ["container", "network"]


def test_figures_are_collected_as_often_as_was_asked_for(tmp_path: Path) -> None:
    process = broker(ContainedRabbitMQ, tmp_path)

    assert "interval = 1000\n" in process.files["/etc/rabbitmq/conf.d/90-conveyor.conf"]
    assert "quorum_tick_interval, 1000" in process.files["/etc/rabbitmq/advanced.config"]
    assert '"operator"' in process.files["/etc/rabbitmq/definitions.json"]
    assert process.ports == {"5672/tcp": ("127.0.0.1", 5001), "15672/tcp": ("127.0.0.1", 5002)}


def test_nodes_of_a_cluster_know_each_other_by_the_names_of_their_hosts(tmp_path: Path) -> None:
    process = broker(ContainedNode, tmp_path, number=2, cookie="secret", image="rabbitmq:4.0-management")

    configuration = process.files["/etc/rabbitmq/conf.d/90-conveyor.conf"]
    assert "classic_config.nodes.3 = rabbit@node3\n" in configuration
    assert "load_definitions" in configuration
    assert (process.image, process.more["hostname"]) == ("rabbitmq:4.0-management", "node2")
    assert process.environment == {"RABBITMQ_ERLANG_COOKIE": "secret"}


def test_a_broker_is_a_version_or_an_image() -> None:
    assert image_of("4.1") == "rabbitmq:4.1-management"
    assert image_of("somebody/rabbitmq") == "somebody/rabbitmq"


def test_where_no_engine_answers_a_sentence_says_what_wanted_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    with pytest.raises(Problem, match=r"BROKER=4 needs an engine.*Podman"):
        check("BROKER=4")
