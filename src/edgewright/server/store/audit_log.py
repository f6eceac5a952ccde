"""Reads the audit, the newest first; it is long, so it is read in pieces."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import Database
from edgewright.server.store.rows import all_of
from edgewright.server.store.tables import audit

_PIECE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change; `details`, `before` and `after` are JSON."""

    id: int
    at: datetime
    actor: str
    via: str
    address: str
    action: str
    subject: str
    details: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries are wanted; what is None or empty lets everything through.

    `since` is the first moment, `until` the first one that is too late; `words` is looked for everywhere.
    """

    actor: str = ""
    action: str = ""
    subject: str = ""
    via: str = ""
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None
    words: str = ""

    @property
    def condition(self) -> ColumnElement[bool]:
        """The same for the database."""
        found: list[ColumnElement[bool]] = []
        for name in ("actor", "action", "subject", "via", "address"):
            if value := getattr(self, name):
                found.append(audit.c[name] == value)
        if self.since is not None:
            found.append(audit.c.at >= self.since)
        if self.until is not None:
            found.append(audit.c.at < self.until)
        for word in self.words.split():
            columns = ("actor", "via", "address", "action", "subject", "details", "before", "after")
            found.append(or_(*(audit.c[name].icontains(word, autoescape=True) for name in columns)))
        return and_(True, *found)


async def entries(
    connection: AsyncConnection, filters: Filters, *, limit: int, before_id: int | None = None
) -> list[Entry]:
    """Return the newest entries that are wanted, of those older than the one numbered `before_id`."""
    query = select(audit).where(filters.condition).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    return await all_of(connection, Entry, query)


async def count(connection: AsyncConnection, filters: Filters) -> int:
    """Return how many entries are wanted."""
    query = select(func.count()).select_from(audit).where(filters.condition)
    return await connection.scalar(query) or 0


async def actions(connection: AsyncConnection) -> list[str]:
    """Return every kind of action that was ever written down, in order."""
    return list(await connection.scalars(select(audit.c.action).distinct().order_by(audit.c.action)))


async def all_entries(database: Database, filters: Filters) -> AsyncIterator[list[Entry]]:
    """Yield all entries that are wanted, piece by piece, the newest first, in constant memory.

    What is written meanwhile is newer than the first piece, and so never in a later one.
    """
    last: int | None = None
    while True:
        async with database.reading() as connection:
            piece = await entries(connection, filters, limit=_PIECE, before_id=last)
        if not piece:
            return
        yield piece
        last = piece[-1].id
