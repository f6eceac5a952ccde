"""Reads the audit, the newest first; it is long, so it is read in pieces."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import Database
from edgewright.server.store.rows import all_of
from edgewright.server.store.tables import audit

_PIECE = 500
# All that words are looked for in. SQLite's LIKE takes no notice of the case of ASCII letters.
_WHOLE: ColumnElement[str] = func.coalesce(audit.c.actor, "")
for _name in ("via", "address", "action", "subject", "details", "before", "after"):
    _WHOLE = _WHOLE + "\n" + func.coalesce(audit.c[_name], "")
# Each kind of action by one step through the index, however many entries there are.
_ACTIONS = text(
    "WITH RECURSIVE kinds(kind) AS (SELECT min(action) FROM audit UNION ALL"
    " SELECT (SELECT min(action) FROM audit WHERE action > kind) FROM kinds WHERE kind IS NOT NULL)"
    " SELECT kind FROM kinds WHERE kind IS NOT NULL"
)


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
            # One comparison of the whole is several times quicker than one of each column.
            found.append(_WHOLE.like(f"%{escaped(word)}%", escape="/"))
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
    return list(await connection.scalars(_ACTIONS))


def escaped(word: str) -> str:
    """Return a word of which no letter is a pattern."""
    return word.replace("/", "//").replace("%", "/%").replace("_", "/_")


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
