"""Subscriptions to changes: who hears of what, how often, and that nothing stays behind."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest

from edgewright.server.changes import Changes

FOREVER = 3600.0


class Commits:
    """Stands for the database: tells what a commit changed."""

    def __init__(self) -> None:
        self.changed: Callable[[Collection[str]], None] = lambda _topics: None

    def when_changed(self, listener: Callable[[Collection[str]], None]) -> None:
        self.changed = listener


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def changes(commits: Any) -> Changes:
    return Changes(commits, most=2)


def test_a_page_hears_of_its_topics_and_of_no_others(changes, commits):
    async def story():
        with changes.subscribe(["devices", "device:a"]) as page:
            commits.changed({"packages"})
            commits.changed({"devices", "audit"})
            assert await page.next(FOREVER) == {"devices"}

    asyncio.run(story())


def test_changes_while_nobody_asks_are_told_together(changes, commits):
    async def story():
        with changes.subscribe(["devices", "packages"]) as page:
            commits.changed({"devices"})
            commits.changed({"packages"})
            commits.changed({"devices"})
            assert await page.next(FOREVER) == {"devices", "packages"}
            assert await page.next(0) == frozenset()

    asyncio.run(story())


def test_the_end_of_the_server_ends_waiting_and_resting(changes):
    async def story():
        with changes.subscribe(["devices"]) as page:
            waiting = asyncio.create_task(page.next(FOREVER))
            resting = asyncio.create_task(page.rest(FOREVER))
            await asyncio.sleep(0)
            changes.end()
            assert await waiting == frozenset()
            await resting
            assert page.is_over
        with changes.subscribe(["devices"]) as late:
            assert late.is_over
            assert await late.next(FOREVER) == frozenset()

    asyncio.run(story())


def test_a_page_that_is_closed_leaves_nothing_behind(changes):
    with changes.subscribe(["a"]), changes.subscribe(["b"]):
        assert changes.are_full
    assert not changes.are_full
    assert len(changes) == 0
