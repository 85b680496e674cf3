"""A task travels: by REST, through the queue, and into the store."""

from tests.system import Replica, System


async def test_a_task_created_by_rest_can_be_looked_up(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as client:
        created = await client.post("/tasks", json={"title": "Buy milk"})
        found = await client.get(f"/tasks/{created.json()['id']}")

    assert created.status_code == 201
    assert found.status_code == 200
    assert found.json() == created.json()
