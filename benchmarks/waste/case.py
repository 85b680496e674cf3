"""200 organizations, 50 storages and the roads between them, the same ones each time, and what is generated.

Every organization reaches every storage; all that is generated finds room, if rarely in the nearest.
"""

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from uuid import UUID

import aio_pika
import asyncpg
import orjson

from waste_service.domain.network import Network, Place

ORGANIZATIONS, STORAGES = 200, 50
CAPACITY = Decimal(600)
KINDS = ("bio", "glass", "plastic")
ROADS_OF_ONE = 5
TABLES = ("kinds", "places", "capacities", "generations", "amounts", "placements", "waiting")


@dataclass(frozen=True)
class Road:
    origin: Place
    destination: Place
    metres: int


def network_and_roads() -> tuple[Network, list[Road]]:
    """Each organization has roads to five storages; a ring joins the storages."""
    random = Random(7)
    network = Network()
    for number in range(STORAGES):
        network.add_place(_id(random), f"storage {number}", dict.fromkeys(KINDS, CAPACITY))
    for number in range(ORGANIZATIONS):
        network.add_place(_id(random), f"organization {number}", {})
    storages, organizations = network.places[:STORAGES], network.places[STORAGES:]
    ring = zip(storages, [*storages[1:], storages[0]], strict=True)
    ends = [*ring, *((one, to) for one in organizations for to in random.sample(storages, ROADS_OF_ONE))]
    roads = [Road(start, end, random.randint(100, 5_000)) for start, end in ends]
    for road in roads:
        network.add_road(road.origin, road.destination, road.metres, two_way=road.origin.is_storage)
    return network, roads


def _id(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def commands(count: int, seed: int) -> list[aio_pika.Message]:
    """`GenerateWaste` of one kind each, from whichever organization."""
    random = Random(seed)
    return [
        aio_pika.Message(
            orjson.dumps(
                {
                    "organization": f"organization {random.randrange(ORGANIZATIONS)}",
                    "amounts": {random.choice(KINDS): random.randint(1, 9)},
                }
            ),
            message_id=_id(random).hex,
        )
        for _ in range(count)
    ]


async def put_into(database_url: str) -> None:
    """The case in the service's tables, and in those of the naive form with all distances found out."""
    network, roads = network_and_roads()
    connection = await asyncpg.connect(database_url)
    await _put_ours(connection, network, roads)
    await connection.execute("CREATE SCHEMA naive")
    for table in TABLES:
        await connection.execute(f"CREATE TABLE naive.{table} (LIKE public.{table} INCLUDING ALL)")
    for table in ("kinds", "places", "capacities"):
        await connection.execute(f"INSERT INTO naive.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}")
    await _refer_as_ours(connection)
    await connection.execute(
        "CREATE TABLE naive.distances (organization uuid, storage uuid, metres bigint, number int, "
        "PRIMARY KEY (organization, storage))"
    )
    rows = [
        (one.id, storage.id, metres, storage.number)
        for one in network.places[STORAGES:]
        for storage, metres in network.nearest_storages(one)
    ]
    await connection.copy_records_to_table("distances", schema_name="naive", records=rows)
    await connection.execute("ANALYZE")
    await connection.close()


async def _refer_as_ours(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The foreign keys, which LIKE leaves out."""
    keys = await connection.fetch(
        "SELECT conrelid::regclass::text AS referring, pg_get_constraintdef(oid) AS key "
        "FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY($1::text[]::regclass[])",
        TABLES,
    )
    async with connection.transaction():
        await connection.execute("SET LOCAL search_path TO naive")
        for referring, key in keys:
            await connection.execute(f"ALTER TABLE {referring} ADD {key}")


async def _put_ours(
    connection: "asyncpg.Connection[asyncpg.Record]", network: Network, roads: list[Road]
) -> None:
    now = await connection.fetchval("SELECT now()")
    places = [(place.id, place.name, place.is_storage, now) for place in network.places]
    capacities = [(place.id, kind, most) for place in network.places for kind, most in place.capacity.items()]
    ways = [
        (_id(Random(number)), road.origin.id, road.destination.id, road.metres, road.origin.is_storage, now)
        for number, road in enumerate(roads)
    ]
    for table, columns, rows in (
        ("places", ("id", "name", "is_storage", "created_at"), places),
        ("capacities", ("storage", "kind", "capacity"), capacities),
        ("roads", ("id", "origin", "destination", "metres", "two_way", "created_at"), ways),
    ):
        await connection.copy_records_to_table(table, columns=columns, records=rows)
    await connection.execute("UPDATE present SET network = gen_random_uuid()")
