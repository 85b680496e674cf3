"""A RabbitMQ of three nodes on this machine: a node killed under load, then, after its return, another.

Clients are given all three hosts, and move over by themselves.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from pamqp.commands import Queue

from infra.containers.servers import ContainedRabbitMQ
from infra.local import installation
from infra.local.logs import Log
from infra.local.passwords import private_folder, write_private
from infra.local.ports import Ports
from infra.local.processes import Process
from infra.local.rabbitmq import RabbitMQ, User
from shared.amqp.connection import connect
from shared.amqp.content import Properties
from shared.amqp.fields import Table
from shared.bus import Publisher, Unconfirmed, Undelivered
from tests.faults.registry import Scene, fault
from tests.faults.stage import Stage
from tests.system import eventually

NODES = (1, 2, 3)
NAMES = [f"node{number}@localhost" for number in NODES]
NEWCOMERS, EACH_SECONDS = 20, 0.02
"""RabbitMQ takes some 0.2 s to choose a queue's next leader."""


def formation(*names: str) -> str:
    """The configuration of nodes that are called so."""
    nodes = [f"cluster_formation.classic_config.nodes.{n} = {name}" for n, name in enumerate(names, 1)]
    backend = "cluster_formation.peer_discovery_backend = classic_config"
    return "\n".join([backend, *nodes, "cluster_partition_handling = pause_minority", ""])


class _Theirs(Process):
    """The epmd that all nodes share lives as long as the cluster, not as a node."""

    def start(self) -> None:
        pass

    def kill(self) -> None:
        pass


class Node(RabbitMQ):
    """One of three."""

    def __init__(
        self,
        number: int,
        cookie: str,
        directory: Path,
        epmd_port: int,
        ports: Ports,
        users: Mapping[str, User],
    ):
        super().__init__(
            directory / f"node{number}",
            port=ports.choose_any(),
            management_port=ports.choose_any(),
            distribution_port=ports.choose_any(),
            epmd_port=epmd_port,
            users=users,
            figures_every=1,
        )
        self.number = number
        self.cookie = cookie
        self.epmd = _Theirs("epmd", [], log=self.epmd.log, folder=self.directory)

    def _configure(self) -> None:
        private_folder(self.directory / "home")
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, self.cookie)
            cookie.chmod(0o400)
        super()._configure()
        configuration = self.directory / "rabbitmq.conf"
        write_private(configuration, configuration.read_text() + formation(*NAMES))

    def _environment(self, scripts: Path) -> dict[str, str]:
        return super()._environment(scripts) | {"RABBITMQ_NODENAME": f"node{self.number}@localhost"}


class ContainedNode(ContainedRabbitMQ):
    """One of three, in a container of its own; the others are found by the names of their hosts."""

    def __init__(self, number: int, cookie: str, **more: Any) -> None:
        super().__init__(
            hostname=f"node{number}",
            more_configuration=formation(*(f"rabbit@node{number}" for number in NODES)),
            environment={"RABBITMQ_ERLANG_COOKIE": cookie},
            **more,
        )
        self.number = number


class Cluster:
    """Three nodes, in place of one server, of the kind that `like` is."""

    def __init__(self, directory: Path, like: RabbitMQ) -> None:
        self.users = like.users
        self.ports = Ports()
        self.nodes: Sequence[Node | ContainedNode]
        self.epmd: Process | None = None
        private_folder(directory)
        cookie = secrets.token_hex(20)
        if isinstance(like, ContainedRabbitMQ):
            self.nodes = self._contained(directory, cookie, like)
            return
        epmd_port = self.ports.choose_any()
        self.nodes = [Node(number, cookie, directory, epmd_port, self.ports, self.users) for number in NODES]
        command = [installation.epmd(), "-port", str(epmd_port), "-address", "127.0.0.1"]
        self.epmd = Process("epmd", command, log=Log(directory / "epmd.log"), folder=directory)

    def _contained(self, directory: Path, cookie: str, like: ContainedRabbitMQ) -> list[ContainedNode]:
        network = like.containers.network()
        return [
            ContainedNode(
                number,
                cookie,
                directory=directory / f"node{number}",
                containers=like.containers,
                image=like.image,
                network=network,
                port=self.ports.choose_any(),
                management_port=self.ports.choose_any(),
                distribution_port=0,
                epmd_port=0,
                users=self.users,
                figures_every=1,
            )
            for number in NODES
        ]

    def start(self) -> None:
        if self.epmd:
            self.epmd.start()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()

    def stop(self) -> None:
        for node in self.nodes:
            node.process.ask_to_end()
        for node in self.nodes:
            node.stop()
        if self.epmd:
            self.epmd.end(1)
        self.ports.release()

    def url(self, user: str) -> str:
        """With all hosts."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        who = urlsplit(self.nodes[0].url(user)).netloc.rpartition("@")[0]
        return f"amqp://{who}@{hosts}/"

    @property
    def management_url(self) -> str:
        """Of a node that runs."""
        return next(node.management_url for node in self.nodes if node.process.pid and node.answers())


@contextmanager
def cluster_of_three(directory: Path, like: RabbitMQ) -> Iterator[Cluster]:
    cluster = Cluster(directory, like)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@fault("cluster-node-killed", times=1, cluster=True)
async def cluster_node_killed(scene: Scene) -> None:
    """Three nodes: one killed under load, then, after its return, another: clients move over by themselves"""
    cluster = cast(Cluster, scene.stage.servers.rabbitmq)
    for node in scene.random.sample(cluster.nodes, 2):
        async with _newcomers(cluster, node) as refused:
            await asyncio.to_thread(node.kill)
            ready = asyncio.create_task(scene.until_ready())
        scene.notes.append(f"{await ready:.1f} s without node {node.number}")
        scene.notes.append(f"{len(refused)} of {NEWCOMERS} newcomers refused at first")
        await asyncio.sleep(3)
        await asyncio.to_thread(node.start)
        await asyncio.to_thread(node.wait_ready)
        await eventually(lambda: _whole(scene.stage), "each quorum queue has all its members again", 60)


@asynccontextmanager
async def _newcomers(cluster: Cluster, node: Node | ContainedNode) -> AsyncIterator[set[int]]:
    """Who first publishes to a queue while the node with its leader dies can go on soon. Who was refused."""
    queue = f"newcomers.{node.number}"
    quorum: Table = {"x-queue-type": "quorum", "x-queue-leader-locator": "client-local"}
    there = await connect(node.url("operator"), "newcomers")
    await (await there.channel()).call(Queue.Declare(queue=queue, durable=True, arguments=quorum))
    others = [other.url("operator") for other in cluster.nodes if other is not node]
    publishers = [Publisher(others[n % 2], f"newcomer {n}") for n in range(NEWCOMERS)]
    links = [asyncio.create_task(publisher.link.keep_open()) for publisher in publishers]
    refused: set[int] = set()
    try:
        await asyncio.wait_for(asyncio.gather(*(publisher.link.back.wait() for publisher in publishers)), 30)
        yield refused
        async with asyncio.TaskGroup() as all_of_them:
            for n, publisher in enumerate(publishers):
                all_of_them.create_task(_goes_on(publisher, queue, n, refused))
    finally:
        for link in links:
            link.cancel()
        await asyncio.wait(links)


async def _goes_on(publisher: Publisher, queue: str, number: int, refused: set[int]) -> None:
    async def taken() -> bool:
        properties = Properties(message_id=uuid4().hex, delivery_mode=2)
        try:
            await publisher.publish("", queue, b"", properties, mandatory=True)
        except Undelivered:
            refused.add(number)
            return False
        except Unconfirmed:
            return False
        return True

    await asyncio.sleep(number * EACH_SECONDS)
    await eventually(taken, "a newcomer goes on")


async def _whole(stage: Stage) -> bool:
    """Whether any node may be lost now (as `rabbitmq-queues check_if_node_is_quorum_critical` asks)."""
    queues = await stage.management("GET", "/api/queues/{vhost}?columns=name,type,members,online")
    return all(set(one["members"]) == set(one["online"]) for one in queues if one.get("type") == "quorum")
