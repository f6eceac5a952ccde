"""When external repositories are looked at, and which Git servers may be asked."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edgewright.server.repositories import turns as module
from edgewright.server.repositories.hosts import FIRST_PAUSE, LONGEST_PAUSE, MOST_EACH, Host, Hosts
from edgewright.server.repositories.turns import MOST_AT_ONCE, Turns
from edgewright.server.store import repositories
from edgewright.server.store.database import Database
from edgewright.server.store.repositories import Kind
from support.fleet_store import NOW, make_store

HOURS = 3600.0


def test_a_host_that_is_well_is_asked_a_few_questions_at_once() -> None:
    host = Host()
    for _ in range(MOST_EACH):
        assert host.may_begin(0.0)
        host.busy += 1
    assert not host.may_begin(0.0)


def test_a_host_that_does_not_answer_is_asked_one_question_later_each_time() -> None:
    host, now = Host(), 100.0
    pauses = []
    for _ in range(12):
        host.failed("no answer", now=now)
        pauses.append(host.due - now)
        assert not host.may_begin(host.due - 0.1)
        now = host.due
        assert host.may_begin(now)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    host.busy = 1
    assert not host.may_begin(now)
    host.answered()
    assert host.may_begin(0.0)


def test_a_host_is_left_alone_for_as_long_as_it_wants() -> None:
    host = Host()
    host.failed("503", now=0.0, quiet=7200.0)
    assert host.wants_quiet
    assert not host.may_begin(7199.0)
    host.failed("503", now=7200.0)
    assert not host.wants_quiet


def test_one_server_is_one_host_by_whatever_name() -> None:
    hosts = Hosts()
    assert hosts.of("https://git.example/a.git") is hosts.of("https://GIT.example/b/c.git")
    assert hosts.of("https://git.example/a.git") is not hosts.of("https://git.example:8443/a.git")
    assert hosts.of("ssh://git@git.example/a.git") is hosts.of("git@git.example:b.git")


class Looks:
    """Looks that go on until they are let go; `most` is how many there were at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_work: dict[str, asyncio.Event] = {}
        self.most = 0
        self.news = asyncio.Condition()

    async def look(self, client_id: str) -> None:
        async with self.news:
            self.begun.append(client_id)
            event = self.at_work[client_id] = asyncio.Event()
            self.most = max(self.most, len(self.at_work))
            self.news.notify_all()
        await event.wait()
        del self.at_work[client_id]

    async def until(self, found: Callable[[], bool]) -> None:
        async with self.news, asyncio.timeout(30):
            await self.news.wait_for(found)


def on_turns(
    folder: Path, urls: dict[str, str], story: Callable[[Turns, Looks, Database], Awaitable[None]]
) -> None:
    """Run `story` while it is somebody's turn, of these clients with their repositories."""
    path = folder / "db"
    make_store(path, {client_id: {} for client_id in urls}, [])

    async def run() -> None:
        async with Database(path) as database:
            async with database.writing() as connection:
                for client_id, url in urls.items():
                    await repositories.add(connection, client_id, Kind.EXTERNAL, url, NOW)
            looks = Looks()
            turns = Turns(database, look=looks.look, interval=lambda _: HOURS)
            running = asyncio.create_task(turns.run())
            try:
                await story(turns, looks, database)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def spread(count: int) -> dict[str, str]:
    return {f"edge-{number:02}": f"https://git-{number}.example/a.git" for number in range(count)}


def test_a_start_asks_a_few_at_once_and_in_the_end_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_EVERY", 0.0)
    urls = spread(3 * MOST_AT_ONCE)

    async def story(_turns: Turns, looks: Looks, _database: Database) -> None:
        while len(looks.begun) < len(urls):
            await looks.until(lambda: len(looks.at_work) == MOST_AT_ONCE or len(looks.begun) == len(urls))
            next(iter(looks.at_work.values())).set()
            await asyncio.sleep(0)
        assert sorted(looks.begun) == sorted(urls)
        assert looks.most == MOST_AT_ONCE

    on_turns(tmp_path, urls, story)


def test_a_start_does_not_ask_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_EVERY", HOURS)

    async def story(turns: Turns, looks: Looks, _database: Database) -> None:
        await looks.until(lambda: looks.begun == ["edge-00"])
        turns.wake("edge-02")  # whoever has news does not wait
        await looks.until(lambda: looks.begun == ["edge-00", "edge-02"])

    on_turns(tmp_path, spread(3), story)


def test_a_server_that_is_dead_holds_up_its_own_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_EVERY", 0.0)
    dead = {f"dead-{number:02}": "https://dead.example/a.git" for number in range(3 * MOST_AT_ONCE)}
    alive = spread(3)

    async def story(turns: Turns, looks: Looks, database: Database) -> None:
        await looks.until(lambda: set(looks.begun) >= alive.keys())
        asked = [client_id for client_id in looks.begun if client_id in dead]
        assert len(asked) == MOST_EACH
        host = turns.hosts.of("https://dead.example/a.git")
        for client_id in asked:
            host.failed("no answer", now=asyncio.get_running_loop().time())
            await turns.tell_all_at(host)
            looks.at_work[client_id].set()
        async with database.reading() as connection:
            found = await repositories.every(connection)
        assert {one.client_id for one in found if one.problem == "no answer"} == dead.keys()
        # Whoever wants to know is not told by asking again what is known of the server.
        for client_id in (*dead, *alive):
            turns.wake(client_id)
        looks.at_work["edge-00"].set()
        await looks.until(lambda: looks.begun.count("edge-00") == 2)
        assert len([client_id for client_id in looks.begun if client_id in dead]) == MOST_EACH

    on_turns(tmp_path, dead | alive, story)


def test_who_is_new_is_looked_at_and_who_is_gone_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_EVERY", HOURS)

    async def story(turns: Turns, looks: Looks, database: Database) -> None:
        await looks.until(lambda: looks.begun == ["edge-00"])
        async with database.writing() as connection:
            await repositories.remove(connection, "edge-01")
            await repositories.remove(connection, "edge-02")
        async with database.writing() as connection:
            await repositories.add(connection, "edge-02", Kind.EXTERNAL, "https://other.example/a", NOW)
        turns.wake("edge-01")
        await looks.until(lambda: "edge-02" in looks.begun)
        assert "edge-01" not in looks.begun

    on_turns(tmp_path, spread(3), story)


def test_news_while_one_is_looked_at_have_it_looked_at_again(tmp_path: Path) -> None:
    async def story(turns: Turns, looks: Looks, _database: Database) -> None:
        await looks.until(lambda: looks.begun == ["edge-00"])
        assert turns.hear("edge-00")
        assert not turns.hear("edge-00")
        turns.wake("edge-00")
        looks.at_work["edge-00"].set()
        await looks.until(lambda: looks.begun == ["edge-00", "edge-00"])

    on_turns(tmp_path, spread(1), story)
