"""The poll that finds nothing new, as nearly every request ever made is one: answered from memory, here.

`Prefer: wait=N` (RFC 7240) with the ETag that is current has it held: it is answered when something changes
for the client, after N seconds, or as soon as its connection or the server ends. `Preference-Applied` says
that waiting is offered; without it a client is better off asking at its own rate.
"""

from dataclasses import dataclass
from typing import Any, Self

from litestar.types import ASGIApp

from edgewright.protocol.media_types import DEPLOYMENTS_PATH, MANIFEST
from edgewright.server.context import ServerContext
from edgewright.server.device_api.access import STANDING, admit
from edgewright.server.listeners.negotiation import accepts, matches_etag, preferred_wait
from edgewright.server.listeners.tls import caller_of, line_of
from edgewright.server.live.holds import LONGEST_SECONDS, End
from edgewright.server.live.standings import Standing

OFFER = "edgewright.offer"
# With every answer to a poll: the tag of the policy suggested to the caller (`site`), or `none`.
POLICY_HEADER = "edgewright-policy"
# The manifest is looked up anew each time; what a digest names never changes (spec: DS-5, DG-6, DG-9).
_CACHING = "private"


@dataclass(frozen=True, slots=True)
class Poll:
    """What the headers of a poll ask for; the wait is in seconds, 0 for none."""

    accept: str | None
    if_none_match: str | None
    wait: int

    @classmethod
    def of(cls, headers: list[tuple[bytes, bytes]]) -> Self:
        """Read the headers as they came in, names in lower case."""
        found: dict[bytes, str] = {}
        for name, value in headers:
            if name in (b"accept", b"if-none-match", b"prefer"):
                text = value.decode("latin-1")
                found[name] = f"{found[name]}, {text}" if name in found else text
        wait = preferred_wait(found.get(b"prefer"))
        return cls(found.get(b"accept"), found.get(b"if-none-match"), min(wait, LONGEST_SECONDS))

    def is_met_by(self, standing: Standing) -> bool:
        """Whether the caller has what it would get (spec: DS-6)."""
        return matches_etag(self.if_none_match, standing.etag) and accepts(self.accept, MANIFEST)


class Polls:
    """Answers polls without news by itself, and leaves everything else to `app`."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != DEPLOYMENTS_PATH or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        poll = Poll.of(scope["headers"])
        standing: Standing = scope["state"][STANDING]
        offer = poll.wait if scope["method"] == "GET" else 0
        if offer and poll.is_met_by(standing):
            end = await self._context.holds.hold(caller_of(scope).client_id, offer, line_of(scope))
            if line_of(scope).is_lost:
                # Another connection of the same client may be waiting already.
                if caller_of(scope).client_id not in self._context.holds:
                    self._context.cut_off(caller_of(scope).client_id)
                return
            if end is End.DISMISSED:
                offer = 0
            admitted = await admit(self._context, scope, send)
            if admitted is None:
                return
            standing = admitted
        if poll.is_met_by(standing):
            await _not_modified(standing, offer, send)
            return
        scope["state"].update({STANDING: standing, OFFER: offer})
        await self._app(scope, receive, send)


def manifest_headers(etag: str, standing: Standing, offer: int) -> dict[str, str]:
    """Return the headers of an answer about the manifest; `offer` is for how many seconds it may be held."""
    applied = {"preference-applied": f"wait={offer}"} if offer else {}
    return {"etag": f'"{etag}"', "cache-control": _CACHING, POLICY_HEADER: standing.policy, **applied}


async def _not_modified(standing: Standing, offer: int, send: Any) -> None:
    headers = manifest_headers(standing.etag, standing, offer)
    plain = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 304, "headers": plain})
    await send({"type": "http.response.body", "body": b""})
