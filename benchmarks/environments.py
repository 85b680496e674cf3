"""The peers' own environments, under `.conveyor/peers/`: what `benchmarks/peers/NAME.txt` pins, by hash.

They are never among the project's dependencies, and nothing but `make bench` installs them.
"""

import re
from pathlib import Path

from infra.local import environment
from infra.local.passwords import private_folder

ROOT = Path(__file__).parent.parent
LOCKS = Path(__file__).parent / "peers"


def python_of(peer: str) -> str:
    """The peer's python, after installing what is missing; ends this process with a sentence if it cannot."""
    folder = ROOT / ".conveyor" / "peers" / peer
    private_folder(folder.parent)
    private_folder(folder)
    (folder / "requirements.lock").write_bytes((LOCKS / f"{peer}.txt").read_bytes())
    return environment.ready(str(folder))


def versions_of(peer: str) -> str:
    """What its `.in` names, but for what is marked as taken from ours, with the versions that are pinned."""
    named = re.findall(r"^([\w-]+)\S*$", (LOCKS / f"{peer}.in").read_text(), flags=re.MULTILINE)
    lock = (LOCKS / f"{peer}.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", lock, flags=re.MULTILINE))
    return ", ".join(f"{name} {pinned[name]}" for name in named)
