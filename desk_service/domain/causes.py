"""What failed for one cause belongs together: a reason without what differs from message to message."""

import hashlib
import re

LONGEST = 200

_DIFFERS = [
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<!\w)(\"[^\"]*(?:\"|$)|'[^']*(?:'(?!\w)|$)|`[^`]*(?:`|$))"), "<value>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{12,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![a-zA-Z_\d])[-+]?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?"), "<n>"),
]


def cause_of(reason: str) -> str:
    """The reason with ids, quoted values and numbers replaced. A quote that is cut off counts to the end."""
    for pattern, name in _DIFFERS:
        reason = pattern.sub(name, reason)
    return " ".join(reason.split())[:LONGEST]


def group_of(queue: str, cause: str) -> str:
    """The short name of all that failed in a queue for one cause."""
    return hashlib.blake2b(f"{queue}\n{cause}".encode(), digest_size=6).hexdigest()
