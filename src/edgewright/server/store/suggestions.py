"""Policies that this server suggests to devices: one for all of them, and some of their own."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import EVERYBODY, touch
from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import suggestions


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One suggested policy: the bytes of its file, and the tag by which devices know it.

    `client_id` is `EVERYBODY` for the one that is for all who have none of their own.
    """

    client_id: str
    body: bytes
    tag: str
    created: datetime
    actor: str


async def get(connection: AsyncConnection, client_id: str) -> Suggestion | None:
    """Return what is suggested to this client of its own, or to EVERYBODY."""
    query = select(suggestions).where(suggestions.c.client_id == client_id)
    return await one_of(connection, Suggestion, query)


async def every(connection: AsyncConnection) -> list[Suggestion]:
    """Return all suggestions, that to EVERYBODY first, then by client."""
    is_own = suggestions.c.client_id != EVERYBODY
    query = select(suggestions).order_by(is_own, suggestions.c.client_id)
    return await all_of(connection, Suggestion, query)


async def for_client(connection: AsyncConnection, client_id: str) -> Suggestion | None:
    """Return what this client is served: its own, else everybody's."""
    return await get(connection, client_id) or await get(connection, EVERYBODY)


async def owners(connection: AsyncConnection) -> list[str]:
    """Return the ids of all clients with a suggestion of their own, sorted."""
    query = select(suggestions.c.client_id).where(suggestions.c.client_id != EVERYBODY)
    return list((await connection.scalars(query.order_by(suggestions.c.client_id))).all())


async def put(connection: AsyncConnection, suggestion: Suggestion) -> None:
    """Suggest this one from now on."""
    await remove(connection, suggestion.client_id)
    await connection.execute(
        suggestions.insert().values(
            client_id=suggestion.client_id,
            body=suggestion.body,
            tag=suggestion.tag,
            created=suggestion.created,
            actor=suggestion.actor,
        )
    )


async def remove(connection: AsyncConnection, client_id: str) -> None:
    """Suggest nothing any more to this client of its own, or to EVERYBODY."""
    touch(connection, client_id)
    await connection.execute(delete(suggestions).where(suggestions.c.client_id == client_id))
