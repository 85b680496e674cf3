"""Conditional requests (RFC 9110, section 13): the version of a resource is its strong entity tag."""

import re

from shared.messages import Refusal

TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
OF_A_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')
NO_VERSION = 0
"""Versions begin with 1: nothing is ever at this one."""


class MalformedCondition(Refusal):
    """If-Match is neither `*` nor one entity tag."""

    code = "malformed_condition"


def entity_tag(version: int) -> str:
    """The entity tag of a resource at a version."""
    return f'"{version}"'


def names(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag, by the weak comparison that it asks for."""
    if if_none_match.strip() == "*":
        return True
    return tag in (found.removeprefix("W/") for found in TAG.findall(if_none_match))


def version_in(if_match: str) -> int | None:
    """The version that an If-Match asks for, None for any.

    A tag that was never given out, and a weak one, which If-Match must not take for equal, ask for
    `NO_VERSION`. Refuses with `MalformedCondition`.
    """
    condition = if_match.strip()
    if condition == "*":
        return None
    if found := OF_A_VERSION.fullmatch(condition):
        return int(found[1])
    if TAG.fullmatch(condition):
        return NO_VERSION
    raise MalformedCondition('Send If-Match as * or as one entity tag in quotes, e.g. "3".')
