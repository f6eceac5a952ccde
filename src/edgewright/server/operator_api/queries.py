"""Query parameters that many lists share, with what the description of the API says of them."""

from typing import Annotated

from litestar.params import QueryParameter

from edgewright.server.operator_api.paging import MAX_LIMIT

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="how many entries a page has at most")]
After = Annotated[
    str | None,
    QueryParameter(description="the `next` of the page before, with the same filters"),
]
Search = Annotated[
    str | None, QueryParameter(description="only what has this text in it, whatever the case of its letters")
]
