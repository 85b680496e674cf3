"""Runs the whole system: servers, one-shot steps, services; watches them; stops all that it started.

Nothing that it started outlives it, and it never signals anything else.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from infra.local import leftovers, processes
from infra.local.clone import Clone
from infra.local.given_servers import host_and_port
from infra.local.health import accepts, is_ready, why_not_ready, why_silent
from infra.local.logs import Log
from infra.local.mongodb import MongoDB
from infra.local.ports import Ports
from infra.local.postgresql import PostgreSQL
from infra.local.problems import Problem
from infra.local.processes import Process
from infra.local.rabbitmq import RabbitMQ
from infra.local.supervision import Supervised
from infra.local.system import Service, System
from infra.local.valkey import Valkey
from infra.local.wiring import Wiring

SERVICES_GRACE_SECONDS = 7.5  # their own is 7
SERVERS_GRACE_SECONDS = 7.0
PATIENCE_SECONDS = 5.0  # before saying what is waited for


class _StopRequestedError(Exception):
    """A signal asked for the end while something was waited for."""


class Runner:
    """One run of the system in a clone; the clone's lock is held by whoever makes it."""

    def __init__(self, clone: Clone, system: System, say: Callable[[str], None]) -> None:
        self.clone = clone
        self.system = system
        self.say = say
        self.supervised: list[Supervised] = []
        self.addresses: dict[str, str] = {}
        self._steps: list[Process] = []
        self._servers: list[MongoDB | PostgreSQL | RabbitMQ | Valkey] = []
        self._signals = 0
        self._phase = "starting"
        self._ports = Ports(clone.home / "ports.json")

    def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Start everything, call `when_ready`, watch until a signal asks for the end, stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._say_state()
        try:
            self._start()
            self._phase = "ready"
            self._record()
            when_ready()
            self._watch()
        except _StopRequestedError:
            pass
        finally:
            self._stop()
            if self._signals:
                self.say("Stopped.")

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _start(self) -> None:
        leftovers.end(self.clone, self.say)
        wiring = Wiring(self.clone, self.system, self.clone.given(), self._ports)
        self.addresses = wiring.addresses()
        self.clone.write_addresses(self.addresses)
        self._start_servers(wiring)
        self._await_given_servers(wiring)
        self._prepare(wiring)
        self._start_services(wiring)

    def _record(self) -> None:
        """Keep `.conveyor/pids` and the state for `make status` true."""
        known = [*(part.process for part in self.supervised), *self._steps]
        known += [server.epmd for server in self._servers if isinstance(server, RabbitMQ)]
        leftovers.record(self.clone, known)
        self._say_state()

    def _say_state(self) -> None:
        """At once after the lock is taken, too: others must not read what an earlier runner said."""
        runner = {"runner": os.getpid(), "identity": processes.identity(os.getpid())}
        parts = [
            {
                "name": part.name,
                "pid": part.process.pid,
                "restarts": part.restarts,
                "started_at": part.process.started_at,
                "address": part.address,
                "health": part.health,
            }
            for part in self.supervised
        ]
        self.clone.write_state({**runner, "phase": self._phase, "parts": parts})

    def _start_servers(self, wiring: Wiring) -> None:
        servers = (wiring.rabbitmq, wiring.postgresql, wiring.mongodb, wiring.valkey)
        self._servers = [server for server in servers if server is not None]
        if wiring.caches() and wiring.valkey is None:
            self.say("There is no Valkey for this platform: it goes on without; VALKEY_URL gives it one.")
        for server in self._servers:
            self.say(f"Starting {server.name} …")
            part = Supervised(server.process, server.start, f"127.0.0.1:{server.port}")
            self.supervised.append(part)
            server.start()
            self._record()
        for store in (wiring.postgresql, wiring.mongodb):
            if store is not None:
                self._wait_for_server(store)
        wiring.create_databases()

    def _wait_for_server(self, server: MongoDB | PostgreSQL | RabbitMQ) -> None:
        ended = not self._wait(lambda: server.process.pid is None or server.answers(), 90)
        if ended or server.process.pid is None:
            last = "\n  ".join(server.log.last_lines(8))
            raise Problem(f"{server.name} did not start; {server.log.path} ends with:\n  {last}")

    def _await_given_servers(self, wiring: Wiring) -> None:
        """The steps need them; services themselves would wait with backoff. Nothing needs Valkey."""
        for name, url in wiring.given_servers.items():
            place = host_and_port(url)
            if place and not self._wait(partial(accepts, place), PATIENCE_SECONDS):
                why = why_silent(place) or "it is slow to answer"
                optional = name.endswith("VALKEY_URL")
                doing = "Going on without" if optional else "Waiting for"
                self.say(f"{doing} {place[0]}:{place[1]}: {why}; start it, or correct {name} in .env …")
                if not optional:
                    self._wait(partial(accepts, place))

    def _prepare(self, wiring: Wiring) -> None:
        """The one-shot steps: migrations while RabbitMQ still starts, then the topology."""
        migrations = [
            self._step(f"{service.name}.migrate", service.migrate_command, wiring.settings(service))
            for service in self.system.services
            if service.has_store
        ]
        for step in migrations:
            self._finish(step)
        if wiring.rabbitmq is not None:
            self._wait_for_server(wiring.rabbitmq)
        if self.system.topology:
            operator = {"RABBITMQ_URL": wiring.operator_url()}
            self._finish(self._step("topology", list(self.system.topology), operator))

    def _step(self, name: str, command: list[str], settings: dict[str, str]) -> Process:
        step = self._process(name, command, settings)
        self._steps.append(step)
        step.start()
        self._record()
        return step

    def _finish(self, step: Process) -> None:
        if not self._wait(lambda: step.pid is None, PATIENCE_SECONDS):
            self.say(f"Still at it: {step.name} …")
            self._wait(lambda: step.pid is None)
        self._steps.remove(step)
        if step.exit_code != 0:
            step.log.settle()
            last = "\n  ".join(step.log.last_lines(15))
            raise Problem(f"The step {step.name} failed; {step.log.path} ends with:\n  {last}")

    def _process(self, name: str, command: list[str], settings: dict[str, str]) -> Process:
        environment = self.clone.given() | settings | {"PYTHONUNBUFFERED": "1"}
        log = Log(self.clone.logs / f"{name}.log")
        return Process(name, command, log=log, environment=environment, folder=self.clone.root)

    def _start_services(self, wiring: Wiring) -> None:
        for service in self.system.services:
            self._start_service(service, wiring)
        services = [part for part in self.supervised if part.health]
        self.say(f"Starting {', '.join(part.name for part in services)} …")
        said: set[str] = set()
        begin = time.monotonic()
        while waiting := [part for part in services if not is_ready(part.health)]:
            self._look_after()
            if time.monotonic() > begin + PATIENCE_SECONDS:
                self._say_once(said, waiting)
            self._pause()

    def _start_service(self, service: Service, wiring: Wiring) -> None:
        process = self._process(service.name, service.start_command, wiring.settings(service))
        url = wiring.url(service)
        self.supervised.append(Supervised(process, process.start, url, f"{url}/health/ready"))
        process.start()
        self._record()

    def _say_once(self, said: set[str], waiting: list[Supervised]) -> None:
        for part in waiting:
            line = f"Waiting for {part.name}: {why_not_ready(part.health)}"
            if line not in said:
                said.add(line)
                self.say(line)

    def _watch(self) -> None:
        while True:
            self._look_after()
            self._pause()

    def _look_after(self) -> None:
        changed = [part for part in self.supervised if part.look(self.say)]
        if changed:
            self._record()

    def _pause(self) -> None:
        self._wait(lambda: False, 0.1)

    def _wait(self, condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Like `processes.wait_until`, but a signal ends it."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self._signals:
                raise _StopRequestedError
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _stop(self) -> None:
        """Services first, so that they finish what is in hand; then servers. A second signal hastens it."""
        self._phase = "stopping"
        self._record()
        if self.supervised:
            self.say("Stopping … (Ctrl-C again: at once)")
        servers = [server.process for server in self._servers]
        services = [part.process for part in self.supervised if part.process not in servers]
        asked = self._signals
        self._end([*services, *self._steps], SERVICES_GRACE_SECONDS, asked)
        self._end(servers, SERVERS_GRACE_SECONDS, asked)
        for server in self._servers:
            server.kill()
        self._ports.release()
        self._phase = "stopped"
        self._record()

    def _end(self, ending: list[Process], seconds: float, asked: int) -> None:
        deadline = time.monotonic() + seconds
        for process in ending:
            process.thaw()
            process.ask_to_end()
        while any(process.pid for process in ending):
            if time.monotonic() > deadline or self._signals > max(asked, 1):
                break
            time.sleep(0.05)
        for process in ending:
            process.kill()
