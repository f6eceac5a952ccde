"""What an open page is told: that it is listened to, what changed, and why it ends."""

import asyncio
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright.server.domain.roles import Actor, Role
from edgewright.server.errors import InvalidError
from edgewright.server.live.changes import Changes
from edgewright.server.web import live


class Rig:
    """A server of which only the changes are real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changed: Callable[[Collection[str]], None] = lambda _topics: None
        database: Any = self
        self.changes = Changes(database)
        self.is_signed_in = True
        context = SimpleNamespace(changes=self.changes)
        self.request: Any = SimpleNamespace(
            app=SimpleNamespace(state=SimpleNamespace(context=context)),
            scope={"actor": Actor(name="ada", role=Role.VIEWER)},
        )
        monkeypatch.setattr(live, "identify", self._identify)
        monkeypatch.setattr(live, "PAUSE_SECONDS", 0)

    def when_changed(self, listener: Callable[[Collection[str]], None]) -> None:
        self.changed = listener

    def events(self, *topics: str) -> Any:
        return live._events(self.request, frozenset(topics))

    async def _identify(self, _request: Any) -> Any:
        return object() if self.is_signed_in else None


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


def test_a_page_is_told_that_it_is_heard_and_then_what_changed(rig):
    async def story():
        events = rig.events("devices", "packages")
        assert await anext(events) == b"event: ready\ndata: \n\n"
        rig.changed({"packages", "devices", "audit"})
        assert await anext(events) == b"event: changed\ndata: devices packages\n\n"
        await events.aclose()
        assert len(rig.changes) == 0

    asyncio.run(story())


def test_a_quiet_page_is_told_that_the_line_is_there(rig, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0)

    async def story():
        events = rig.events("devices")
        await anext(events)
        assert await anext(events) == b"event: here\ndata: \n\n"
        await events.aclose()

    asyncio.run(story())


def test_whoever_is_signed_out_hears_nothing_more(rig, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0)

    async def story():
        events = rig.events("devices")
        await anext(events)
        rig.is_signed_in = False
        rig.changed({"devices"})
        assert [event async for event in events] == [b"event: end\ndata: signed-out\n\n"]

    asyncio.run(story())


def test_a_server_that_stops_says_so_and_waits_for_nobody(rig):
    async def story():
        events = rig.events("devices")
        await anext(events)
        last = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        rig.changes.end()
        assert await last == b"event: end\ndata: stopping\n\n"
        assert [event async for event in events] == []

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", ",", "a\nb", "a\x00", ",".join("abcdefghijklmnopq"), "x" * 301])
def test_topics_are_few_short_and_printable(text):
    with pytest.raises(InvalidError, match="topics"):
        live._topics(text)


def test_topics_may_be_named_twice():
    assert live._topics("devices,device:Ä 1,devices") == {"devices", "device:Ä 1"}
