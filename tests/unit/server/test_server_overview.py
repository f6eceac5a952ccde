"""The rows of the overview: always what the database says, and what the clock makes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.site import SiteReport
from edgewright.server.domain.device_state import Word
from edgewright.server.errors import InvalidError
from edgewright.server.fleet import labels, membership, reports, sites
from edgewright.server.live import overview
from edgewright.server.live.finding import Wanted, count
from edgewright.server.live.overview import Overview, Row, natural, read_row
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate
from support.foreign_client import capabilities

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
NAMES = ("line-10", "line-2", "Line-3", "pump")
Step = Callable[[AsyncConnection], Awaitable[Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


def accept(name: str) -> Step:
    return lambda connection: membership.accept(connection, name, actor="ada", now=NOW)


def retire(name: str) -> Step:
    return lambda connection: membership.retire(connection, name, actor="ada", now=NOW)


def report(name: str, **said: Any) -> Step:
    document = json.dumps(capabilities(name) | said).encode()
    return lambda connection: reports.put_capabilities(connection, name, name, document, now=NOW)


def label(name: str, **given: str | None) -> Step:
    return lambda connection: labels.set_labels(connection, name, given, actor="ada", now=NOW)


def announce_policy(name: str, policy: dict[str, Any]) -> Step:
    body = json.dumps({"deviceId": name, "policy": {"inForce": policy}}).encode()
    document = SiteReport.parse(body, source="site")
    return lambda connection: sites.record_site(connection, name, document, body, now=NOW)


async def rows_of(known: Overview, heard: dict[str, datetime], now: datetime = NOW) -> dict[str, Row]:
    return {row.client_id: row for row in await known.rows(heard, now, ())}


async def do(database: Database, *steps: Step) -> None:
    for step in steps:
        async with database.writing() as connection:
            await step(connection)


def test_rows_come_in_the_order_people_expect() -> None:
    assert sorted([*NAMES, "line", "2", "10", "9" * 5000], key=natural) == [
        "2",
        "10",
        "9" * 5000,
        "line",
        "line-2",
        "Line-3",
        "line-10",
        "pump",
    ]


@pytest.mark.parametrize("most", [0, 100], ids=["all read anew", "only what changed"])
def test_the_overview_is_what_the_database_says_after_every_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(overview, "MOST_NAMED", most)

    async def go() -> None:
        async with Database(path) as database:
            known = Overview(database)
            assert await rows_of(known, {}) == {}
            await do(database, *(accept(name) for name in NAMES))
            assert list(await rows_of(known, {})) == ["line-2", "Line-3", "line-10", "pump"]
            for step in (
                report("pump", labels={"site": "berlin", "spare": True, "many": ["a", "b"]}),
                label("pump", site="bonn", line="7"),
                label("pump", site=None),
                retire("line-2"),
                accept("line-2"),
                announce_policy("pump", {"polling": {"rate": "5m"}}),
                accept("another"),
            ):
                await do(database, step)
                present = await rows_of(known, {})
                async with database.reading() as connection:
                    for name, row in present.items():
                        fresh = await read_row(connection, name)
                        fresh.look(None, NOW.timestamp(), ())
                        seen = (row.client, row.labels, row.device_ids, row.announced, row.state)
                        assert seen == (
                            fresh.client,
                            fresh.labels,
                            fresh.device_ids,
                            fresh.announced,
                            fresh.state,
                        )
            assert present["pump"].labels == {"site": "berlin", "spare": "true", "line": "7"}
            assert len(present) == 5

    asyncio.run(go())


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
def test_a_word_changes_by_itself_and_who_watches_is_told(path: Path) -> None:
    async def go() -> None:
        async with Database(path) as database:
            known = Overview(database)
            night = {"polling": {"periods": ["daily 06:00-22:00 UTC"]}}
            await do(database, accept("day"), accept("always"), announce_policy("day", night))
            heard = {"day": NOW, "always": NOW}

            async def words(at: datetime) -> tuple[Word, Word]:
                found = await rows_of(known, heard, at)
                return found["day"].state.word, found["always"].state.word

            assert await words(NOW) == (Word.EMPTY, Word.EMPTY)
            assert known.news(NOW) == set(), "the first look is no news"
            assert await words(NOW + timedelta(minutes=9)) == (Word.SILENT, Word.EMPTY)
            assert known.news(NOW + timedelta(minutes=9)) == {"contact:day", "contacts"}
            assert await words(NOW + timedelta(minutes=10)) == (Word.SILENT, Word.SILENT)
            # It is heard of again, and then its night begins. Nobody calls it lost, nor well.
            evening = NOW.replace(hour=21, minute=59)
            heard["day"] = evening
            assert await words(evening) == (Word.EMPTY, Word.SILENT)
            assert await words(evening + timedelta(minutes=1)) == (Word.PLANNED_SILENCE, Word.SILENT)
            assert await words(evening + timedelta(hours=7)) == (Word.PLANNED_SILENCE, Word.SILENT)
            assert await words(evening + timedelta(hours=8, minutes=2)) == (Word.EXPECTED, Word.SILENT)
            assert await words(evening + timedelta(hours=9)) == (Word.SILENT, Word.SILENT)
            # A clock put back is no reason to believe what was true later.
            assert await words(evening + timedelta(minutes=1)) == (Word.PLANNED_SILENCE, Word.SILENT)

    asyncio.run(go())


def test_polls_are_told_to_who_watches_a_device_at_once_and_to_lists_from_time_to_time(path: Path) -> None:
    async def go() -> None:
        async with Database(path) as database:
            known = Overview(database)
            await do(database, accept("edge"))
            told = []
            for seconds in range(0, 40, 2):
                now = NOW + timedelta(seconds=seconds)
                await known.rows({"edge": now}, now, ())
                told.append(known.news(now))
            assert all("contact:edge" in topics for topics in told[1:])
            assert sum("contacts" in topics for topics in told) == 2

    asyncio.run(go())


def test_a_row_that_could_not_be_read_is_read_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with Database(path) as database:
            known = Overview(database)
            await rows_of(known, {})
            await do(database, accept("edge"))

            async def fail(*_: object) -> Any:
                raise OSError("no space left on device")

            with monkeypatch.context() as patched:
                patched.setattr(overview, "_read", fail)
                with pytest.raises(OSError, match="no space"):
                    await known.refresh()
            assert "edge" in await rows_of(known, {})

    asyncio.run(go())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Six devices: of two sites, some heard of and some not, one retired."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.db"
    migrate(path)

    async def make() -> list[Row]:
        async with Database(path) as database:
            for number in range(1, 7):
                name = f"edge-{number}"
                site = "berlin" if number % 2 else "bonn"
                await do(database, accept(name), report(name), label(name, site=site))
            await do(database, retire("edge-6"))
            heard = {
                "edge-1": NOW,
                "edge-2": NOW - timedelta(hours=2),
                "edge-3": NOW - timedelta(hours=1),
                "edge-6": NOW,
            }
            return await Overview(database).rows(heard, NOW, ())

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param({}, "123456", id="all"),
        pytest.param({"state": "silent"}, "23", id="a word"),
        pytest.param({"state": "silent, retired"}, "236", id="two words"),
        pytest.param({"contact": "never"}, "45", id="contact"),
        pytest.param({"said": "empty"}, "123", id="what was said last"),
        pytest.param({"selector": "site=bonn"}, "246", id="labels"),
        pytest.param({"selector": "site in (bonn, berlin), !spare"}, "123456", id="more of a selector"),
        pytest.param({"q": "EDGE-3"}, "3", id="a name, whatever its case"),
        pytest.param({"q": "site=ber"}, "135", id="a label"),
        pytest.param({"application": "shop"}, "", id="an application nobody has"),
        pytest.param({"sort": "-name"}, "654321", id="backwards"),
        pytest.param({"sort": "heard", "state": "silent,empty"}, "231", id="who was heard of long ago"),
        pytest.param({"sort": "-heard", "state": "silent,empty"}, "132", id="who was heard of just now"),
        pytest.param({"sort": "state"}, "234516", id="who needs a person first"),
    ],
)
def test_devices_are_found(fleet: list[Row], query: dict[str, str], names: str) -> None:
    found = Wanted.parse(**query).find(fleet)
    assert "".join(row.client_id.removeprefix("edge-") for row in found) == names


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "fine"}, "state"),
        ({"state": "silent,fine"}, "state"),
        ({"contact": "up"}, "contact"),
        ({"said": "silence"}, "said"),
        ({"sort": "age"}, "sort"),
        ({"selector": "site=="}, ""),
        ({"selector": "site in bonn"}, "selector"),
        ({"q": "x" * 201}, "q"),
    ],
)
def test_what_cannot_be_found_like_this_says_why(query: dict[str, str], field: str) -> None:
    if not field:
        assert Wanted.parse(**query).selector.matches({"site": ""})
        return
    with pytest.raises(InvalidError) as caught:
        Wanted.parse(**query)
    assert [fault.field for fault in caught.value.faults] == [field]


def test_counts_are_those_of_the_lists(fleet: list[Row]) -> None:
    counts = count(fleet, NOW)
    assert counts.total == 6
    for word in Word:
        assert counts.states[word] == len(Wanted.parse(state=word).find(fleet))
    assert sum(counts.contacts.values()) == 5
    assert sum(counts.said.values()) == 3
