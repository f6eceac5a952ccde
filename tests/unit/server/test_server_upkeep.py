"""What a server does by the way goes on after a failure, and loses nothing by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright.server import run
from edgewright.server.context import ServerContext

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class FullDisk:
    """A database that cannot be written to."""

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
        standings=nothing,
        clock=lambda: NOW,
    )


def test_contacts_that_could_not_be_saved_are_kept_for_the_next_time() -> None:
    server = context(FullDisk())
    server.heard_of("edge")
    with pytest.raises(OSError, match="no space"):
        asyncio.run(server.save_contacts())
    assert server.contacts == {"edge": NOW}


def test_nothing_to_save_writes_nothing() -> None:
    asyncio.run(context(FullDisk()).save_contacts())


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
