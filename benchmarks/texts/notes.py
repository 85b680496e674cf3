"""What a reader has to know of the text jobs' figures: what each side did, and where its time went."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.environments import versions_of
from benchmarks.texts.sides import PEERS, Side

WHAT_EACH_DID = Path(__file__).with_name("sides.md")
PARTS = ("workers", "client", "RabbitMQ", "store")
HEAD = """\
| side | texts/s | seconds | handing in | workers | client | RabbitMQ | store | store's share of a core |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
"""


def notes(sides: Sequence[Side], texts: int) -> str:
    """Medians over the rounds. A store of one thread is the limit when its share of a core is near 100%."""
    peers = "; ".join(versions_of(peer.name) for peer in PEERS)
    costs = f"Seconds, then CPU milliseconds a text from `/proc`; {texts:,} texts a round:"
    table = HEAD + "\n".join(_row(side, texts) for side in sides)
    return f"{WHAT_EACH_DID.read_text()}\nPeers: {peers}.\n\n{costs}\n\n{table}\n"


def _row(side: Side, texts: int) -> str:
    cpu = {part: [outcome["cpu"][part] for outcome in side.outcomes] for part in PARTS}
    seconds = [outcome["seconds"] for outcome in side.outcomes]
    handing_in = median(outcome["handing_in_seconds"] for outcome in side.outcomes)
    share = median(used / lasted for used, lasted in zip(cpu["store"], seconds, strict=True))
    times = [f"{texts / median(seconds):,.0f}", f"{median(seconds):.2f}", f"{handing_in:.2f}"]
    costs = [f"{median(cpu[part]) * 1000 / texts:.2f}" for part in PARTS]
    return f"| {' | '.join([side.name, *times, *costs, f'{share:.0%}'])} |"
