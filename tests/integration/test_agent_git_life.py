"""A whole agent that lives by a Git repository, through weeks, months and years of simulated time."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edgewright.agent import log
from edgewright.agent import round as agent_round
from edgewright.agent.talk.conversation import LAST_PROBLEM
from edgewright.agent.work import capabilities
from support.bench import ID
from support.fake_clock import unix
from support.foreign_server import deployment_yaml
from support.git_fleet import CURRENT, Signer
from support.git_life import GitLife

HOUR, DAY = 3600.0, 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")
Live = Callable[..., GitLife]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = capabilities.read_machine(str(tmp_path))
    monkeypatch.setattr(agent_round, "read_machine", lambda _: machine)
    monkeypatch.setattr(log, "write", lambda *_: None)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.create(tmp_path_factory.mktemp("keys"), "fleet")


@pytest.fixture
def live(tmp_path: Path, signer: Signer) -> Iterator[Live]:
    """Begins lives; ends them."""
    begun: list[GitLife] = []

    def begin(start: str, **more: Any) -> GitLife:
        begun.append(GitLife(tmp_path / str(len(begun)), signer, start, **more))
        return begun[-1]

    yield begin
    for life in begun:
        life.kill()


def told(life: GitLife) -> list[Any]:
    """Every status that was committed for ID, first to last; one process, however many there are."""
    path = f"status/{ID}.json"
    asked = "".join(f"{commit}:{path}\n" for commit in life.fleet.history(CURRENT, path))
    answer = life.fleet.git("cat-file", "--batch", given=asked.encode())
    found = []
    while answer:
        about, _, rest = answer.partition(b"\n")
        size = int(about.split()[2])
        found.append(json.loads(rest[:size]))
        answer = rest[size + 1 :]
    return found


def states(life: GitLife) -> list[tuple[int, str]]:
    return [(each["adoptedManifestVersion"], each["status"]["state"]) for each in told(life)]


def files_below(directory: Path) -> dict[str, int]:
    """The size in bytes of every file below `directory`, by its path there."""
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


# --- reports -----------------------------------------------------------------------------------------


@pytest.mark.requirement("S-27", "GR-32")
def test_weeks_of_reports_of_what_did_not_change_make_no_commit_and_no_byte(live: Live) -> None:
    life = live("2026-03-01T00:00:00", policy="{polling: {rate: 1h}, report: {rate: 6h}}", look_again=DAY)
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-03-02T00:00:00")
    commits, begun = life.fleet.history(CURRENT), len(life.times_of("--push"))
    before = files_below(life.fleet.repository), files_below(Path(life.paths.repository))
    life.until("2026-03-23T00:00:00")
    repeats = life.times_of("--push")[begun:]
    assert 21 * 4 * 0.9 <= len(repeats) <= 21 * 4 * 1.1
    assert life.fleet.history(CURRENT) == commits
    assert (files_below(life.fleet.repository), files_below(Path(life.paths.repository))) == before
    assert len(life.times_of("--fetch")) == 1
    # And what somebody else has taken away is there again after such a time at the latest.
    life.fleet.git("update-ref", "-d", CURRENT)
    life.until("2026-03-23T06:30:00")
    assert states(life)[-1] == (1, "installed")


# --- hours -------------------------------------------------------------------------------------------


@pytest.mark.requirement("OFF-2", "OFF-3", "OFF-4", "S-23", "S-24", "GR-44")
def test_a_year_by_git_keeps_to_the_hours_of_the_site(live: Live) -> None:
    """Both nights of summer time, a period over midnight, and two downtimes are in it."""
    life = live(
        "2026-01-01T00:00:00",
        policy="""
timeZone: Europe/Berlin
polling: {rate: 1h, periods: ["Mon-Fri 06:00-22:00", "Sat 23:00-04:00"]}
downtime: ["2026-12-24 12:00 .. 2027-01-02 06:00", "2026-07-01 .. 2026-07-14"]
report: {rate: 5d}
""",
        look_again=DAY,
    )
    for month in range(1, 13):  # also within the downtime of summer
        name = f"app-{month}"
        life.clock.at(f"2026-{month:02}-10T10:30:00", lambda of=name: life.fleet.deploy(named(of)))
    life.until("2027-01-09T00:00:00")

    def open_at(moment: float) -> bool:
        now = datetime.fromtimestamp(moment, BERLIN)
        night = (now.weekday() == 5 and now.hour >= 23) or (now.weekday() == 6 and now.hour < 4)
        return (now.weekday() < 5 and 6 <= now.hour < 22) or night

    def silent_at(moment: float) -> bool:
        stamp = datetime.fromtimestamp(moment, BERLIN).strftime("%Y-%m-%d %H:%M")
        return "2026-12-24 12:00" <= stamp < "2027-01-02 06:00" or "2026-07-01" <= stamp[:10] <= "2026-07-14"

    assert [each for each in life.polls if not open_at(each) or silent_at(each)] == []
    assert [at for at, _ in life.couriers if silent_at(at)] == []
    assert [at for at in life.times_of("--fetch") if not open_at(at)] == []
    hours = [unix("2026-01-01T00:30:00") + HOUR * number for number in range(24 * 373)]
    open_hours = [each for each in hours if open_at(each) and not silent_at(each)]
    assert 0.93 * len(open_hours) <= len(life.polls) <= 1.12 * len(open_hours)
    days = {datetime.fromtimestamp(each, BERLIN).date() for each in open_hours}
    assert {datetime.fromtimestamp(each, BERLIN).date() for each in life.polls} == days
    assert [version for version, state in states(life) if state == "installed"] == [*range(1, 13)]
    assert len(life.times_of("--fetch")) == 12
    assert life.store.meta(LAST_PROBLEM) in (None, "")


@pytest.mark.requirement("OFF-3")
@pytest.mark.parametrize(("night", "hours"), [("2026-03-29", []), ("2026-10-25", [0, 1])])
def test_the_nights_in_which_clocks_are_set(live: Live, night: str, hours: list[int]) -> None:
    life = live(
        f"{night}T00:00:00", policy='polling: {rate: 5m, periods: ["daily 02:00-03:00 Europe/Berlin"]}'
    )
    life.until(f"{night}T12:00:00")
    assert sorted({int(each - unix(f"{night}T00:00:00")) // 3600 for each in life.polls}) == hours


# --- a server that is gone ---------------------------------------------------------------------------


@pytest.mark.requirement("OFF-8", "S-4", "S-20", "GR-32")
def test_a_server_that_is_gone_for_months_finds_the_device_as_it_left_it(live: Live) -> None:
    life = live("2026-03-01T00:00:00", policy="{polling: {rate: 1h}, report: {rate: 1d}}", look_again=DAY)
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-03-02T00:00:00")
    commits, before = life.fleet.history(CURRENT), states(life)
    life.cut()
    for day in (5, 6, 7):
        life.clock.at(f"2026-04-0{day}T10:00:00", lambda: life.runtime.lose(ID, "web"))
        life.clock.at(f"2026-04-0{day}T10:00:01", life.watch.look_now)
    life.until("2026-06-01T00:00:00")
    assert (ID, "web") in life.runtime.installed
    assert life.store.meta(LAST_PROBLEM)
    gone = [each for each in life.polls if each > unix("2026-03-02T02:00:00")]
    assert min(later - sooner for sooner, later in pairwise(gone)) >= 100
    waiting = len(life.link.outbox)
    life.mend()
    life.fleet.deploy(deployment_yaml(ID, name="after"))
    polls, couriers = len(life.polls), len(life.couriers)
    life.until("2026-06-01T02:00:00")

    assert len(life.polls) - polls <= 4
    assert len(life.couriers) - couriers <= waiting + 6
    assert life.fleet.history(CURRENT)[: len(commits)] == commits, "built on what was there"
    after = states(life)[len(before) :]
    assert states(life)[: len(before)] == before
    assert after[-1] == (2, "installed")
    assert [version for version, _ in after] == sorted(version for version, _ in after), "in order"
    bodies = [json.dumps(each, sort_keys=True) for each in told(life)]
    assert [one for one, other in pairwise(bodies) if one == other] == [], "nothing twice in a row"
    assert life.store.meta(LAST_PROBLEM) in (None, "")
    assert len(life.link.outbox) == 0
    settled = life.fleet.history(CURRENT)
    life.until("2026-06-08T00:00:00")
    assert life.fleet.history(CURRENT) == settled


def named(name: str) -> bytes:
    return deployment_yaml(ID, name=name)
