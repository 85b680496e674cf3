"""The present network and stock: as a transaction works with them, and as the process remembers them.

Decisions need all of both, so they are remembered by version: a random id in the table `present`, replaced
in the transaction that changes what it stands for. No id comes back with another content, and what a rollback
undid is never looked up again. Commands hold the service's lock, so what they read is whole; queries read
without it, and since no place is ever removed, roads are read before the places they join.
"""

from itertools import groupby
from typing import Protocol, Self, TypeVar, cast
from uuid import UUID, uuid4

from sqlalchemy import text

from shared.journal_sql import Prepared, SqlTransaction
from waste_service.domain.network import Network
from waste_service.domain.placement import Stock

READ_PRESENT = Prepared("SELECT network, stock FROM present")
REPLACE_NETWORK = text("UPDATE present SET network = :version")
REPLACE_STOCK = text("UPDATE present SET stock = :version")
READ_KINDS = Prepared("SELECT code FROM kinds")
READ_ROADS = Prepared("SELECT origin, destination, metres, two_way FROM roads")
READ_PLACES = Prepared("""
    SELECT id, name, kind, capacity FROM places LEFT JOIN capacities ON storage = id ORDER BY number""")
READ_STORED = Prepared("SELECT storage, kind, stored, placements FROM capacities WHERE placements > 0")
READ_WAITING = Prepared(
    "SELECT organization, kind, sum(amount) AS amount FROM waiting GROUP BY organization, kind"
)


class Copyable(Protocol):
    def copy(self) -> Self: ...


Content = TypeVar("Content", bound=Copyable)


class Remembered(dict[UUID, Content]):
    """The last four versions of something; one that others may look up is never changed."""

    def remember(self, version: UUID, content: Content) -> Content:
        self[version] = content
        if len(self) > 4:
            del self[next(iter(self))]
        return content


NETWORKS: Remembered[Network] = Remembered()
STOCKS: Remembered[Stock] = Remembered()


class Present:
    """What one transaction works with. Before it changes something, it takes a copy of its own."""

    def __init__(self, transaction: SqlTransaction, network: Network, stock: Stock):
        self.transaction = transaction
        self.network = network
        self.stock = stock
        self._own: set[str] = set()

    def change_network(self) -> Network:
        """The network, to be changed: under a version that others see once it is committed."""
        if "network" not in self._own:
            self._own.add("network")
            version = uuid4()
            self.network = NETWORKS.remember(version, self.network.copy())
            self.transaction.write(REPLACE_NETWORK, {"version": version})
        return self.network

    def change_stock(self) -> Stock:
        """The stock, to be changed in the same way."""
        if "stock" not in self._own:
            self._own.add("stock")
            version = uuid4()
            self.stock = STOCKS.remember(version, self.stock.copy())
            self.transaction.write(REPLACE_STOCK, {"version": version})
        return self.stock


async def present(transaction: SqlTransaction) -> Present:
    """What is now, found out once in a transaction."""
    if Present not in transaction.memory:
        [versions] = await transaction.rows(READ_PRESENT)
        network = NETWORKS.get(versions["network"])
        if network is None:
            network = NETWORKS.remember(versions["network"], await _read_network(transaction))
        stock = STOCKS.get(versions["stock"])
        if stock is None:
            stock = STOCKS.remember(versions["stock"], await _read_stock(transaction))
        transaction.memory[Present] = Present(transaction, network, stock)
    return cast(Present, transaction.memory[Present])


async def _read_network(transaction: SqlTransaction) -> Network:
    network = Network()
    roads = await transaction.rows(READ_ROADS)
    for place, rows in groupby(await transaction.rows(READ_PLACES), key=lambda row: (row["id"], row["name"])):
        capacity = {row["kind"]: row["capacity"] for row in rows if row["kind"]}
        network.add_place(*place, capacity)
    for road in roads:
        origin, destination = network.by_id[road["origin"]], network.by_id[road["destination"]]
        network.add_road(origin, destination, road["metres"], two_way=road["two_way"])
    network.kinds.update(row["code"] for row in await transaction.rows(READ_KINDS))
    return network


async def _read_stock(transaction: SqlTransaction) -> Stock:
    stock = Stock()
    for row in await transaction.rows(READ_STORED):
        storage = row["storage"]
        stock.stored[storage, row["kind"]] = row["stored"]
        stock.placements[storage] = stock.placements.get(storage, 0) + row["placements"]
    for row in await transaction.rows(READ_WAITING):
        stock.waiting[row["organization"], row["kind"]] = row["amount"]
    return stock
