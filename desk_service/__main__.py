"""`python -m desk_service`: work with what failed. A table on a terminal, JSON with `--json`.

Exit codes: 0 done; 1 refused, or some of what was replayed failed again; 2 wrong usage; 3 the desk cannot be
reached; 130 interrupted (an order goes on; `stop` ends it).
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from desk_service.command_line import tables
from desk_service.command_line.calling import (
    REFUSED,
    UNREACHABLE,
    WRONG_USAGE,
    Desk,
    Ended,
    default_url,
    login_name,
    say,
)
from desk_service.domain.choice import Choice

LOOK_SECONDS = 0.5
AWAY_SECONDS = 60.0
FILTERS = tuple(Choice.model_fields)


def groups(desk: Desk, given: Namespace) -> None:
    _list(desk, given, "groups", tables.groups)


def letters(desk: Desk, given: Namespace) -> None:
    _list(desk, given, "letters", tables.letters)


def actions(desk: Desk, given: Namespace) -> None:
    _list(desk, given, "actions", tables.actions)


def _list(desk: Desk, given: Namespace, path: str, table: Callable[[list[dict[str, Any]]], str]) -> None:
    filters = {name: getattr(given, name, None) for name in (*FILTERS, "state", "limit", "cursor")}
    page = desk.get(path, "items", **filters)
    _show(given, page, table(page["items"]) if page["items"] else f"No {path}.")
    if page["next_cursor"] and not given.json:
        say(f"There is more: --cursor {page['next_cursor']}")


def show(desk: Desk, given: Namespace) -> None:
    letter = desk.get(f"letters/{given.letter}", "id")
    _show(given, letter, tables.letter(letter))


def replay(desk: Desk, given: Namespace) -> None:
    form = {**_chosen(given), "rate": given.rate, "too_old": given.too_old}
    order = desk.post("replays", "id", form)
    say(f"Order {order['id']}: {order['total']} to replay, at most {order['rate']:g} a second.")
    if order["left_too_old"]:
        say(f"{order['left_too_old']} that fit, too, are left: they are too old to know if they were done.")
    _follow(desk, given, order)


def progress(desk: Desk, given: Namespace) -> None:
    _follow(desk, given, desk.get(f"replays/{given.order}", "id"))


def _follow(desk: Desk, given: Namespace, order: dict[str, Any]) -> None:
    """Until all are at their end, unless told not to wait."""
    shown = ""
    while given.wait and order["queued"] + order["sending"] + order["sent"]:
        if shown != (shown := tables.progress(order)):
            say(shown)
        sleep(LOOK_SECONDS)
        order = _looked_at_again(desk, order)
    _show(given, order, tables.progress(order))
    if given.wait and order["failed"]:
        raise Ended(REFUSED, f"{order['failed']} failed again: they are open, with what they died of.")
    if given.wait and order["done"] < order["total"]:
        raise Ended(REFUSED, f"{order['done']} of {order['total']} are done.")


def _looked_at_again(desk: Desk, order: dict[str, Any]) -> dict[str, Any]:
    """A desk that is started anew goes on with the order, and so does who follows it."""
    end = monotonic() + AWAY_SECONDS
    told = False
    while True:
        try:
            found: dict[str, Any] = desk.get(f"replays/{order['id']}", "id")
            return found
        except Ended as ended:
            if ended.code != UNREACHABLE or monotonic() > end:
                raise
            if not told:
                say("The desk is away; waiting for it.")
            told = True
            sleep(LOOK_SECONDS)


def stop(desk: Desk, given: Namespace) -> None:
    order = desk.post(f"replays/{given.order}/stop", "id", {"waiting": given.waiting})
    _show(given, order, tables.progress(order))


def edit(desk: Desk, given: Namespace) -> None:
    form = {
        "changes": given.set,
        "body": given.body and _text_in(given.body),
        "queue": given.queue,
        "headers": dict(given.header),
    }
    letter = desk.post(f"letters/{given.letter}/edit", "id", form)
    _show(given, letter, f"It is sent as letter {letter['id']}; the original is kept.")


def _text_in(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeError) as error:
        raise Ended(WRONG_USAGE, f"The body cannot be read from {file}: {error}.") from None


def discard(desk: Desk, given: Namespace) -> None:
    answer = desk.post("discards", "discarded", {**_chosen(given), "reason": given.reason})
    _show(given, answer, f"{answer['discarded']} discarded.")


def _chosen(given: Namespace) -> dict[str, Any]:
    return {name: getattr(given, name) for name in (*FILTERS, "letter")} | {"all": given.all}


def _is_filtered(given: Namespace) -> bool:
    return any(getattr(given, name) is not None for name in FILTERS)


def _show(given: Namespace, answer: Any, table: str) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False) if given.json else table)


def _time(text: str) -> str:
    """A time without a zone is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time; say it like 2030-01-31T12:00") from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError('not an object: say it like {"title": "Milk"}')
    return value


def _who(text: str) -> str:
    if not text.isprintable():
        raise ArgumentTypeError(f"{text!r} is no name")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ArgumentTypeError(f"{text!r} is no URL; say it like http://127.0.0.1:8004")
    return text


def _header(text: str) -> tuple[str, str | None]:
    name, given, value = text.partition("=")
    return name, value if given else None


def parser() -> ArgumentParser:
    whole = ArgumentParser(
        prog="python -m desk_service", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    verbs = whole.add_subparsers(required=True, metavar="VERB")
    common, filters, page, one, pace = (ArgumentParser(add_help=False) for _ in range(5))
    common.add_argument("--json", action="store_true", help="for programs, instead of a table")
    common.add_argument(
        "--as", dest="who", type=_who, default=login_name(), help="who does it; else your login name"
    )
    common.add_argument("--url", type=_url, default=default_url(), help="where the desk is, else DESK_URL")
    for name, field in Choice.model_fields.items():
        is_time = name in ("since", "until")
        option = f"--{name.replace('_', '-')}"
        filters.add_argument(option, type=_time if is_time else str, help=field.description)
    page.add_argument("--limit", type=int, help="so many lines at most, 1 to 1000; 100 if not said")
    page.add_argument("--cursor", help="go on where the page before ended, which said it")
    one.add_argument("letter", metavar="LETTER", help="its id, as 'list' tells it")
    pace.add_argument("--no-wait", dest="wait", action="store_false", help="do not follow it to its end")

    def verb(
        name: str, does: Callable[[Desk, Namespace], None], about: str, *parents: ArgumentParser
    ) -> ArgumentParser:
        made = verbs.add_parser(name, help=about, description=about, parents=[common, *parents])
        made.set_defaults(does=does)
        return made

    order: dict[str, Any] = {"metavar": "ORDER", "help": "its id, as 'replay' and 'actions' tell it"}
    listing = "open (of groups if not said), pending, done, refused, discarded, edited"
    verb("groups", groups, "what failed, by queue and cause", filters, page).add_argument(
        "--state", help=listing
    )
    verb("list", letters, "what failed, one by one", filters, page).add_argument("--state", help=listing)
    verb("show", show, "one whole", one)
    replays = verb("replay", replay, "send again one, a group, what fits the filters, or all", filters, pace)
    replays.add_argument("--rate", type=float, help="messages a second, 50 if not said")
    replays.add_argument(
        "--too-old",
        action="store_true",
        help="also what was sent longer ago than the inbox remembers; what was done already is done again",
    )
    discards = verb("discard", discard, "take one, a group, what fits, or all off the desk", filters)
    discards.add_argument("--reason", required=True, help="why; the record keeps it")
    for several in (replays, discards):
        several.add_argument("letter", metavar="LETTER", nargs="?", help="the id of one, as 'list' tells it")
        several.add_argument("--all", action="store_true", help="all that is open")
    edits = verb("edit", edit, "send one changed, under a new id; the original is kept", one)
    edits.add_argument("--set", type=_object, metavar="JSON", help="changes to the body (RFC 7396)")
    edits.add_argument(
        "--body",
        metavar="FILE",
        help="a whole body instead; - for standard input, the only way into a container",
    )
    edits.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set this one; NAME alone takes it away; may be said several times",
    )
    edits.add_argument("--queue", help="send it there instead")
    verb("progress", progress, "how far an order has come", pace).add_argument("order", **order)
    stops = verb("stop", stop, "send no more of an order")
    stops.add_argument("order", **order)
    stops.add_argument("--waiting", action="store_true", help="wait no longer for what was sent, either")
    verb("actions", actions, "who did what", page)
    return whole


def main() -> None:
    whole = parser()
    given = whole.parse_args()
    if "all" in given and [bool(given.letter), _is_filtered(given), given.all].count(True) != 1:
        whole.error("say which: one LETTER, or filters such as --group or --queue, or --all")
    try:
        given.does(Desk(given.url, given.who), given)
        sys.stdout.flush()
    except Ended as ended:
        sys.stdout.flush()
        say(str(ended))
        sys.exit(ended.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of `… | head` is gone
        os._exit(0)


if __name__ == "__main__":
    main()
