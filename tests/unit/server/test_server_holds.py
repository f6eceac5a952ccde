"""Held polls: what ends them, how many there are, and that nothing stays behind."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import pytest

from edgewright.server.listeners.tls import Line
from edgewright.server.live.holds import HELD_POLL_BYTES, End, Holds, default_most

FOREVER = 3600.0


class Commits:
    """Stands for the database: tells what a commit touched."""

    def __init__(self) -> None:
        self.touched: Callable[[Collection[str]], None] = lambda _ids: None

    def when_touched(self, watcher: Callable[[Collection[str]], None]) -> None:
        self.touched = watcher


class Rig:
    """Holds over fake commits; polls are tasks that wait."""

    def __init__(self, most: int = 10) -> None:
        self.commits = Commits()
        database: Any = self.commits
        self.holds = Holds(database, most=most)

    async def poll(
        self, client_id: str, line: Line | None = None, seconds: float = FOREVER
    ) -> asyncio.Task[End]:
        """Return a poll that has begun to wait, if it may."""
        task = asyncio.create_task(self.holds.hold(client_id, seconds, line or Line()))
        await asyncio.sleep(0)
        return task


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_a_change_ends_the_wait_of_those_it_concerns() -> None:
    async def story() -> None:
        rig = Rig()
        one, other = await rig.poll("one"), await rig.poll("other")
        rig.commits.touched({"one", "somebody"})
        assert await one is End.CHANGED
        assert not other.done()
        assert len(rig.holds) == 1
        other.cancel()

    play(story())


def test_a_wait_ends_when_its_time_is_over() -> None:
    async def story() -> None:
        rig = Rig()
        assert await (await rig.poll("one", seconds=0.0)) is End.ELAPSED
        assert len(rig.holds) == 0

    play(story())


def end(line: Line) -> None:
    line.is_ending = True
    line.interrupt()


def lose(line: Line) -> None:
    line.is_lost = True
    line.interrupt()


def want(line: Line) -> None:
    line.is_wanted = True
    line.interrupt()


@pytest.mark.parametrize("happen", [end, lose, want])
def test_a_line_that_wants_an_answer_ends_the_wait_and_begins_no_other(
    happen: Callable[[Line], None],
) -> None:
    async def story() -> None:
        rig, line = Rig(), Line()
        held = await rig.poll("one", line)
        happen(line)
        happen(line)
        assert await held is End.DISMISSED
        assert await (await rig.poll("one", line)) is End.DISMISSED
        assert len(rig.holds) == 0

    play(story())


def test_the_newest_poll_of_a_client_counts() -> None:
    async def story() -> None:
        rig = Rig(most=1)
        first = await rig.poll("one")
        second = await rig.poll("one")
        assert await first is End.DISMISSED
        assert not second.done()
        rig.commits.touched({"one"})
        assert await second is End.CHANGED
        assert len(rig.holds) == 0

    play(story())


def test_beyond_the_limit_nobody_waits() -> None:
    async def story() -> None:
        rig = Rig(most=2)
        held = [await rig.poll("one"), await rig.poll("two")]
        assert await (await rig.poll("three")) is End.DISMISSED
        rig.commits.touched({"one"})
        assert await held[0] is End.CHANGED
        third = await rig.poll("three")
        assert not third.done()
        third.cancel()
        held[1].cancel()

    play(story())


def test_a_limit_of_none_holds_none() -> None:
    async def story() -> None:
        assert await (await Rig(most=0).poll("one")) is End.DISMISSED

    play(story())


def test_a_wait_that_is_broken_off_leaves_nothing_behind() -> None:
    async def story() -> None:
        rig, line = Rig(), Line()
        held = await rig.poll("one", line)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert len(rig.holds) == 0
        assert line.interrupt() is False
        rig.commits.touched({"one"})

    play(story())


def test_all_that_end_at_once_end() -> None:
    async def story() -> None:
        rig = Rig()
        line = Line()
        held = await rig.poll("one", line, seconds=0.0)
        rig.commits.touched({"one"})
        line.interrupt()
        assert await held in set(End)
        assert len(rig.holds) == 0

    play(story())


@pytest.mark.parametrize(
    ("memory", "files", "most"),
    [
        pytest.param(1 << 30, 1 << 20, 4096, id="a small machine: its memory decides"),
        pytest.param(1 << 40, 20_000, 10_000, id="a large one: its open files decide"),
        pytest.param(HELD_POLL_BYTES, 100, 0, id="next to nothing"),
    ],
)
def test_how_many_wait_is_decided_by_the_machine(memory: int, files: int, most: int) -> None:
    assert default_most(memory, files) == most
