"""When this server ran, and so when it did not: in between it heard of nobody."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.rows import all_of
from edgewright.server.store.tables import runs

KEEP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One time it ran, from `started` until at least `alive`."""

    id: int
    started: datetime
    alive: datetime


async def begin(connection: AsyncConnection, *, now: datetime) -> int:
    """Note that the server runs from now on; return the number of this run."""
    added = await connection.execute(runs.insert().values(started=now, alive=now))
    assert added.inserted_primary_key is not None  # noqa: S101 - there is one in every table
    number = int(added.inserted_primary_key[0])
    await connection.execute(delete(runs).where(runs.c.id <= number - KEEP))
    return number


async def go_on(connection: AsyncConnection, run: int, *, now: datetime) -> None:
    """Note that the server still runs."""
    await connection.execute(runs.update().where(runs.c.id == run).values(alive=now))


async def gaps(connection: AsyncConnection) -> list[tuple[datetime, datetime]]:
    """Return from when to when it did not run, oldest first."""
    known = await all_of(connection, Run, select(runs).order_by(runs.c.id))
    return [
        (before.alive, after.started) for before, after in pairwise(known) if before.alive < after.started
    ]
