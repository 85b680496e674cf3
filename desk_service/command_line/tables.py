"""The desk's answers on a terminal."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

GAP = "  "
WIDEST = 40
LEAST_OF_THE_LAST = 60
"""Of a cause or a reason at least so much is to be seen, on however narrow a terminal."""
OVERDUE = timedelta(minutes=1)
"""After that somebody should look why an owner does not say what became of a replay."""
TOO_OLD = ", longer ago than the inbox remembers: whether it was done nobody knows; a replay may do it again"
GROUPS = ("group", "letters", "service", "message", "first", "last", "cause")
LETTERS = ("id", "state", "message", "actor", "attempts", "died", "reason")
ACTIONS = ("at", "who", "what", "about", "details")


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as they have to be; the last one is cut where the terminal ends, or wraps there."""
    texts = [[*(_cut(_line(value), WIDEST) for value in row[:-1]), _line(row[-1])] for row in (names, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(names))]
    before_the_last = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = max(shutil.get_terminal_size((160, 24)).columns, before_the_last + LEAST_OF_THE_LAST)
    lines = (GAP.join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in texts)
    return "\n".join(_cut(line.rstrip(), room) for line in lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(value: Any) -> str:
    """Nothing in a message may move the cursor of whoever looks at it."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(value)).split())


def time(value: str | None) -> str:
    return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "-"


def groups(items: list[dict[str, Any]]) -> str:
    rows = [
        [
            *(one[name] for name in GROUPS[:4]),
            time(one["first_died_at"]),
            time(one["last_died_at"]),
            one["cause"],
        ]
        for one in items
    ]
    return table(GROUPS, rows)


def letters(items: list[dict[str, Any]]) -> str:
    rows = [
        [
            one["id"],
            _state(one),
            *(one[name] for name in LETTERS[2:5]),
            time(one["died_at"]),
            f"{one['queue']}: {one['reason']}",
        ]
        for one in items
    ]
    return table(LETTERS, rows)


def _state(one: dict[str, Any]) -> str:
    return f"{one['state']}, too old" if _waits_too_long(one) else str(one["state"])


def _waits_too_long(one: dict[str, Any]) -> bool:
    return bool(one["too_old"] and one["state"] == "open")


def actions(items: list[dict[str, Any]]) -> str:
    rows = [
        [
            time(one["at"]),
            one["who"],
            one["what"],
            one["letter"] or one["ordered"],
            json.dumps(one["details"], ensure_ascii=False),
        ]
        for one in items
    ]
    return table(ACTIONS, rows)


def progress(order: dict[str, Any]) -> str:
    ends = ("done", "refused", "failed", "stopped")
    told = ", ".join(f"{order[end]} {end}" for end in ends if order[end]) or "none at its end yet"
    waiting = order["queued"] + order["sending"]
    said = f"{order['total']} to replay: {waiting} queued, {order['sent']} sent, {told}"
    return (
        f"{said}\n{_pending(order['waiting_since'], order['id'])}"
        if _is_overdue(order["waiting_since"])
        else said
    )


def _is_overdue(since: str | None) -> bool:
    return since is not None and datetime.now(UTC) - datetime.fromisoformat(since) > OVERDUE


def _pending(since: str, order: str) -> str:
    return (
        f"Pending since {time(since)}: it ends when its owner says what became of it, so see that its "
        f"service runs. 'stop {order} --waiting' waits no longer; the letter is open again then."
    )


def letter(one: dict[str, Any]) -> str:
    """All of it, from what it is to what was done about it."""
    head = [
        ("letter", f"{one['id']}, {one['state']} since {time(one['changed_at'])}, by {one['changed_by']}"),
        ("message", f"{one['message'] or '?'} in {one['queue']}, id {one['message_id']}"),
        ("asked by", one["actor"]),
        ("conversation", one["conversation"] or "-"),
        ("sent", f"{time(one['sent_at'])}{TOO_OLD if _waits_too_long(one) else ''}"),
        ("died", f"{time(one['died_at'])}, {one['deaths']} times since {time(one['first_died_at'])}"),
        ("group", f"{one['group']}: {one['cause']}"),
        *([("edited from", one["edited_from"])] if one["edited_from"] else []),
        *(("became", other) for other in one["edited_to"]),
        *(("same talk", other) for other in one["same_conversation"]),
    ]
    lines = [f"{name:<13}{_line(value)}" for name, value in head]
    lines += ["", "headers", *(f"  {name}: {_line(value)}" for name, value in one["headers"].items())]
    lines += ["", f"body ({one['size_bytes']} bytes, {one['body']['form']})", *_indented(_body(one["body"]))]
    for death in one["died"]:
        after = f" after replay {death['replay']}" if death["replay"] else ""
        lines += [
            "",
            f"died {time(death['died_at'])}, said the {death['by']}{after}: {_line(death['reason'])}",
        ]
        lines += [f"  attempt {number}: {_line(error)}" for number, error in enumerate(death["errors"], 1)]
        lines += _indented(death["traceback"])
    for replay in one["replays"]:
        ended = time(replay["ended_at"])
        lines += ["", f"replay {replay['id']} of {time(replay['ordered_at'])} by {_line(replay['who'])}:"]
        lines += [
            f"  {replay['state']}, sent {time(replay['sent_at'])}, ended {ended} {_line(replay['note'])}"
        ]
        if replay["state"] == "sent":
            lines += [f"  {_pending(replay['sent_at'], replay['ordered'])}"]
    for action in one["actions"]:
        details = json.dumps(action["details"], ensure_ascii=False)
        lines += ["", f"{time(action['at'])} {_line(action['who'])} {action['what']} it: {_line(details)}"]
    return "\n".join(lines)


def _body(body: dict[str, Any]) -> str:
    if body["form"] == "json":
        return json.dumps(body["json"], indent=2, ensure_ascii=False)
    if body["form"] == "base64":
        return f"{body['hex']}\nbase64: {body['base64']}"
    return str(body["text"])


def _indented(text: str) -> list[str]:
    return [f"  {''.join(one if one.isprintable() else ' ' for one in line)}" for line in text.splitlines()]
