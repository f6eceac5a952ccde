"""Sources of packages, and what each has on offer. Credentials are in files of their own (`sources/`)."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.sources import TROUBLES, Standing
from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import listings, packages, sources

# How many names go into one statement; databases have a limit.
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One source, and how looking through it last went; `secret` names the file of its credentials."""

    id: int = 0
    name: str
    kind: str
    location: str
    repositories: str
    every_minutes: int | None
    plain_http: bool
    ca: str | None
    username: str | None
    secret: str | None
    prune: bool
    created: datetime
    changed: datetime
    began: datetime | None = None
    ended: datetime | None = None
    problem: str | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names and patterns of the repositories to look through."""
        return tuple(json.loads(self.repositories))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRecord:
    """One thing a source has on offer; `problems` is JSON, a list of path and message each."""

    source_id: int
    place: str
    state: str
    upstream: str
    application_id: str | None
    version: str | None
    problems: str
    first_seen: datetime
    last_seen: datetime
    since: datetime

    @property
    def standing(self) -> Standing:
        """What became of it."""
        return Standing(self.state)


async def every(connection: AsyncConnection) -> list[SourceRecord]:
    """Return all sources by name."""
    return await all_of(connection, SourceRecord, select(sources).order_by(sources.c.name))


async def get(connection: AsyncConnection, source_id: int) -> SourceRecord | None:
    """Return one source by its number."""
    return await one_of(connection, SourceRecord, select(sources).where(sources.c.id == source_id))


async def named(connection: AsyncConnection, name: str) -> SourceRecord | None:
    """Return one source by its name."""
    return await one_of(connection, SourceRecord, select(sources).where(sources.c.name == name))


async def add(connection: AsyncConnection, source: SourceRecord) -> int:
    """Keep a new source; return its number."""
    made = await connection.execute(sources.insert().values(**_columns(source)))
    (number,) = made.inserted_primary_key or (0,)
    return int(number)


async def save(connection: AsyncConnection, source: SourceRecord) -> None:
    """Replace what is known of a source."""
    await connection.execute(update(sources).where(sources.c.id == source.id).values(**_columns(source)))


async def remove(connection: AsyncConnection, source_id: int) -> None:
    """Forget a source and what it had on offer; the packages stay."""
    await connection.execute(delete(sources).where(sources.c.id == source_id))


async def begin_look(connection: AsyncConnection, source_id: int, *, now: datetime) -> None:
    """Write down that a source is being looked through."""
    await connection.execute(update(sources).where(sources.c.id == source_id).values(began=now))


async def end_look(
    connection: AsyncConnection, source_id: int, *, now: datetime, problem: str | None
) -> None:
    """Write down that looking through a source has ended, and what kept it from being whole."""
    await connection.execute(
        update(sources).where(sources.c.id == source_id).values(ended=now, problem=problem)
    )


async def listings_of(
    connection: AsyncConnection, source_id: int, *, states: Collection[Standing] = ()
) -> list[ListingRecord]:
    """Return what a source has on offer, by place; only what is in one of `states`, if given."""
    query = select(listings).where(listings.c.source_id == source_id).order_by(listings.c.place)
    if states:
        query = query.where(listings.c.state.in_(states))
    return await all_of(connection, ListingRecord, query)


async def troubles(connection: AsyncConnection) -> list[ListingRecord]:
    """Return what a person should look at, of all sources."""
    query = (
        select(listings)
        .where(listings.c.state.in_(TROUBLES))
        .order_by(listings.c.source_id, listings.c.place)
    )
    return await all_of(connection, ListingRecord, query)


async def listings_of_packages(
    connection: AsyncConnection, application_id: str | None = None, version: str | None = None
) -> list[ListingRecord]:
    """Return where packages are on offer, of all applications, of one, or of one version."""
    query = select(listings).where(listings.c.application_id.is_not(None))
    if application_id is not None:
        query = query.where(listings.c.application_id == application_id)
    if version is not None:
        query = query.where(listings.c.version == version)
    return await all_of(connection, ListingRecord, query.order_by(listings.c.source_id, listings.c.place))


async def listing(connection: AsyncConnection, source_id: int, place: str) -> ListingRecord | None:
    """Return one thing on offer."""
    return await one_of(
        connection,
        ListingRecord,
        select(listings).where(listings.c.source_id == source_id, listings.c.place == place),
    )


async def put_listing(connection: AsyncConnection, record: ListingRecord) -> None:
    """Keep what became of a thing on offer."""
    await forget_listings(connection, record.source_id, [record.place])
    await connection.execute(
        listings.insert().values({column.name: getattr(record, column.name) for column in listings.columns})
    )


async def seen(connection: AsyncConnection, source_id: int, places: Sequence[str], *, now: datetime) -> None:
    """Note that these places are still on offer as they were."""
    for some in _batches(places):
        await connection.execute(
            update(listings)
            .where(listings.c.source_id == source_id, listings.c.place.in_(some))
            .values(last_seen=now)
        )


async def set_state(
    connection: AsyncConnection,
    source_id: int,
    places: Sequence[str],
    state: Standing,
    *,
    now: datetime,
    problems: str = "[]",
) -> None:
    """Note what became of these places."""
    for some in _batches(places):
        await connection.execute(
            update(listings)
            .where(listings.c.source_id == source_id, listings.c.place.in_(some))
            .values(state=state, since=now, problems=problems)
        )


async def forget_listings(connection: AsyncConnection, source_id: int, places: Sequence[str]) -> None:
    """Forget these places."""
    for some in _batches(places):
        await connection.execute(
            delete(listings).where(listings.c.source_id == source_id, listings.c.place.in_(some))
        )


async def counts(connection: AsyncConnection) -> dict[int, dict[Standing, int]]:
    """Return how many things on offer are in which state, by the number of the source."""
    query = select(listings.c.source_id, listings.c.state, func.count()).group_by(
        listings.c.source_id, listings.c.state
    )
    found: dict[int, dict[Standing, int]] = {}
    for source_id, state, count in (await connection.execute(query)).all():
        found.setdefault(source_id, {})[Standing(state)] = count
    return found


async def present(connection: AsyncConnection) -> set[tuple[str, str]]:
    """Return application id and version of every package in the catalogue."""
    rows = await connection.execute(select(packages.c.application_id, packages.c.version))
    return {(row.application_id, row.version) for row in rows}


def _batches(places: Sequence[str]) -> list[Sequence[str]]:
    return [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]


def _columns(source: SourceRecord) -> dict[str, Any]:
    return {column.name: getattr(source, column.name) for column in sources.columns if column.name != "id"}
