"""Ports: the wanted one where it is free, else the next free one; the same again at the next start.

A port is claimed for as long as this object lives by a Linux socket name, so that two systems that start at
the same moment never choose the same one.
"""

import contextlib
import json
import random
import socket
import sys
from pathlib import Path

from infra.local.passwords import write_private
from infra.local.problems import Problem


class Ports:
    """The ports of one system, remembered in `memory` when given."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._claims: dict[int, socket.socket] = {}
        self._chosen: dict[str, int] = {}
        if memory is not None and memory.exists():
            with contextlib.suppress(ValueError):
                self._chosen = {str(name): int(port) for name, port in json.loads(memory.read_text()).items()}

    def choose(self, name: str, wanted: int) -> int:
        """The port that `name` had last time, else `wanted`, else the next free one."""
        last = self._chosen.get(name, wanted)
        return self._keep(name, last) if self._claim(last) else self.choose_from(name, wanted)

    def choose_from(self, name: str, wanted: int) -> int:
        """`wanted`, whatever `name` had last time, else the next free one."""
        candidates = range(wanted, min(wanted + 500, 65536))
        for port in candidates:
            if self._claim(port):
                return self._keep(name, port)
        raise Problem(
            f"No port is free for {name} between {wanted} and {candidates[-1]}: stop what listens there."
        )

    def _keep(self, name: str, port: int) -> int:
        self._chosen[name] = port
        if self._memory is not None:
            write_private(self._memory, json.dumps(self._chosen, indent=1))
        return port

    def choose_any(self) -> int:
        """Some free port, below those that the system gives to outgoing connections."""
        port = random.randint(20_000, 32_000)
        while not self._claim(port):
            port = random.randint(20_000, 32_000)
        return port

    def release(self) -> None:
        """Let others have them."""
        for claim in self._claims.values():
            claim.close()
        self._claims.clear()

    def _claim(self, port: int) -> bool:
        if port in self._claims:
            return False
        claim = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":
                claim.bind(f"\0conveyor-port-{port}")
        except OSError:
            claim.close()
            return False
        if not is_free(port):
            claim.close()
            return False
        self._claims[port] = claim
        return True


def is_free(port: int) -> bool:
    """Whether nobody listens there and this process could."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
        except OSError:
            return False
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) != 0
