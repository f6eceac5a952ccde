"""Query parameters: those that many lists share, the one that makes a rehearsal, and no others.

A parameter that nobody knows is refused: a filter with a slip of the pen in it would let everything through.
"""

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated

import msgspec
from litestar.handlers.base import BaseRouteHandler
from litestar.params import ParameterKwarg, QueryParameter

from edgewright.protocol.problem import FieldError, ProblemType
from edgewright.server.context import ServerRequest
from edgewright.server.operator_api.paging import MAX_LIMIT
from edgewright.server.problems import ProblemError
from edgewright.server.store.database import rehearse

# Handlers whose changes can be tried and taken back say so: `dry_run=True` in their decorator.
DRY_RUN = "dry_run"
_FLAGS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
# What the framework hands to handlers besides parameters.
_NOT_SENT = frozenset({"request", "state", "headers", "query", "cookies", "body", "scope", "data", "return"})

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="how many entries a page has at most")]
After = Annotated[
    str | None,
    QueryParameter(description="the `next` of the page before, with the same filters"),
]
Search = Annotated[
    str | None, QueryParameter(description="only what has this text in it, whatever the case of its letters")
]

# Read by `read_moment`: the framework takes plain numbers as well, and fails with great ones.
Moment = Annotated[
    str | None,
    QueryParameter(
        description="a moment with its time zone, such as 2027-01-31T12:00:00Z",
        schema_extra={"format": "date-time"},
    ),
]


def read_moment(text: str | None, field: str) -> datetime | None:
    """Return the moment that a parameter says, None without one; raises `ProblemError`."""
    if text is None:
        return None
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise _refused(field, f"'{text}' is no moment, such as 2027-01-31T12:00:00Z") from error


async def check_query(request: ServerRequest) -> None:
    """Refuse query parameters that the route does not know; begin a rehearsal if one is asked for."""
    handler: BaseRouteHandler = request.route_handler
    known = sent_names(handler)
    for name in request.query_params:
        values = request.query_params.getall(name)
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there is: {', '.join(sorted(known)) or 'none'}"
            raise _refused(name, f"there is no such parameter; {hint}")
        if len(values) > 1:
            raise _refused(name, "is there more than once")
        if values[0] == "null":
            raise _refused(name, "a parameter that is not meant is left out")
    asked = request.query_params.get(DRY_RUN)
    if asked is None:
        return
    if asked.lower() not in _FLAGS:
        raise _refused(DRY_RUN, "expected true or false")
    if _FLAGS[asked.lower()]:
        rehearse()


@lru_cache(maxsize=1024)
def sent_names(handler: BaseRouteHandler) -> frozenset[str]:
    """Return the names of the query parameters that a handler takes."""
    found = set()
    for name, field in handler.parsed_fn_signature.parameters.items():
        about = field.kwarg_definition
        if name not in _NOT_SENT:
            found.add((about.name if isinstance(about, ParameterKwarg) else None) or name)
    if handler.opt.get(DRY_RUN):
        found.add(DRY_RUN)
    return frozenset(found)


def _refused(name: str, message: str) -> ProblemError:
    errors = (FieldError(field=name, message=message),)
    return ProblemError(ProblemType.INVALID_REQUEST, f"{name}: {message}", errors=errors)
