"""The whole agent through days, weeks and a year of simulated time, on a clock that nobody waits for."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from edgewright.agent import clock, log
from edgewright.agent import round as agent_round
from edgewright.agent.consent.holds import Holds
from edgewright.agent.state.store import CLOCK_TRUST
from edgewright.agent.talk.conversation import LAST_PROBLEM, OURS, SUGGESTED
from edgewright.agent.work import capabilities
from edgewright.net.http import Response
from support.bench import ID
from support.fake_clock import unix
from support.foreign_server import deployment_yaml
from support.life import Life

HOUR, DAY = 3600.0, 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    machine = capabilities.read_machine(str(tmp_path))
    monkeypatch.setattr(agent_round, "read_machine", lambda _: machine)
    monkeypatch.setattr(log, "write", lambda *_: None)


@pytest.fixture
def live(tmp_path):
    """Begins lives; ends them."""
    begun = []

    def begin(*arguments, **more):
        begun.append(Life(tmp_path / str(len(begun)), *arguments, **more))
        return begun[-1]

    yield begin
    for life in begun:
        life.kill()


def wall(moment, zone=BERLIN):
    return datetime.fromtimestamp(moment, zone)


def longest_gap(moments):
    return max(later - earlier for earlier, later in pairwise(moments))


def refusal(status, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, "No", named, json.dumps({"type": "about:blank", "status": status}).encode())


# --- hours -------------------------------------------------------------------------------------------


@pytest.mark.requirement("OFF-2", "OFF-3", "OFF-4", "S-23", "S-24")
def test_a_year_of_polls_is_where_the_policy_says(live):
    """Both nights of summer time, a period over midnight, and a fortnight of downtime are in it."""
    life = live(
        "2026-01-01T00:00:00",
        policy="""
timeZone: Europe/Berlin
polling: {rate: 1h, periods: ["Mon-Fri 06:00-22:00", "Sat 23:00-04:00"]}
downtime: ["2026-12-24 12:00 .. 2027-01-02 06:00", "2026-07-01 .. 2026-07-14"]
""",
        look_again=DAY,
    )
    life.until("2027-01-09T00:00:00")
    polls = life.fleet.polls

    def open_at(moment):
        now = wall(moment)
        night = (now.weekday() == 5 and now.hour >= 23) or (now.weekday() == 6 and now.hour < 4)
        return (now.weekday() < 5 and 6 <= now.hour < 22) or night

    def silent_at(moment):
        stamp = wall(moment).strftime("%Y-%m-%d %H:%M")
        return "2026-12-24 12:00" <= stamp < "2027-01-02 06:00" or "2026-07-01" <= stamp[:10] <= "2026-07-14"

    assert [each for each in polls if not open_at(each) or silent_at(each)] == []
    assert [each for each in life.fleet.times() if silent_at(each)] == []
    # One poll in each hour that is open, up to the twentieth by which rates differ at random.
    open_hours = [
        each
        for each in (unix("2026-01-01T00:30:00") + HOUR * n for n in range(24 * 373))
        if open_at(each) and not silent_at(each)
    ]
    assert 0.93 * len(open_hours) <= len(polls) <= 1.12 * len(open_hours)
    days = {wall(each).date() for each in open_hours}
    assert {wall(each).date() for each in polls} == days
    assert life.store.meta(LAST_PROBLEM) in (None, "")


@pytest.mark.requirement("OFF-3")
@pytest.mark.parametrize(
    ("night", "hours"),
    [
        pytest.param("2026-03-29", [], id="the hour that is skipped is never open"),
        pytest.param("2026-10-25", [0, 1], id="the hour that is repeated is open twice"),
    ],
)
def test_the_nights_in_which_clocks_are_set(live, night, hours):
    life = live(
        f"{night}T00:00:00",
        policy='polling: {rate: 5m, periods: ["daily 02:00-03:00 Europe/Berlin"]}',
    )
    life.until(f"{night}T12:00:00")
    assert sorted({datetime.fromtimestamp(each, UTC).hour for each in life.fleet.polls}) == hours


@pytest.mark.requirement("OFF-2", "OFF-8")
def test_downtime_is_silent_and_nothing_of_it_is_an_error(live):
    life = live("2026-05-04T00:00:00", policy='downtime: ["daily 10:00-12:00 UTC"]')
    life.clock.at("2026-05-04T10:30:00", lambda: life.fleet.deploy(deployment_yaml(ID)))
    life.clock.at(
        "2026-05-04T11:00:00", lambda: life.runtime.lose(ID, "web") if life.runtime.installed else 0
    )
    life.until("2026-05-04T09:59:00")
    events = len(life.store.events(500))
    life.until("2026-05-04T12:00:00")
    assert not [each for each in life.fleet.times() if each >= unix("2026-05-04T10:00:00")]
    assert life.store.meta(LAST_PROBLEM) in (None, "")
    assert len(life.store.events(500)) == events
    assert [each for each in life.rounds if each >= unix("2026-05-04T10:00:00")], "it looks after itself"
    life.until("2026-05-04T12:05:00")
    assert life.fleet.statuses()[-1][1]["status"]["state"] == "installed"


@pytest.mark.requirement("OFF-4", "S-23")
@pytest.mark.parametrize("holds", [False, True])
def test_a_rate_that_was_raised_counts_at_once(live, holds):
    life = live("2026-03-01T00:00:00", policy="polling: {rate: 12h}")
    life.fleet.holds = holds
    life.clock.at("2026-03-01T01:00:00", lambda: life.write_policy("polling: {rate: 1m}"))
    life.until("2026-03-01T02:00:00")
    first = next(each for each in life.fleet.polls if each > unix("2026-03-01T01:00:00"))
    assert first < unix("2026-03-01T01:02:30")
    assert 54 <= len([each for each in life.fleet.polls if each >= first]) <= 64


def test_while_a_change_waits_for_a_window_next_month_it_looks_after_what_runs_as_ever(live):
    life = live("2026-03-01T00:00:00", policy="apply: {windows: [2026-04-01]}")
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-03-03T00:00:00")
    (held,) = Holds(life.store).held()
    assert held.until == unix("2026-04-01T00:00:00")
    assert longest_gap([*life.rounds, life.clock.true]) < 1000


@pytest.mark.parametrize("restless", [0, 30])
def test_what_people_put_down_is_looked_at_within_seconds_however_restless_the_engine_is(live, restless):
    life = live("2026-05-04T00:00:00", policy="repair: automatic")
    life.until("2026-05-04T00:01:00")
    life.watch._stirs, life.watch._stirred_at = restless, life.clock.monotonic()
    life.clock.at("2026-05-04T00:02:00", lambda: life.write_policy("repair: report-only"))
    life.until("2026-05-04T00:04:00")
    looked = [each - unix("2026-05-04T00:02:00") for each in life.rounds]
    assert any(0 <= each <= 36 for each in looked), "30 s until it is seen, and then 5 s"


def test_what_is_to_be_reported_goes_outside_of_the_polling_period_too(live):
    life = live("2026-05-04T00:00:00", policy='polling: {periods: ["daily 01:00-01:10 UTC"]}')
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T02:00:00")
    life.runtime.break_down(ID, "web")
    life.runtime.refused.add("web")
    life.until("2026-05-04T03:00:00")
    assert life.fleet.statuses()[-1][0] > unix("2026-05-04T02:00:00")
    assert max(life.fleet.polls) < unix("2026-05-04T01:10:00")


def test_a_policy_changed_while_the_agent_did_not_run_counts_from_its_first_word(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 10m}")
    life.until("2026-05-04T01:00:00")
    life.stop()
    life.write_policy('downtime: ["daily 00:00-24:00 UTC"]')
    life.start()
    asked = len(life.fleet.asked)
    life.until("2026-05-04T02:00:00")
    assert len(life.fleet.asked) == asked


@pytest.mark.requirement("S-25")
def test_a_policy_that_is_changed_counts_without_a_restart(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 30m}")
    life.until("2026-05-04T01:00:00")
    life.write_policy('polling: {rate: 30m, periods: ["daily 05:00-06:00 UTC"]}')
    life.until("2026-05-04T03:00:00")
    assert not [each for each in life.fleet.polls if each > unix("2026-05-04T01:35:00")]
    life.until("2026-05-04T06:00:00")
    assert [each for each in life.fleet.polls if each > unix("2026-05-04T05:00:00")]


def test_a_person_is_asked_for_outside_of_the_hours_but_never_in_downtime(live):
    life = live(
        "2026-05-04T00:00:00",
        policy='{polling: {periods: ["daily 20:00-21:00 UTC"]}, downtime: ["daily 10:00-12:00 UTC"]}',
    )
    life.until("2026-05-04T01:00:00")
    assert life.fleet.polls == []
    life.clock.at("2026-05-04T02:00:00", life.watch.poll_now)
    life.clock.at("2026-05-04T11:00:00", life.watch.poll_now)
    life.until("2026-05-04T13:00:00")
    assert life.fleet.polls == [unix("2026-05-04T02:00:00")]


# --- the clock ---------------------------------------------------------------------------------------

OFFICE = 'polling: {rate: 10m, periods: ["daily 08:00-10:00 UTC"]}'


def test_a_jump_forward_opens_no_period(live):
    life = live("2026-05-04T07:00:00", policy=OFFICE)
    life.until("2026-05-04T10:30:00")
    polled = len(life.fleet.polls)
    assert polled
    life.clock.at("2026-05-04T18:00:00", lambda: life.clock.set("2031-05-05T08:30:00"))
    life.until("2026-05-04T19:30:00")
    assert len(life.fleet.polls) == polled
    assert "ahead" in life.store.meta(CLOCK_TRUST)
    life.clock.at("2026-05-04T20:00:00", life.clock.set)
    life.until("2026-05-05T08:30:00")
    assert life.store.meta(CLOCK_TRUST) == ""
    assert len(life.fleet.polls) > polled


def test_a_jump_back_opens_no_period(live):
    life = live("2026-05-04T07:00:00", policy=OFFICE)
    life.until("2026-05-04T10:30:00")
    polled = len(life.fleet.polls)
    life.clock.at("2026-05-04T11:00:00", lambda: life.clock.set("2026-05-04T08:00:00"))
    life.until("2026-05-04T14:00:00")
    assert len(life.fleet.polls) == polled
    assert "behind" in life.store.meta(CLOCK_TRUST)


def test_rates_do_not_care_for_the_time_of_day(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 10m}")
    life.clock.at("2026-05-04T03:05:00", lambda: life.clock.set("1970-01-01T00:00:00"))
    life.clock.at("2026-05-04T06:05:00", lambda: life.clock.set("2038-01-19T03:14:00"))
    life.until("2026-05-04T09:00:00")
    polls = life.fleet.polls
    assert 0.94 * 54 <= len(polls) <= 1.06 * 55
    assert longest_gap(polls) <= 10.6 * 60


def test_each_jump_is_followed_by_a_round(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 6h}")
    life.until("2026-05-04T00:10:00")
    life.clock.at("2026-05-04T00:11:00", lambda: life.clock.set("2026-05-04T05:00:00"))
    life.until("2026-05-04T00:12:00")
    assert life.rounds[-1] == unix("2026-05-04T00:11:00")


def test_a_device_that_boots_in_1970_waits_for_somebody_who_knows_the_time(live):
    life = live("2026-05-04T07:00:00", policy=OFFICE)
    life.until("2026-05-04T10:30:00")
    polled = len(life.fleet.polls)
    life.kill()
    life.clock.reboot(off=22 * HOUR, seconds="1970-01-01T08:30:00")
    life.start()
    life.clock.at("2026-05-05T09:00:00", life.clock.set)
    life.until("2026-05-05T08:59:00")
    assert len(life.fleet.polls) == polled
    assert life.fleet.times("PUT")[-1] > unix("2026-05-05T08:00:00"), "it does say that it is there"
    life.until("2026-05-05T09:30:00")
    assert len(life.fleet.polls) > polled


def test_a_person_may_believe_a_clock(live):
    life = live("2026-05-04T07:00:00", policy=OFFICE)
    life.until("2026-05-04T12:00:00")
    polled = len(life.fleet.polls)
    life.clock.set("2026-05-04T08:00:00")
    life.until("2026-05-04T12:10:00")
    clock.accept(life.store, life.clock)
    life.until("2026-05-04T13:00:00")
    assert len(life.fleet.polls) > polled
    assert life.store.meta(CLOCK_TRUST) == ""


def test_a_jump_to_the_future_and_back_does_not_lock_the_hours_for_years(live):
    """The fleet manager cannot be reached meanwhile, so that nobody knows that the clock is wrong."""
    life = live("2026-05-04T07:00:00", policy="polling: {rate: 10m}")
    life.fleet.reachable = False
    life.until("2026-05-04T10:00:00")
    life.clock.set("2036-01-01T00:00:00")
    life.until("2026-05-04T12:00:00")
    life.clock.set()
    life.until("2026-05-04T12:10:00")
    assert "2036" in life.store.meta(CLOCK_TRUST)
    life.fleet.reachable = True
    life.until("2026-05-04T12:30:00")
    life.kill()
    life.clock.reboot()
    life.start()
    life.until("2026-05-04T12:31:00")
    assert life.store.meta(CLOCK_TRUST) == ""


def test_downtime_told_by_a_clock_nobody_believes_is_none(live):
    life = live("2026-05-04T07:00:00", policy='downtime: ["2030-01-01 .. 2030-12-31"]')
    life.until("2026-05-04T07:10:00")
    life.clock.set("2030-06-01T00:00:00")
    life.until("2026-05-04T08:00:00")
    assert longest_gap(life.fleet.polls) <= 64


# --- Retry-After -------------------------------------------------------------------------------------


@pytest.mark.requirement("RT-4")
@pytest.mark.parametrize("status", [503, 429])
def test_a_server_that_wants_an_hour_of_silence_gets_it_from_everybody(live, status):
    life = live("2026-05-04T07:00:00")
    life.until("2026-05-04T08:00:00")
    life.fleet.refuse = lambda: refusal(status, retry_after="3600")
    life.fleet.deploy(deployment_yaml(ID))
    asked = len(life.fleet.asked)
    for minutes in range(10, 60, 10):
        life.until(f"2026-05-04T08:{minutes}:00")
        life.kill()
        life.clock.reboot(off=0) if minutes == 30 else None
        life.start()
        life.watch.poll_now()
    assert len(life.fleet.asked) == asked + 1
    told = life.fleet.times()[-1]
    life.fleet.refuse = lambda: None
    life.until("2026-05-04T10:00:00")
    assert life.fleet.times()[asked + 1] >= told + HOUR
    assert life.fleet.statuses()[-1][1]["status"]["state"] == "installed"


@pytest.mark.requirement("RT-4")
def test_an_hour_of_silence_is_an_hour_also_where_the_clock_is_wrong_after_a_boot(live):
    life = live("2026-05-04T07:00:00")
    life.until("2026-05-04T08:00:00")
    life.fleet.refuse = lambda: refusal(503, retry_after="3600")
    life.until("2026-05-04T08:30:00")
    asked, told = len(life.fleet.asked), life.fleet.times()[-1]
    life.kill()
    life.clock.reboot(seconds="1970-01-01T00:00:00")
    life.start()
    life.until(told + 3590)
    assert len(life.fleet.asked) == asked


@pytest.mark.requirement("RT-4", "RT-5")
def test_documents_are_not_fetched_by_a_round_either(live):
    life = live("2026-05-04T07:00:00")
    life.until("2026-05-04T08:00:00")

    def busy():
        path = life.fleet.asked[-1][2]
        return refusal(503, retry_after="1800") if path.startswith("/api/v1/deployments/") else None

    life.fleet.refuse = busy
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T08:30:00")
    after = [each for each in life.fleet.asked if each[2].startswith("/api/v1/deployments/")]
    assert len(after) == 1
    assert life.fleet.times()[-1] == after[0][0], "nothing at all was asked from then on"


# --- answers that are held back ----------------------------------------------------------------------


def test_news_are_here_at_once_where_polls_are_held_and_the_rate_is_kept(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 60s}")
    life.fleet.holds = True
    life.until("2026-05-04T01:00:00")
    assert 56 <= len(life.fleet.polls) <= 66
    polls = len(life.fleet.polls)
    for minute in range(1, 59):
        for second in (17, 23, 48):  # also what follows at the heels of another change
            life.clock.at(f"2026-05-04T01:{minute:02}:{second}", life.fleet.deploy)
            life.until(f"2026-05-04T01:{minute:02}:{second + 2}")
            assert life.store.accepted().version == life.fleet.version
    # One poll for each change, none for the passing of time: every poll that is held ends with a change.
    assert len(life.fleet.polls) - polls <= 3 * 58 + 3


def test_a_rate_of_more_than_a_poll_may_be_held_is_kept_also_after_news(live):
    life = live("2026-05-04T00:00:00", policy="polling: {rate: 10m}")
    life.fleet.holds = True
    life.until("2026-05-04T00:30:00")
    life.clock.at("2026-05-04T00:30:20", life.fleet.deploy)
    life.clock.at("2026-05-04T00:31:20", life.fleet.deploy)
    life.until("2026-05-04T01:00:00")
    assert 5 <= len(life.fleet.polls) <= 8
    assert min(later - sooner for sooner, later in pairwise(life.fleet.polls)) >= 0.9 * 600


def test_no_answer_is_waited_for_beyond_a_closing_time(live):
    life = live(
        "2026-05-04T00:00:00",
        policy='polling: {rate: 60s, periods: ["daily 00:00-01:00 UTC"]}',
    )
    life.fleet.holds = True
    life.clock.at("2026-05-04T01:00:00", lambda: ended.append(life.link.fd))
    ended = []
    life.until("2026-05-04T01:10:00")
    assert ended == [-1]
    asked = [dict(each[3])["prefer"] for each in life.fleet.asked if "prefer" in each[3]]
    waits = [int(each.removeprefix("wait=")) for each in asked]
    assert max(waits) <= 60
    assert min(waits[:-1]) >= 57
    assert max(life.fleet.polls) < unix("2026-05-04T01:00:00")


def test_reports_go_while_a_poll_is_held(live):
    life = live("2026-05-04T00:00:00")
    life.fleet.holds = True
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T00:10:00")
    life.link.outbox.queue("status/x", "POST", "/api/v1/deployments/x/status", b"{}")
    assert life.link.fd >= 0 or life.link.polls.due > life.clock.monotonic()
    now = life.clock.true
    life.clock.at(now + 1, life.watch.look_now)
    life.until(now + 5)
    assert life.fleet.times("POST", "/x/status")[0] <= now + 2


def test_a_server_that_does_not_hold_is_polled_at_the_rate(live):
    life = live("2026-05-04T00:00:00")
    life.until("2026-05-04T02:00:00")
    assert 114 <= len(life.fleet.polls) <= 127
    assert 4 <= sum("prefer" in each[3] for each in life.fleet.asked) <= 10, "asked now and then"


# --- reports and the suggested policy ----------------------------------------------------------------


@pytest.mark.requirement("S-27")
def test_the_state_is_reported_again_at_its_own_interval_without_a_write(live):
    life = live("2026-05-04T00:00:00", policy="{polling: {rate: 5m}, report: {rate: 30m}}")
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T00:10:00")
    before = len(life.fleet.statuses())
    rows = life.store.connection.execute("SELECT * FROM reports").fetchall()
    life.until("2026-05-04T05:10:00")
    again = life.fleet.statuses()[before:]
    assert 9 <= len(again) <= 11
    assert {body["status"]["state"] for _, body in again} == {"installed"}
    assert life.store.connection.execute("SELECT * FROM reports").fetchall() == rows


def test_what_is_reported_again_backs_off_like_everything_else(live):
    life = live("2026-05-04T00:00:00", policy="{polling: {rate: 6h}, report: {rate: 30m}}")
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T00:20:00")
    life.fleet.reachable = False
    asked = len(life.fleet.asked)
    life.until("2026-05-04T02:00:00")
    assert 8 < len(life.fleet.asked) - asked < 60
    life.fleet.reachable = True
    life.until("2026-05-04T02:10:00")
    assert life.fleet.statuses()[-1][0] > unix("2026-05-04T02:00:00")


def test_only_a_server_that_says_so_is_asked_for_a_policy(live):
    life = live("2026-05-04T00:00:00")
    life.link.outbox.queue("site", "PUT", "/edgewright/v1/site", b"{}")
    life.link.outbox.queue("status/x", "POST", "/api/v1/deployments/x/status", b"{}")
    life.until("2026-05-04T01:00:00")
    assert not life.fleet.times("", "/edgewright/v1/policy")
    assert not life.fleet.times("", "/edgewright/v1/site")
    assert life.fleet.times("POST", "/x/status")
    life.fleet.headers["edgewright-policy"] = "0123456789ab"
    life.fleet.policy = b'polling: {rate: 20m, periods: ["daily 05:00-06:00 UTC"]}'
    life.until("2026-05-04T01:05:00")
    assert len(life.fleet.times("GET", "/edgewright/v1/policy")) == 1
    assert life.fleet.times("PUT", "/edgewright/v1/site")
    assert life.store.meta(OURS)
    assert b"20m" in life.store.meta(SUGGESTED).encode()
    life.until("2026-05-04T05:00:00")
    assert max(life.fleet.polls) < unix("2026-05-04T01:05:00"), "what is suggested is in force"
    life.fleet.headers["edgewright-policy"] = "none"
    life.until("2026-05-04T08:00:00")
    assert life.store.meta(SUGGESTED) == ""
    assert len(life.fleet.polls) > 100
    assert len(life.fleet.times("GET", "/edgewright/v1/policy")) == 1


# --- windows -----------------------------------------------------------------------------------------


@pytest.mark.requirement("S-24", "S-25")
@pytest.mark.parametrize("days", [31, pytest.param(4, marks=pytest.mark.nightly)])
def test_a_year_of_changes_begins_in_the_windows_and_in_the_first_that_comes(live, days):
    life = live(
        "2026-01-01T00:00:00",
        policy="""
timeZone: Europe/Berlin
polling: {rate: 6h}
apply: {windows: ["Sat 02:30-05:00", "Sun 02:00-03:00", "Wed 22:00-22:30"]}
""",
        look_again=DAY,
    )
    applied = []
    apply = life.runtime.apply

    def noted(component):
        applied.append(life.clock.true)
        apply(component)

    life.runtime.apply = noted
    for number in range(360 // days):
        document = deployment_yaml(ID, name=f"app-{number}")
        life.clock.at(
            unix("2026-01-01T12:00:00") + number * days * DAY, lambda of=document: life.fleet.deploy(of)
        )
    life.until("2027-01-01T00:00:00")

    def opened(moment):
        """When the window opened that is open at `moment`, by the wall; None where none is."""
        now = wall(moment)
        minutes = now.hour * 60 + now.minute
        for day, begin, end in ((5, 150, 300), (6, 120, 180), (2, 1320, 1350)):
            if now.weekday() == day and begin <= minutes < end:
                return now.date(), begin
        return None

    assert [each for each in applied if opened(each) is None] == []
    # Each was there long before the next window, which never is more than four days away.
    assert len({opened(each) for each in applied}) == len(applied) >= 360 // days - 1
    for number, moment in enumerate(applied):
        deployed = unix("2026-01-01T12:00:00") + number * days * DAY
        assert deployed < moment < deployed + 5 * DAY
        assert opened(moment - 600) != opened(moment), "not long after it has opened"


def test_a_clock_nobody_believes_opens_no_window(live):
    life = live("2026-05-04T07:00:00", policy='apply: {windows: ["daily 02:00-03:00 UTC"]}')
    life.until("2026-05-04T07:30:00")
    life.fleet.deploy(deployment_yaml(ID))
    life.until("2026-05-04T08:00:00")
    life.clock.set("2026-05-05T02:30:00")
    life.until("2026-05-04T10:00:00")
    assert life.runtime.installed == {}
    status = life.fleet.statuses()[-1][1]["status"]
    assert (status["state"], status["error"]["code"]) == ("pending", "hold.clock")
    life.clock.set()
    life.until("2026-05-05T02:05:00")
    assert life.runtime.installed
