"""Query parameters that a route does not know are refused: a misspelt filter must not bring everything."""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Path

from shared.messages import Invalid


def require_known(http: Request) -> None:
    """Refuses with `Invalid`, which names what is not known and what is."""
    fields = get_flat_params(http.scope["route"].dependant)
    known = [field.alias for field in fields if not isinstance(field.field_info, Path)]
    unknown = sorted(set(http.query_params) - set(known))
    if unknown:
        here = f"known here: {', '.join(known)}" if known else "none are known here"
        errors = [{"field": name[:200], "message": "Unknown query parameter"} for name in unknown[:20]]
        raise Invalid(f"Unknown query parameters: {', '.join(unknown)[:200]}; {here}.", errors=errors)
