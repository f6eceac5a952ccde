"""What a server does by the way goes on after a failure, and loses nothing by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright.server import run
from edgewright.server.context import ALIVE_EVERY, ServerContext
from edgewright.server.live.overview import Overview
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class FullDisk:
    """A database that cannot be written to."""

    def when_changed(self, listener: Any) -> None:
        pass

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Any]:
        raise OSError("no space left on device")
        yield


def context(database: Any) -> ServerContext:
    nothing: Any = SimpleNamespace()
    return ServerContext(
        database=database,
        settings=nothing,
        identity=nothing,
        device_url="",
        web_url="",
        registries=nothing,
        repositories=nothing,
        standings=nothing,
        overview=Overview(database) if isinstance(database, Database) else nothing,
        holds=nothing,
        looks=nothing,
        clock=lambda: NOW,
        saved=NOW,
    )


def test_contacts_that_could_not_be_saved_are_kept_for_the_next_time() -> None:
    server = context(FullDisk())
    server.heard_of("edge")
    with pytest.raises(OSError, match="no space"):
        asyncio.run(server.save_contacts())
    assert server.contacts == {"edge": NOW}


def test_nothing_to_save_writes_nothing() -> None:
    asyncio.run(context(FullDisk()).save_contacts())


def test_after_a_quiet_hour_the_server_writes_that_it_is_there() -> None:
    server = context(FullDisk())
    server.saved = NOW - ALIVE_EVERY
    with pytest.raises(OSError, match="no space"):
        asyncio.run(server.save_contacts())


def test_when_nobody_listened_is_known_after_a_restart(tmp_path: Path) -> None:
    migrate(tmp_path / "edgewright.db")
    moments = iter(NOW + timedelta(hours=hours) for hours in range(10))

    async def live(*, is_killed: bool) -> ServerContext:
        async with Database(tmp_path / "edgewright.db") as database:
            server = context(database)
            server.clock = lambda: next(moments)
            await server.begin()
            server.contacts["edge"] = NOW
            await server.save_contacts()
            if not is_killed:
                await server.save_contacts(is_end=True)
        return server

    assert asyncio.run(live(is_killed=False)).deaf == ()  # runs from 0 h to 2 h
    asyncio.run(live(is_killed=True))  # from 3 h to at least 4 h
    begun = NOW.timestamp()
    gaps = asyncio.run(live(is_killed=False)).deaf
    assert [((stop - begun) / 3600, (start - begun) / 3600) for stop, start in gaps] == [(2, 3), (4, 5)]


def test_upkeep_that_fails_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    async def action() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no space left on device")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run.repeat(timedelta(0), action, "saving"))
    assert len(tries) == 2
    assert "saving failed" in caplog.text
