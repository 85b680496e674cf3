"""What a log line says, in a person's words.

In parts, each with what joins it to the one before: where a terminal is narrow, a part begins a new line.
"""

import re

from infra.story_lines import READS, Line

LONGEST_SEGMENT = 40
"""Of a path; that of an operation is longer and says nothing to people."""
MOST_NAMED = 3
GENERATED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A key that nobody chose."""

Parts = tuple[str, ...]


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.3f} s"


def request(line: Line) -> Parts:
    segments = (one if len(one) <= LONGEST_SEGMENT else f"{one[:9]}…" for one in line.path.split("/"))
    asked = f"{line.method} {'/'.join(segments)}"
    answered = f" → {line.status} {line.code}".rstrip() + f" in {duration(line.seconds)}"
    if line.about:
        return asked, answered, ", asks what has become of it"
    if line.method in READS:
        return asked, answered, f", {line.message}"
    return (asked, answered) if GENERATED.fullmatch(line.key) else (asked, answered, f", key {line.key}")


def ending(line: Line) -> Parts:
    """How a message ended, or what else became of it."""
    again = line.again_in_seconds
    before = " before" if line.repeated else ""
    reason = f": {' '.join(line.reason.split())}"
    said: dict[str, Parts] = {
        "done": (f"done in {duration(line.seconds)}", *_places(line)),
        "refused": (f"refused{before}, {line.code}", reason),
        "failed": (f"failed{before}", reason),
        "broke": ("broke", reason, "; no attempt left" if again is None else f"; again in {again} s"),
        "dead letter": ("given up, lies in dead_letters", reason),
        "delivered again": ("delivered again", f", runs alone (start {line.start})" if line.start else ""),
        "sent late": ("sent late", ", left behind by a crash or a lost connection"),
    }
    if line.event == "done" and line.repeated:
        return ("done before", ", answered again")
    return said.get(line.event, (line.event,))


def attempt(line: Line) -> str:
    """What stands before an ending where there were several."""
    return f"attempt {line.attempt} " if line.event in {"done", "refused", "broke"} else ""


def _places(line: Line) -> list[str]:
    more = len(line.about) - MOST_NAMED
    named = [f", {address}" for address in line.about[:MOST_NAMED]]
    return [*named, f" and {more} more"] if more > 0 else named
