"""`make secrets`: the files from which containers read passwords and addresses, and the broker's definitions.

Passwords are made the first time and kept; all else is written anew from them. Compose mounts single files as
they are, for users of its own, so they are readable to all in a folder that is open to its owner alone. The
broker's definitions lie beside its configuration, readable to all: passwords are salted hashes in there, of
128 random bits each, which nobody guesses.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from infra.containers.permissions import EVERYTHING, permissions
from infra.containers.running import definitions_file, secrets_folder
from infra.local.clone import Clone, write_addresses
from infra.local.passwords import private_folder, remembered, write_private
from infra.local.problems import Problem
from infra.local.rabbitmq import User, definitions
from infra.local.system import CONVEYOR, Service
from shared.topology import EVENTS_EXCHANGE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "infra" / "secrets.example"
PORTS = {"CONVEYOR_HTTP_PORT": 8000, "CONVEYOR_AMQP_PORT": 5672, "CONVEYOR_MANAGEMENT_PORT": 15672}
"""Where docker-compose.yml publishes on 127.0.0.1, by the variables that say otherwise."""
REPLICA_SET = "rs0"
Password = Callable[[str], str]
"""A password, letters and digits, by whose it is."""

DATABASE = """\
SELECT 'CREATE ROLE {name}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
ALTER ROLE {name} LOGIN PASSWORD '{password}';
SELECT 'CREATE DATABASE {database} OWNER {name}'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
"""
MONGODB = """\
const admin = connect("mongodb://superuser:{superuser}@mongodb:27017/admin?directConnection=true");
if (!admin.hello().setName) {{
  const members = [{{ _id: 0, host: "mongodb:27017" }}];
  admin.adminCommand({{ replSetInitiate: {{ _id: "{replica_set}", members }} }});
}}
const end = Date.now() + 60000;
while (!admin.hello().isWritablePrimary) {{
  if (Date.now() > end) throw new Error("MongoDB has not become a primary within 60 s: see its log.");
  sleep(200);
}}
for (const [database, user, pwd] of {users}) {{
  const db = admin.getSiblingDB(database);
  const roles = ["readWrite", "dbAdmin"].map((role) => ({{ role, db: database }}));
  db.getUser(user) ? db.updateUser(user, {{ pwd, roles }}) : db.createUser({{ user, pwd, roles }});
}}
"""
VALKEY = 'requirepass {password}\nsave ""\nappendonly no\nmaxmemory 64mb\nmaxmemory-policy allkeys-lru\n'


def files(password: Password) -> dict[str, str]:
    """What each secret holds, by its name in docker-compose.yml."""
    found = {
        "topology_rabbitmq_url": _broker("topology", password),
        "gateway_secret": password("gateway_secret"),
        "gateway_valkey_url": f"valkey://:{password('valkey')}@valkey:6379/0",
        "valkey_password": password("valkey"),
        "valkey.conf": VALKEY.format(password=password("valkey")),
        "postgresql_password": password("postgresql"),
        "postgresql_service.conf": "[superuser]\nhost=postgresql\nuser=postgres\ndbname=postgres\n"
        f"password={password('postgresql')}\n",
        "postgresql_databases.sql": _databases(password),
        "mongodb_password": password("mongodb"),
        "mongodb_key": password("mongodb_key"),
        "mongodb_users.js": _mongodb(password),
    }
    for service in CONVEYOR.services:
        prefix = service.prefix.lower()
        found[f"{prefix}_rabbitmq_url"] = _broker(service.name, password)
        if service.has_store:
            found[f"{prefix}_database_url"] = _database_url(service, password)
    return {name: text if text.endswith("\n") else f"{text}\n" for name, text in found.items()}


def _broker(user: str, password: Password) -> str:
    return f"amqp://{user}:{password(user)}@rabbitmq:5672/"


def _database_url(service: Service, password: Password) -> str:
    login = f"{service.name}:{password(f'{service.name}_database')}"
    if service.mongodb:
        options = f"replicaSet={REPLICA_SET}&authSource={service.mongodb}"
        return f"mongodb://{login}@mongodb:27017/{service.mongodb}?{options}"
    return f"postgresql://{login}@postgresql:5432/{service.database}"


def _databases(password: Password) -> str:
    """For psql: a database and its owner for each service, made once, the password set each time."""
    each = [
        DATABASE.format(
            name=service.name, database=service.database, password=password(f"{service.name}_database")
        )
        for service in CONVEYOR.services
        if service.database
    ]
    return "\n".join([*each, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;"])


def _mongodb(password: Password) -> str:
    """For mongosh: the replica set of one, and a user for each database."""
    users = [
        [service.mongodb, service.name, password(f"{service.name}_database")]
        for service in CONVEYOR.services
        if service.mongodb
    ]
    return MONGODB.format(
        superuser=password("mongodb"), replica_set=REPLICA_SET, users=json.dumps(users, indent=1)
    )


def broker_users(password: Password) -> dict[str, User]:
    """A user for each process, one for the topology step, and the person who owns it all."""
    processes = {one.name: permissions(one).user(password(one.name)) for one in CONVEYOR.services}
    return processes | {
        "topology": EVERYTHING.user(password("topology")),
        "operator": User(password("operator"), tags=("administrator",)),
    }


def broker_definitions(password: Password) -> dict[str, object]:
    """What RabbitMQ loads at each start. On the exchange of events a service says its own alone."""
    said = [
        {
            "user": service.name,
            "vhost": "/",
            "exchange": EVENTS_EXCHANGE,
            "write": permissions(service).says,
            "read": ".*",
        }
        for service in CONVEYOR.services
    ]
    return definitions(broker_users(password)) | {"topic_permissions": said}


def addresses(password: Password, ports: dict[str, int]) -> dict[str, str]:
    """Where the system is to be found from outside, as `.conveyor/addresses.env` has it for `make run`."""
    operator = password("operator")
    amqp = f"amqp://operator:{quote(operator)}@127.0.0.1:{ports['CONVEYOR_AMQP_PORT']}/"
    return {
        "GATEWAY_URL": f"http://127.0.0.1:{ports['CONVEYOR_HTTP_PORT']}",
        "RABBITMQ_URL": amqp,
        "RABBITMQ_MANAGEMENT_URL": f"http://127.0.0.1:{ports['CONVEYOR_MANAGEMENT_PORT']}",
        "RABBITMQ_MANAGEMENT_USER": "operator",
        "RABBITMQ_MANAGEMENT_PASSWORD": operator,
    }


def write(folder: Path, definitions_file: Path, given: dict[str, str]) -> None:
    """All of it; passwords that are there already stay. A Problem where somebody wrote it by hand."""
    if (folder / "gateway_secret").exists() and not (folder / "passwords").exists():
        raise Problem(
            f"{folder} was not made by 'make secrets', and stays as it is: CONVEYOR_SECRETS names it. "
            "For RabbitMQ's definitions alone: CONVEYOR_SECRETS= make secrets"
        )

    def password(name: str) -> str:
        return remembered(folder / "passwords" / name)

    private_folder(folder)
    for name, text in files(password).items():
        _write_readable(folder / name, text)
    _write_readable(definitions_file, json.dumps(broker_definitions(password), indent=1) + "\n")
    ports = {name: int(given.get(name) or port) for name, port in PORTS.items()}
    write_addresses(folder / "addresses.env", addresses(password, ports))


def _write_readable(path: Path, text: str) -> None:
    """Replaced within its file, since a container that runs has that one mounted."""
    if not path.exists():
        write_private(path, text)
    elif path.read_text() != text:
        path.write_text(text)
    path.chmod(0o644)


def write_example(folder: Path) -> None:
    """The same files with passwords that are none, to be committed."""
    folder.mkdir(exist_ok=True)
    for name, text in example().items():
        (folder / name).write_text(text)


def example() -> dict[str, str]:
    """What the committed example holds."""
    return files(lambda name: f"password-of-{name.replace('_', '-')}")


if __name__ == "__main__":
    clone = Clone(ROOT)
    folder = secrets_folder(clone)
    try:
        write(folder, definitions_file(clone), clone.given())
    except Problem as problem:
        sys.exit(str(problem))
    except OSError as error:
        sys.exit(
            f"{error.filename}: {error.strerror}. Mend that, or say where else they go: CONVEYOR_SECRETS, "
            "CONVEYOR_DEFINITIONS."
        )
    if sys.argv[1:] == ["--example"]:
        write_example(EXAMPLE)
    print(f"Secrets are in {folder}; load the addresses with: . {folder}/addresses.env")
