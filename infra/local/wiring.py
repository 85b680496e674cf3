"""Who reaches what under which address: the embedded servers, or those whose URL the person gave."""

from collections.abc import Mapping

from infra.local import mongodb, valkey
from infra.local.clone import Clone
from infra.local.given_servers import given_mongodb, given_port, given_servers, with_store
from infra.local.logs import Log
from infra.local.mongodb import MongoDB
from infra.local.passwords import private_folder, remembered
from infra.local.ports import Ports
from infra.local.postgresql import PostgreSQL
from infra.local.rabbitmq import RabbitMQ, User
from infra.local.system import Service, System
from infra.local.valkey import Valkey


class Wiring:
    """The servers that this system embeds (None where a URL was given for all), and everybody's settings."""

    def __init__(self, clone: Clone, system: System, given: Mapping[str, str], ports: Ports) -> None:
        self.clone = clone
        self.system = system
        self.given = with_store(system, given, clone.home)
        self.given_servers = given_servers(system, self.given)
        self.ports = {service.name: self._port(service, ports) for service in system.services}
        self.postgresql = self._postgresql(ports)
        self.rabbitmq = self._rabbitmq(ports)
        self.mongodb = self._mongodb(ports)
        self.valkey = self._valkey(ports)

    def _port(self, service: Service, ports: Ports) -> int:
        wanted = given_port(service, self.given)
        return ports.choose_from(service.name, wanted) if wanted else ports.choose(service.name, service.port)

    def _postgresql(self, ports: Ports) -> PostgreSQL | None:
        if not self.databases():
            return None
        log = Log(self.clone.logs / "postgresql.log")
        return PostgreSQL(self.clone.home / "postgresql", ports.choose("postgresql", 5432), log)

    def _mongodb(self, ports: Ports) -> MongoDB | None:
        program = mongodb.find_program() if self.document_databases() else None
        if program is None:
            return None
        port, log = ports.choose("mongodb", 27017), Log(self.clone.logs / "mongodb.log")
        return MongoDB(self.clone.home / "mongodb", port, program, log)

    def _rabbitmq(self, ports: Ports) -> RabbitMQ | None:
        if self.given.get("RABBITMQ_URL"):
            return None
        users = {service.name: User(self._password(service.name)) for service in self.system.services}
        return RabbitMQ(
            self.clone.home / "rabbitmq",
            port=ports.choose("rabbitmq", 5672),
            management_port=ports.choose("management", 15672),
            distribution_port=ports.choose("distribution", 25672),
            epmd_port=ports.choose("epmd", 4370),
            users=users | {"operator": User(self._password("operator"), tags=("administrator",))},
            log=Log(self.clone.logs / "rabbitmq.log"),
        )

    def _valkey(self, ports: Ports) -> Valkey | None:
        if not self.caches() or valkey.binary() is None:
            return None
        port, log = ports.choose("valkey", 6379), Log(self.clone.logs / "valkey.log")
        return Valkey(self.clone.home / "valkey", port, self._password("valkey"), log)

    def caches(self) -> list[Service]:
        """The services that want Valkey and were given none."""
        return [
            service for service in self.system.services if service.cache and not self._given_valkey(service)
        ]

    def _given_valkey(self, service: Service) -> str:
        return self.given.get(f"{service.prefix}_VALKEY_URL") or self.given.get("VALKEY_URL") or ""

    def _password(self, user: str) -> str:
        return remembered(self.clone.home / "passwords" / user)

    def databases(self) -> list[Service]:
        """The services whose database is in the embedded PostgreSQL."""
        services = [service for service in self.system.services if service.database]
        return [service for service in services if not self.given.get(f"{service.prefix}_DATABASE_URL")]

    def document_databases(self) -> list[Service]:
        """The services whose database is in the embedded MongoDB."""
        services = [service for service in self.system.services if service.mongodb]
        return [service for service in services if not given_mongodb(service, self.given)]

    def create_databases(self) -> None:
        """A database and a user for each of them."""
        if self.postgresql:
            for service in self.databases():
                self.postgresql.create_database(service.database, *self._login(service))
        if self.mongodb:
            for service in self.document_databases():
                self.mongodb.create_database(service.mongodb, *self._login(service))

    def _login(self, service: Service) -> tuple[str, str]:
        return service.name, self._password(f"{service.name}_database")

    def settings(self, service: Service) -> dict[str, str]:
        """What its process gets in the environment, next to what the runner itself has."""
        settings = {
            f"{service.prefix}_HTTP_PORT": str(self.ports[service.name]),
            f"{service.prefix}_RABBITMQ_URL": self._rabbitmq_url(service.name, service.prefix),
        }
        if service.secret:
            secret = self.given.get(f"{service.prefix}_SECRET")
            settings[f"{service.prefix}_SECRET"] = secret or self._password(f"{service.name}_secret")
        if service.links:
            settings[f"{service.prefix}_MANAGEMENT_URL"] = self._management_url(service.prefix)
        if service.has_store:
            settings[f"{service.prefix}_DATABASE_URL"] = self._database_url(service)
        if service.blobs:
            settings[f"{service.prefix}_BLOBS_URL"] = self._blobs_url(service)
        if service.cache:
            embedded = self.valkey.url() if self.valkey else ""
            settings[f"{service.prefix}_VALKEY_URL"] = self._given_valkey(service) or embedded
        return settings

    def _blobs_url(self, service: Service) -> str:
        given = self.given.get(f"{service.prefix}_BLOBS_URL") or self.given.get("BLOBS_URL")
        return given or (private_folder(self.clone.home / "blobs").absolute().as_uri())

    def operator_url(self) -> str:
        """The broker as the person who owns it."""
        return self.rabbitmq.url("operator") if self.rabbitmq else self.given["RABBITMQ_URL"]

    def _rabbitmq_url(self, user: str, prefix: str) -> str:
        given = self.given.get(f"{prefix}_RABBITMQ_URL") or self.given.get("RABBITMQ_URL")
        return given or (self.rabbitmq.url(user) if self.rabbitmq else "")

    def _management_url(self, prefix: str) -> str:
        given = self.given.get(f"{prefix}_MANAGEMENT_URL") or self.given.get("RABBITMQ_MANAGEMENT_URL")
        return given or (self.rabbitmq.management_url if self.rabbitmq else "")

    def _database_url(self, service: Service) -> str:
        if service.mongodb:
            embedded = self.mongodb.url(service.mongodb, *self._login(service)) if self.mongodb else ""
            return given_mongodb(service, self.given) or embedded
        given = self.given.get(f"{service.prefix}_DATABASE_URL")
        if given or self.postgresql is None:
            return given or ""
        return self.postgresql.url(service.database, *self._login(service))

    def url(self, service: Service) -> str:
        """Where it answers HTTP."""
        return f"http://127.0.0.1:{self.ports[service.name]}"

    def addresses(self) -> dict[str, str]:
        """All of them, as `.conveyor/addresses.env` has them."""
        found = {}
        for service in self.system.services:
            found[f"{service.name.upper()}_URL"] = self.url(service)
        found["RABBITMQ_URL"] = self.operator_url()
        if self.rabbitmq:
            found["RABBITMQ_MANAGEMENT_URL"] = self.rabbitmq.management_url
            found["RABBITMQ_MANAGEMENT_USER"] = "operator"
            found["RABBITMQ_MANAGEMENT_PASSWORD"] = self._password("operator")
        for name in ("URL", "USER", "PASSWORD"):
            if given := self.given.get(f"RABBITMQ_MANAGEMENT_{name}"):
                found[f"RABBITMQ_MANAGEMENT_{name}"] = given
        for service in self.system.services:
            found |= {name: url for name, url in self.settings(service).items() if name.endswith("_URL")}
        return found
