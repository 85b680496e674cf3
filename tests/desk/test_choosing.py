"""Which letters a filter means: lists show just those, and a replay sends just those."""

from dataclasses import dataclass

import httpx2
import pytest

from tests.amqp import client
from tests.desk.test_draining import a_dead_one, bury
from tests.letters import listed, whole
from tests.system import System


@dataclass(frozen=True)
class Dead:
    actor: str
    died_at: str


DEAD = {
    "early": Dead("grace", "2026-01-01T10:00:00+00:00"),
    "noon": Dead("ada", "2026-01-01T12:00:00+00:00"),
    "late": Dead("grace", "2026-01-01T14:00:00+00:00"),
}


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        ({"actor": "grace"}, {"early", "late"}),
        ({"actor": "nobody"}, set()),
        ({"since": "2026-01-01T12:00:00Z"}, {"noon", "late"}),
        ({"until": "2026-01-01T12:00:00Z"}, {"early"}),
        ({"since": "2026-01-01T14:00:00+02:00", "until": "2026-01-01T12:00:00.001Z"}, {"noon"}),
        ({"actor": "grace", "since": "2026-01-01T12:00:00Z"}, {"late"}),
    ],
)
async def test_a_list_shows_and_a_replay_sends_what_the_filters_mean_and_no_other(
    system: System,
    http: httpx2.AsyncClient,
    request: pytest.FixtureRequest,
    filters: dict[str, str],
    meant: set[str],
) -> None:
    queue = f"chosen.{request.node.callspec.id}"
    async with client(system, "gateway") as gateway:
        for name, dead in DEAD.items():
            letter = a_dead_one(f"{queue} {name}", queue, actor=dead.actor, **{"died-at": dead.died_at})
            letter.user_id = "gateway"
            await bury(gateway, letter)
    lines = {line["message_id"].split()[-1]: line for line in await listed(http, len(DEAD), queue=queue)}

    query = {"queue": queue, **filters}
    shown = (await http.get("/desk/letters", params=query)).raise_for_status().json()["items"]
    counted = (await http.get("/desk/groups", params=query)).raise_for_status().json()["items"]
    order = await http.post("/desk/replays", json={**query, "too_old": True, "rate": 1000})

    assert {line["message_id"].split()[-1] for line in shown} == meant
    assert sum(group["letters"] for group in counted) == len(meant)
    assert order.status_code == (202 if meant else 409)
    replayed = {name for name, line in lines.items() if (await whole(http, line["id"]))["replays"]}
    assert replayed == meant
