"""What Schemathesis cannot know of this system: its formats, and which refusals are no contradiction."""

from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

import schemathesis
from hypothesis import strategies as st

Case = schemathesis.Case[Any]

MALFORMED = {"malformed", "invalid", "not_json", "too_deep", "too_many_items", "url_too_long"}
"""What must not be answered to a request that fits the document."""


def line(without: str = "", most: int = 50) -> st.SearchStrategy[str]:
    """Visible text, composed and without blanks, which would be trimmed."""
    alphabet = st.characters(exclude_categories=("C", "Z"), exclude_characters=without)
    return st.text(alphabet, min_size=1, max_size=most).map(lambda text: normalize("NFC", text)[:most])


schemathesis.openapi.format("line", line())
schemathesis.openapi.format("place-name", line("/\\").filter(lambda name: name not in {".", ".."}))
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC)).map(
        datetime.isoformat
    ),
)


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: Case) -> bool:
    """Not what is wrong by its format alone: any text is tried there, and some of it is right."""
    mutations = case.meta.phase.data.mutations if case.meta else ()
    return not mutations or any(mutation.keywords != ("format",) for mutation in mutations)


@schemathesis.check
def what_fits_the_document_is_not_called_malformed(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 400:
        return
    code = response.json().get("code")
    assert code not in MALFORMED, f"fits the document and is refused as {code}: {response.json()['detail']}"
