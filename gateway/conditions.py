"""Conditional requests (RFC 9110, section 13): the version of a resource is its strong entity tag.

The same version compressed is other bytes, so it has another tag, `"3-gzip"` (section 8.8.3.3). Both mean
version 3 wherever they come back.
"""

import re

from shared.messages import Refusal

TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
TAGS = re.compile(TAG)
LIST_OF_TAGS = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t,]*{TAG})*[ \t,]*")
OF_A_VERSION = re.compile(r'"([1-9][0-9]{0,17})(?:-gzip)?"')
COMPRESSED = "-gzip"
MOST_TAGS = 100
NO_VERSION = 0
"""Versions begin with 1: nothing is ever at this one."""


class MalformedCondition(Refusal):
    """If-Match is neither `*` nor a list of entity tags."""

    code = "malformed_condition"


class VersionDemanded(Refusal):
    """The command may undo what others changed, so it has to say which version it is meant for (RFC 6585)."""

    code = "version_demanded"


def entity_tag(version: int) -> str:
    """The entity tag of a resource at a version."""
    return f'"{version}"'


def compressed(tag: str) -> str:
    """The entity tag of the same version in gzip."""
    return f'{tag[:-1]}{COMPRESSED}"'


def names(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag, by the weak comparison that it asks for."""
    if if_none_match.strip() == "*":
        return True
    found = (one.removeprefix("W/") for one in TAGS.findall(if_none_match))
    return any(one in {tag, compressed(tag)} for one in found)


def versions_in(if_match: str) -> tuple[int, ...]:
    """The versions that an If-Match asks for, none for any.

    A tag that was never given out, and a weak one, which If-Match must not take for equal, ask for
    `NO_VERSION`. Refuses with `MalformedCondition`.
    """
    if if_match.strip() == "*":
        return ()
    tags = TAGS.findall(if_match) if LIST_OF_TAGS.fullmatch(if_match) else []
    if not 0 < len(tags) <= MOST_TAGS:
        raise MalformedCondition('Send If-Match as * or as entity tags in quotes, e.g. "3" or "3", "4".')
    found = [OF_A_VERSION.fullmatch(tag) for tag in tags]
    return tuple(int(one[1]) if one else NO_VERSION for one in found)
