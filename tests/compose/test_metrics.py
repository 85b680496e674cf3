"""What is optional: Prometheus finds every replica by itself."""

import httpx2

from infra.local.system import CONVEYOR
from tests.compose.composed import PROMETHEUS, Composed
from tests.system import eventually

SCRAPED = [service.name for service in CONVEYOR.services if service.owner != "desk"]
"""The desk answers in its container alone."""
METRICS = "--profile=metrics"


async def test_prometheus_finds_every_replica(composed: Composed) -> None:
    composed.compose(METRICS, "up", "--detach", "--wait", "--no-recreate", "prometheus")
    replicas = sum(len(composed.containers(name)) for name in SCRAPED)

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{composed.environment[PROMETHEUS]}") as http:

        async def heard() -> bool:
            counted = {"query": "count(outbox_rows or gateway_requests_waiting)"}
            found = (await http.get("/api/v1/query", params=counted)).json()["data"]["result"]
            return [one["value"][1] for one in found] == [str(replicas)]

        await eventually(heard, f"{replicas} replicas tell their figures")
    composed.compose(METRICS, "rm", "--stop", "--force", "prometheus")
