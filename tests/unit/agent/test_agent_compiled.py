"""The timetable says in numbers what the policy says in words, for a year, and is seldom written."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.agent.site.compiled import MOST_INTERVALS, compile_timetable, keep_timetable
from edgewright.agent.state.store import Store
from edgewright.agent.talk.timetable import TIMETABLE, Timetable
from edgewright.protocol.calendar import DAY, HOUR
from edgewright.protocol.policy import HORIZON, Policy, may_contact, may_poll, next_poll


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def policy(text: str) -> Policy:
    return Policy.parse(text.encode(), source="policy.yaml")


NOW = utc("2026-01-15T10:30") + 0.25
SPANS = st.sampled_from(
    [
        "Mon-Fri 06:00-22:00 Europe/Berlin",
        "Sat,Sun 22:00-04:00 America/New_York",
        "daily 02:00-03:00 Europe/Berlin",
        "Sun 01:30-02:30 Australia/Lord_Howe",
        "Fri 18:00 - Mon 06:00 America/Santiago",
        "Sat-Sun Africa/Casablanca",
        "2026-03-28 12:00 .. 2026-04-02 06:00 Europe/Berlin",
        "2026-10-25 02:30 .. 2026-10-26 Europe/Berlin",
    ]
)
POLICIES = st.builds(
    lambda periods, downtime: Policy.from_plain({"polling": {"periods": periods}, "downtime": downtime}),
    st.lists(SPANS, max_size=3),
    st.lists(SPANS, max_size=2),
)
YEAR = [
    *range(int(NOW), int(NOW) + 366 * DAY, 7 * HOUR + 1300),
    *(int(utc(night)) + minutes * 60 for night in ("2026-03-28T22:00", "2026-10-24T22:00", "2026-04-04T12:00") for minutes in range(0, 480, 15)),  # noqa: E501
]  # fmt: skip


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23", "S-25")
@settings(max_examples=25, deadline=None)
@given(POLICIES)
def test_for_a_year_the_numbers_allow_what_the_policy_allows(read):
    table = Timetable(compile_timetable(read, NOW))
    for now in YEAR:
        if table.knows(now):
            assert table.may_poll(now, trusted=True) is may_poll(read, now)
            assert table.may_talk(now, trusted=True) is may_contact(read, now)
    if table.end >= NOW + HORIZON - 1:
        upcoming = next_poll(read, NOW)
        assert table.polls_from(NOW, trusted=True) == (float("inf") if upcoming is None else upcoming)


@pytest.mark.requirement("OFF-4", "S-24", "S-27")
def test_rates_are_seconds_and_off_is_null():
    told = json.loads(compile_timetable(policy("polling: {rate: 5m}\nreport: {rate: off}"), NOW))
    assert (told["poll"], told["report"], told["polls"], told["downtime"]) == (300, None, None, [])
    assert json.loads(compile_timetable(policy("report: {rate: 1d}"), NOW))["report"] == DAY


def test_a_timetable_ends_before_it_has_more_intervals_than_a_watch_should_hold():
    text = compile_timetable(
        policy("polling: {periods: ['daily 01:00-02:00, 03:00-04:00, 05:00-06:00']}"), NOW
    )
    told = json.loads(text)
    assert len(told["polls"]) == MOST_INTERVALS
    assert told["polls"][-1][1] <= told["until"] < NOW + HORIZON
    assert len(text) < 32_000


def test_a_policy_without_times_is_a_few_numbers():
    assert len(compile_timetable(Policy(), NOW)) < 150


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 190 * DAY), POLICIES)
def test_a_timetable_that_says_the_same_is_left_as_it_is(later, read):
    before = compile_timetable(read, NOW)
    told = json.loads(before)
    if (told["until"] - NOW - later) * 2 > HORIZON:
        assert compile_timetable(read, NOW + later, before) == before


def test_one_that_is_half_used_up_is_written_anew():
    read = policy("downtime: [daily 02:00-03:00]")
    before = compile_timetable(read, NOW)
    later = NOW + 210 * DAY
    again = compile_timetable(read, later, before)
    assert json.loads(again)["until"] == int(later) + HORIZON


@pytest.mark.parametrize(
    "text",
    [
        "polling: {rate: 61s}",
        "report: {rate: 2h}",
        "polling: {periods: [daily 02:00-03:00]}",
        "downtime: [daily 02:00-03:00]",
        "downtime: [2026-12-24]",
    ],
)
def test_a_policy_that_says_something_else_is_written_anew_and_back(text):
    before = compile_timetable(Policy(), NOW)
    after = compile_timetable(policy(text), NOW, before)
    assert after != before
    assert compile_timetable(Policy(), NOW, after) == before


def test_a_clock_set_back_by_years_gets_numbers_for_then():
    before = compile_timetable(Policy(), NOW)
    assert Timetable(compile_timetable(Policy(), 1000.0, before)).knows(1000.0)


@pytest.mark.parametrize("garbage", ["", "{", "[]", "null", '{"poll": 1}'])
def test_what_is_no_timetable_is_replaced(garbage):
    assert compile_timetable(Policy(), NOW, garbage) == compile_timetable(Policy(), NOW)


def test_the_watch_finds_it_in_the_store(tmp_path):
    store = Store(str(tmp_path / "state.db"))
    assert keep_timetable(store, policy("polling: {rate: 5m}"), NOW)
    assert not keep_timetable(store, policy("polling: {rate: 5m}"), NOW + DAY)
    assert Timetable(store.meta(TIMETABLE)).poll == 300
    store.close()
