"""Which version a condition means."""

import pytest

from gateway.conditions import NO_VERSION, MalformedCondition, names, versions_in


@pytest.mark.parametrize("header", ['"7"', 'W/"7"', '"1", "7"', '"1",W/"7" , "x"', "*", " * ", '"a, b", "7"'])
def test_if_none_match_names_a_version_alone_in_a_list_or_as_any(header: str) -> None:
    assert names(header, '"7"')


@pytest.mark.parametrize("header", ["", '"1"', '"77"', "7", '"7', "'7'", '"*"'])
def test_if_none_match_does_not_name_what_it_does_not_quote(header: str) -> None:
    assert not names(header, '"7"')


@pytest.mark.parametrize("header", ['"7-gzip"', 'W/"7-gzip"', '"1-gzip", "7-gzip"'])
def test_if_none_match_names_a_version_by_the_tag_of_its_compressed_form(header: str) -> None:
    assert names(header, '"7"')


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"7"', (7,)),
        ('"7-gzip"', (7,)),
        ('"3", "4"', (3, 4)),
        (' , "3" ,, "4-gzip",W/"5"', (3, 4, NO_VERSION)),
        ("*", ()),
        ('W/"7"', (NO_VERSION,)),
        ('"07"', (NO_VERSION,)),
        ('"9e9"', (NO_VERSION,)),
        ('""', (NO_VERSION,)),
    ],
)
def test_if_match_asks_for_the_versions_that_it_quotes(header: str, versions: tuple[int, ...]) -> None:
    assert versions_in(header) == versions


@pytest.mark.parametrize("header", ["", "7", '"7', '"1" "2"', "any", '"7", *', ",", ", ".join(['"1"'] * 101)])
def test_an_if_match_that_is_no_list_of_tags_is_refused(header: str) -> None:
    with pytest.raises(MalformedCondition):
        versions_in(header)
