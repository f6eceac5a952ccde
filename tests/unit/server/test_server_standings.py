"""Standings in memory never outlive the commit that changed them (spec: ID-22, DS-6)."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.fleet.publishing import next_version, publish
from edgewright.server.live.standings import Standings
from edgewright.server.store import clients
from edgewright.server.store.clients import ClientState, Origin
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    migrated = tmp_path_factory.mktemp("standings") / "empty.db"
    migrate(migrated)
    return migrated


@pytest.fixture
def path(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty, tmp_path))


async def accept(connection: AsyncConnection, client_id: str = "edge") -> None:
    await clients.accept(
        connection, client_id, origin=Origin.FOREIGN, key_digest=None, svid_expires=None, now=NOW
    )
    await publish(connection, client_id, await next_version(connection, client_id), now=NOW)


@pytest.mark.requirement("ID-22", "DS-6")
def test_a_commit_is_seen_by_the_next_poll(path: Path) -> None:
    async def run() -> None:
        async with Database(path) as database:
            standings = Standings(database)
            assert await standings.of("edge") is None
            async with database.writing() as connection:
                await accept(connection)
            first = await standings.of("edge")
            assert first is not None
            assert await standings.of("edge") is first
            async with database.writing() as connection:
                await publish(connection, "edge", 2, now=NOW)
            second = await standings.of("edge")
            assert second is not None
            assert second.etag != first.etag
            async with database.writing() as connection:
                await clients.retire(connection, "edge", now=NOW)
            third = await standings.of("edge")
            assert third is not None
            assert third.state == ClientState.RETIRED

    asyncio.run(run())


async def retire_and_break_off(database: Database) -> None:
    async with database.writing() as connection:
        await clients.retire(connection, "edge", now=NOW)
        raise LookupError


def test_what_was_rolled_back_changes_nothing(path: Path) -> None:
    async def run() -> None:
        async with Database(path) as database:
            standings = Standings(database)
            async with database.writing() as connection:
                await accept(connection)
            first = await standings.of("edge")
            with pytest.raises(LookupError):
                await retire_and_break_off(database)
            assert await standings.of("edge") == first

    asyncio.run(run())


class CommitInBetween(Database):
    """Retires `edge` after its state was read and before the reader gets to use it, once."""

    is_armed = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with super().reading() as connection:
            yield connection
        if self.is_armed:
            self.is_armed = False
            async with self.writing() as connection:
                await clients.retire(connection, "edge", now=NOW)


@pytest.mark.requirement("ID-22")
def test_what_was_read_before_a_commit_is_not_kept_after_it(path: Path) -> None:
    async def run() -> None:
        async with CommitInBetween(path) as database:
            standings = Standings(database)
            async with database.writing() as connection:
                await accept(connection)
            database.is_armed = True
            await standings.of("edge")
            after = await standings.of("edge")
            assert after is not None
            assert after.state == ClientState.RETIRED

    asyncio.run(run())


def test_after_a_start_every_standing_is_known_at_once(path: Path) -> None:
    async def run() -> None:
        async with Database(path) as database:
            async with database.writing() as connection:
                await accept(connection, "edge")
                await accept(connection, "other")
                await clients.retire(connection, "other", now=NOW)
            standings, fresh = Standings(database), Standings(database)
            await standings.load()
            for client_id in ("edge", "other"):
                assert await standings.of(client_id) == await fresh.of(client_id)

    asyncio.run(run())
