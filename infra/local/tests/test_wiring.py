"""Who is told which address."""

from pathlib import Path

import pytest

from infra.local.clone import Clone
from infra.local.ports import Ports
from infra.local.system import CONVEYOR
from infra.local.wiring import Wiring

BROKER = {"RABBITMQ_URL": "amqp://me@broker/"}


def management_url(folder: Path, given: dict[str, str]) -> str:
    ports = Ports()
    wiring = Wiring(Clone(folder), CONVEYOR, given, ports)
    ports.release()
    [gateway] = [service for service in CONVEYOR.services if service.name == "gateway"]
    assert gateway.links
    return wiring.settings(gateway)["GATEWAY_MANAGEMENT_URL"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (BROKER, ""),
        (BROKER | {"RABBITMQ_MANAGEMENT_URL": "https://broker/page"}, "https://broker/page"),
        (
            BROKER | {"RABBITMQ_MANAGEMENT_URL": "http://inside", "GATEWAY_MANAGEMENT_URL": "http://seen"},
            "http://seen",
        ),
    ],
)
def test_the_gateway_links_to_the_management_page_that_was_given(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    assert management_url(tmp_path, given) == told


def test_the_gateway_links_to_the_management_page_of_the_broker_that_is_started_here(tmp_path: Path) -> None:
    assert management_url(tmp_path, {}).startswith("http://127.0.0.1:")
