"""Subscriptions to changes: who hears of what, how often, and that nothing stays behind."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import pytest

from edgewright.server.live.changes import MOST_OF_ONE, Changes

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


def test_what_changed_between_a_page_and_its_subscription_is_told(changes, commits):
    async def story():
        commits.changed({"devices"})
        made = changes.number
        with changes.subscribe(["devices"], since=made) as page:
            assert await page.next(0) == frozenset()
        commits.changed({"audit"})
        commits.changed({"devices"})
        with changes.subscribe(["devices", "packages"], since=made) as page:
            assert await page.next(FOREVER) == {"devices"}
            assert await page.next(0) == frozenset()

    asyncio.run(story())


def test_a_page_made_by_another_run_of_the_server_is_told_of_everything(changes):
    async def story():
        with changes.subscribe(["devices", "packages"], since=1_000) as page:
            assert await page.next(FOREVER) == {"devices", "packages"}

    asyncio.run(story())


def test_what_is_no_longer_remembered_counts_as_changed(changes, commits, monkeypatch):
    monkeypatch.setattr("edgewright.server.live.changes.MOST_REMEMBERED", 2)

    async def story():
        commits.changed({"device:a"})
        made = changes.number
        for name in "bcd":
            commits.changed({f"device:{name}"})
        with changes.subscribe(["device:a"], since=made) as page:
            assert await page.next(FOREVER) == {"device:a"}

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
        assert changes.are_full()
    assert not changes.are_full()
    assert len(changes) == 0


def test_nobody_takes_the_news_from_all_others(commits: Any):
    changes = Changes(commits, most=MOST_OF_ONE * 2)
    with ExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            assert not changes.are_full("ada")
            stack.enter_context(changes.subscribe(["devices"], of="ada"))
        assert changes.are_full("ada")
        assert not changes.are_full("bo")
    assert not changes.are_full("ada")
