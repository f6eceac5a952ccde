"""Reads request bodies with an end in size and in time, on both listeners."""

import asyncio

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest
from edgewright.server.problems import ProblemError

BODY_SECONDS = 30.0
# What is too long is read on for a bit before it is refused: whoever answers and closes while the other end
# still sends makes that end see a broken connection instead of the answer.
_PATIENCE_BYTES = 8 * 1024 * 1024
_CLOSE = {"connection": "close"}


async def read_body(request: ServerRequest, *, limit: int) -> bytes:
    """Return at most `limit` bytes, arriving within `BODY_SECONDS`; raises `ProblemError` 413 or 408."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size <= limit:
                    pieces.append(piece)
                elif size > limit + _PATIENCE_BYTES:
                    break
    except TimeoutError as error:
        raise ProblemError(
            ProblemType.BLANK,
            f"the body did not arrive within {BODY_SECONDS:g} s",
            status=408,
            headers=_CLOSE,
        ) from error
    if size > limit:
        raise ProblemError(
            ProblemType.BLANK, f"the body is longer than {limit} bytes", status=413, headers=_CLOSE
        )
    return b"".join(pieces)
