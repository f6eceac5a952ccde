"""`/live`: tells an open page by server-sent events that what it shows has changed; it fetches itself again.

Only names of topics travel here, so that what a page shows is always what its own address gives: there is no
second way for data to reach a page, and nothing to get out of step.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from litestar import get
from litestar.response import Stream

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.listeners.guard import identify
from edgewright.server.operator_api.access import actor_of
from edgewright.server.problems import ProblemError

# How often a quiet stream says that it is there, and whether whoever listens still may is asked again.
HEARTBEAT_SECONDS: Final = 20.0
# Between two events: a fleet that reports all the time must not have every open page fetched all the time.
PAUSE_SECONDS: Final = 1.0
_MOST_TOPICS: Final = 16
_LONGEST_TOPIC: Final = 300
_READY: Final = b"event: ready\ndata: \n\n"
_STILL_HERE: Final = b"event: here\ndata: \n\n"


@get("/live", media_type="text/event-stream")
async def live(request: ServerRequest, topics: str = "", since: int | None = None) -> Stream:
    """Stream `ready`, then `changed` with the topics that did, then `end` with a reason.

    While nothing changes `here` is said now and then: a page that misses it knows that its link was cut.

    `since` is the number of changes at which the page was made.
    """
    wanted = _topics(topics)
    if context_of(request).changes.are_full(actor_of(request).name):
        raise ProblemError(ProblemType.BLANK, "too many pages are open; this one is not live", status=503)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(_events(request, wanted, since), media_type="text/event-stream", headers=headers)


async def _events(
    request: ServerRequest, topics: frozenset[str], since: int | None = None
) -> AsyncIterator[bytes]:
    whose = actor_of(request).name
    with context_of(request).changes.subscribe(topics, since, of=whose) as subscription:
        yield _READY
        clock = asyncio.get_running_loop().time
        asked = clock()
        while not subscription.is_over:
            changed = await subscription.next(HEARTBEAT_SECONDS)
            if clock() - asked >= HEARTBEAT_SECONDS:
                if await identify(request) is None:
                    yield _event("end", "signed-out")
                    return
                asked = clock()
            if changed:
                yield _event("changed", " ".join(sorted(changed)))
                await subscription.rest(PAUSE_SECONDS)
            elif not subscription.is_over:
                yield _STILL_HERE
        yield _event("end", "stopping")


def _event(name: str, text: str) -> bytes:
    return f"event: {name}\ndata: {text}\n\n".encode()


def _topics(text: str) -> frozenset[str]:
    topics = frozenset(filter(None, text.split(",")))
    if not topics or len(topics) > _MOST_TOPICS or any(len(topic) > _LONGEST_TOPIC for topic in topics):
        raise InvalidError(
            "there is nothing to listen to",
            Fault(field="topics", message=f"expected 1 to {_MOST_TOPICS} topics, with commas between them"),
        )
    if any(not topic.isprintable() for topic in topics):
        raise InvalidError(
            "there is nothing to listen to",
            Fault(field="topics", message="a topic is one line of printable text"),
        )
    return topics


HANDLERS = [live]
