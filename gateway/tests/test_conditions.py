"""Which version a condition means."""

import pytest

from gateway.conditions import NO_VERSION, MalformedCondition, names, version_in


@pytest.mark.parametrize("header", ['"7"', 'W/"7"', '"1", "7"', '"1",W/"7" , "x"', "*", " * ", '"a, b", "7"'])
def test_if_none_match_names_a_version_alone_in_a_list_or_as_any(header: str) -> None:
    assert names(header, '"7"')


@pytest.mark.parametrize("header", ["", '"1"', '"77"', "7", '"7', "'7'", '"*"'])
def test_if_none_match_does_not_name_what_it_does_not_quote(header: str) -> None:
    assert not names(header, '"7"')


@pytest.mark.parametrize(
    ("header", "version"),
    [('"7"', 7), ("*", None), ('W/"7"', NO_VERSION), ('"07"', NO_VERSION), ('"9e9"', NO_VERSION), ('""', 0)],
)
def test_if_match_asks_for_the_version_that_it_quotes(header: str, version: int | None) -> None:
    assert version_in(header) == version


@pytest.mark.parametrize("header", ["7", '"7', '"1", "2"', "any", '"7" *'])
def test_an_if_match_that_is_not_one_tag_is_refused(header: str) -> None:
    with pytest.raises(MalformedCondition):
        version_in(header)
