"""Policies suggested to devices; their sites' own files outrank them, member by member."""

from datetime import datetime
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.policy import parse_layer
from edgewright.server.errors import NotFoundError
from edgewright.server.fleet.membership import client_called
from edgewright.server.store import audit, suggestions
from edgewright.server.store.database import EVERYBODY, announce
from edgewright.server.store.suggestions import Suggestion

ALL_DEVICES = "all devices"


def tag_of(body: bytes) -> str:
    """Return by what devices know a suggestion: the beginning of its digest."""
    return sha256(body).hexdigest()[:12]


async def suggest(
    connection: AsyncConnection, client_id: str | None, body: bytes, *, actor: str, now: datetime
) -> tuple[Suggestion, bool]:
    """Suggest the policy in `body` to a client, or to all (None); return it and whether it is the first.

    The same bytes again change nothing. Raises `DocumentError` for what is no policy, and
    `NotFoundError` for a client that is not known.
    """
    if client_id is not None:
        await client_called(connection, client_id)
    parse_layer(body, source="policy")
    known = await suggestions.get(connection, client_id or EVERYBODY)
    if known is not None and known.body == body:
        return known, False
    suggestion = Suggestion(
        client_id=client_id or EVERYBODY, body=body, tag=tag_of(body), created=now, actor=actor
    )
    await suggestions.put(connection, suggestion)
    announce(connection, *_topics(client_id))
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="suggest policy",
        subject=client_id or ALL_DEVICES,
        tag=suggestion.tag,
        before=None if known is None else {"policy": _text(known.body)},
        after={"policy": _text(body)},
    )
    return suggestion, known is None


async def withdraw(connection: AsyncConnection, client_id: str | None, *, actor: str, now: datetime) -> None:
    """Suggest nothing any more to a client of its own, or to all (None); raises `NotFoundError`."""
    if client_id is not None:
        await client_called(connection, client_id)
    known = await suggestions.get(connection, client_id or EVERYBODY)
    if known is None:
        raise NotFoundError(f"no policy is suggested to {client_id or ALL_DEVICES}")
    await suggestions.remove(connection, known.client_id)
    announce(connection, *_topics(client_id))
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="withdraw policy",
        subject=client_id or ALL_DEVICES,
        before={"policy": _text(known.body)},
    )


def _topics(client_id: str | None) -> tuple[str, ...]:
    return ("policies",) if client_id is None else ("policies", f"device:{client_id}")


def _text(body: bytes) -> str:
    """Return a policy as the audit shows it; it was parsed, so it is text."""
    return body.decode("utf-8", errors="replace")
