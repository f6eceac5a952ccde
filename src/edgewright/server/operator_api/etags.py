"""Entity tags of the operator API: nobody overwrites a change they have not seen (RFC 9110, 13.1).

A `GET` of one thing carries its `ETag`; a `PUT`, `PATCH` or `DELETE` may carry it back as `If-Match`, and is
refused with `412` when the thing changed since. Without `If-Match` the last one wins.

Where a thing shows what people wish beside what devices report, its tag has two parts, `<wish>.<whole>`:
`If-None-Match` compares the whole, so that no report is missed; `If-Match` compares the wish alone, so that
a report that came in between is no reason to refuse a change.
"""

import re
from typing import Any

import msgspec
from litestar import Response

from edgewright.protocol.digests import digest_of
from edgewright.protocol.media_types import JSON
from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest
from edgewright.server.listeners.negotiation import matches_etag
from edgewright.server.problems import ProblemError

_BETWEEN = "."
# The second part of every tag in a header, up to and with the closing quote.
_WHOLE = re.compile(r'\.[^",]*"')


def tag_of(shown: Any) -> str:
    """Return the entity tag of what is shown, without quotes: a digest of its JSON."""
    return digest_of(msgspec.json.encode(shown, order="deterministic"))


def tagged(request: ServerRequest, shown: Any, *, of: Any = None, status: int = 200) -> Response[Any]:
    """Return the answer that shows `shown` with its tag, or `304` if the caller has it already.

    `of` is what people change, where that is less than what is shown: without what devices report. It is
    what `expect` is handed later.
    """
    tag = tag_of(shown) if of is None else f"{tag_of(of)}{_BETWEEN}{tag_of(shown)}"
    headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
    if request.method in {"GET", "HEAD"} and matches_etag(request.headers.get("if-none-match"), tag):
        return Response(content=None, status_code=304, headers=headers, media_type=JSON)
    return Response(content=shown, status_code=status, headers=headers)


def expect(request: ServerRequest, present: Any) -> None:
    """Raise a `412` if the caller says what it saw last (`If-Match`) and that is not `present` any more."""
    wanted = request.headers.get("if-match")
    if wanted is None or matches_etag(_WHOLE.sub('"', wanted), tag_of(present)):
        return
    raise ProblemError(
        ProblemType.BLANK,
        "it was changed since you read it; read it again, and repeat your change on that",
        status=412,
    )
