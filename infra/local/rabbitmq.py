"""RabbitMQ with its management page as a private child process: only the programs are the system's.

Own home and cookie, own node, own epmd, own ports, all on 127.0.0.1; nothing of /etc/rabbitmq is read and no
user `guest` exists.
"""

import base64
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from infra.local import installation, processes
from infra.local.logs import Log
from infra.local.passwords import private_folder, write_private
from infra.local.problems import Problem, check_room
from infra.local.processes import Process

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
collect_statistics_interval = {figures_every}000
load_definitions = definitions.json
disk_free_limit.absolute = 200MB
log.console = true
log.file = false
"""
ADVANCED = "[{{rabbit, [{{quorum_tick_interval, {figures_every}000}}]}}].\n"
"""After so long a quorum queue tells its figures."""


@dataclass(frozen=True)
class User:
    """Who may connect; `tags` open the management page, the patterns say what may be used on vhost "/"."""

    password: str
    tags: tuple[str, ...] = ()
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


class RabbitMQ:
    """One node. `users` replace those of the last start; messages and queues stay.

    `figures_every`: seconds after which the management page's figures are collected anew.
    """

    name = "rabbitmq"

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        management_port: int,
        distribution_port: int,
        epmd_port: int,
        users: Mapping[str, User],
        log: Log | None = None,
        figures_every: int = 5,
    ) -> None:
        self.directory = directory
        self.port = port
        self.management_port = management_port
        self.distribution_port = distribution_port
        self.epmd_port = epmd_port
        self.users = dict(users)
        self.figures_every = figures_every
        self.log = log or Log(directory / "rabbitmq.log")
        self.process = Process(self.name, [], log=self.log, folder=directory)
        self.epmd = Process("epmd", [], log=Log(directory / "epmd.log"), folder=directory)

    def start(self) -> None:
        """Start the node; `wait_ready` tells when it answers. A Problem where it cannot run here."""
        scripts = installation.scripts_folder()
        private_folder(self.directory)
        check_room(self.directory)  # without room it would block publishers, and say so only on its page
        self._configure()
        self.process.environment = self.epmd.environment = self._environment(scripts)
        self.epmd.command = [installation.epmd(), "-port", str(self.epmd_port), "-address", "127.0.0.1"]
        self.process.command = [str(scripts / "rabbitmq-server")]
        self.epmd.kill()
        self.epmd.start()
        self.process.start()

    def wait_ready(self, seconds: float = 90) -> None:
        """Return as soon as AMQP and the management API answer; a Problem with its last words if it ends."""
        answered = processes.wait_until(lambda: self.process.pid is None or self.answers(), seconds)
        if not answered or self.process.pid is None:
            raise Problem(f"RabbitMQ did not start. {self.log.path} ends with: {self.log.last_lines(5)}")

    def answers(self) -> bool:
        """Whether a client is greeted in AMQP and the management API knows its users."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                greeted = connection.recv(1) == b"\x01"
            return greeted and self._management_answers()
        except OSError:
            return False

    def url(self, user: str) -> str:
        """The AMQP address for one of its users, on vhost "/"."""
        password = quote(self.users[user].password, safe="")
        return f"amqp://{quote(user, safe='')}:{password}@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        """The address of the management page and its API."""
        return f"http://127.0.0.1:{self.management_port}"

    def stop(self) -> None:
        """Stop in good order, within eight seconds or by force; then its epmd."""
        self.process.thaw()
        self.process.end(8)
        self.epmd.end(1)

    def kill(self) -> None:
        """SIGKILL for the whole node, as a crash would."""
        self.process.kill()
        self.epmd.kill()

    def freeze(self) -> None:
        """Connections stay open and nothing answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.thaw()

    def control(self, *words: str) -> None:
        """What `rabbitmqctl` does with these words."""
        command = [str(installation.scripts_folder() / "rabbitmqctl"), *words]
        subprocess.run(command, env=self.process.environment, check=True, capture_output=True)

    def _management_answers(self) -> bool:
        request = urllib.request.Request(f"{self.management_url}/api/whoami")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2):
                return False  # nobody gets in without a password
        except urllib.error.HTTPError as refusal:
            return refusal.code == 401

    def _configure(self) -> None:
        private_folder(self.directory / "home")
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, secrets.token_hex(20))
            cookie.chmod(0o400)
        write_private(self.directory / "rabbitmq.conf", CONFIGURATION.format(**vars(self)))
        write_private(self.directory / "advanced.config", ADVANCED.format(**vars(self)))
        write_private(self.directory / "rabbitmq-env.conf", "")
        write_private(self.directory / "enabled_plugins", "[rabbitmq_management].\n")
        write_private(self.directory / "definitions.json", json.dumps(definitions(self.users), indent=1))

    def _environment(self, scripts: Path) -> dict[str, str]:
        foreign = ("RABBITMQ_", "ERL_", "XDG_", "NOTIFY_SOCKET", "HOME")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # Parts of RabbitMQ cannot spell every path, such as one through Документы.
        spelled = str(self.directory).isascii() or sys.platform != "linux"
        here = str(self.directory) if spelled else "/proc/self/cwd"
        return inherited | {
            "HOME": str(self.directory / "home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": f"{here}/erl_crash.dump",
            "RABBITMQ_NODENAME": "conveyor@localhost",
            # By itself it would bind its threads to cores, and wait for one that another program has.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_CONFIG_FILES": f"{here}/conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_PLUGINS_DIR": str(scripts.parent / "plugins"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{here}/plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/generated",
            "RABBITMQ_SCHEMA_DIR": f"{here}/schema",
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_LOG_BASE": here,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{here}/rabbitmq.pid",
            # The script then becomes the broker, instead of standing in front of it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def definitions(users: Mapping[str, User]) -> dict[str, object]:
    """What the node loads when it starts: the vhost, users with hashed passwords, what each may do."""
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                "password_hash": password_hash(user.password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": list(user.tags),
                "limits": {},
            }
            for name, user in users.items()
        ],
        "permissions": [
            {"user": name, "vhost": "/", "configure": user.configure, "write": user.write, "read": user.read}
            for name, user in users.items()
        ],
    }


def password_hash(password: str) -> str:
    """RabbitMQ's own form: four random bytes, then SHA-256 of them and the password, in base64."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
