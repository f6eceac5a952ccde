"""The week as a picture, and times as people say them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.page.week import WIDTH, Week, days, draw, told
from edgewright.agent.page.words import Clock, counted, length, state_of

BERLIN = ZoneInfo("Europe/Berlin")


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        pytest.param((2026, 3, 28, 12), [24, 23, 24, 24, 24, 24, 24], id="summer time begins"),
        pytest.param((2026, 10, 24, 12), [24, 25, 24, 24, 24, 24, 24], id="summer time ends"),
        pytest.param((2026, 7, 1, 0), [24] * 7, id="midnight begins the day"),
    ],
)
def test_a_day_is_as_long_as_the_wall_makes_it(now, hours):
    found = days(at(*now), BERLIN)
    assert [(day.end - day.start) / 3600 for day in found] == hours
    assert found[0].start <= at(*now) < found[0].end


def test_what_is_drawn_is_told_in_words():
    now = at(2026, 7, 3, 12)  # a Friday
    week = Week(
        polls=[(at(2026, 7, 3, 6), at(2026, 7, 3, 22))],
        changes=[(at(2026, 7, 3, 22), at(2026, 7, 4, 4))],
        downtime=[(at(2026, 7, 4, 0), at(2026, 7, 5, 0))],
    )
    friday, saturday = days(now, BERLIN)[:2]
    assert told(week, friday, BERLIN) == (
        "Fri 3: asks the fleet manager 06:00-22:00; changes may start 22:00-24:00"
    )
    assert told(week, saturday, BERLIN) == (
        "Sat 4: asks the fleet manager never; changes may start 00:00-04:00; planned downtime all day"
    )


def test_without_limits_everything_is_all_day():
    day = days(at(2026, 7, 3, 12), BERLIN)[0]
    assert told(Week(), day, BERLIN) == "Fri 3: asks the fleet manager all day; changes may start all day"


@given(st.lists(st.tuples(st.floats(0, 4e9), st.floats(0, 4e9)), max_size=20), st.floats(1e6, 3e9))
def test_no_bar_leaves_its_day(pairs, now):
    for day in days(now, BERLIN):
        for start, end in day.within(pairs):
            assert day.start <= start < end <= day.end


def test_now_is_marked_once():
    drawn = draw(Week(), at(2026, 7, 3, 12), BERLIN)
    assert drawn.count('class="now"') == 1
    assert f'x="{WIDTH // 2 - 2}"' in drawn


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        pytest.param(datetime(2026, 7, 3, 14, 5, tzinfo=BERLIN), "14:05", id="today"),
        pytest.param(datetime(2026, 7, 4, 2, 0, tzinfo=BERLIN), "Sat 02:00", id="this week"),
        pytest.param(datetime(2026, 12, 24, 12, 0, tzinfo=BERLIN), "24 Dec 12:00", id="this year"),
        pytest.param(datetime(2027, 1, 2, 6, 0, tzinfo=BERLIN), "2 Jan 2027 06:00", id="another year"),
        pytest.param(datetime(2026, 7, 3, 22, 30, tzinfo=UTC), "Sat 00:30", id="the zone's day counts"),
    ],
)
def test_moments_are_said_as_short_as_can_be(moment, said):
    clock = Clock(datetime(2026, 7, 3, 12, 0, tzinfo=BERLIN), BERLIN)
    assert clock.at(moment.isoformat()) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "just now"), (40, "40 s ago"), (400, "6 min ago"), (-7200, "in 2 h")]
)
def test_how_long_ago(seconds, said):
    now = datetime(2026, 7, 3, 12, 0, tzinfo=BERLIN)
    assert Clock(now, BERLIN).ago((now - timedelta(seconds=seconds)).isoformat()) == said


def test_lengths_and_counts():
    assert [length(each) for each in (119, 120, 7200, 172800)] == ["119 s", "2 min", "2 h", "2 days"]
    assert [counted(each, "change", "changes") for each in (1, 2)] == ["1 change", "2 changes"]


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        pytest.param({"state": "installed"}, ("running", "good"), id="runs"),
        pytest.param({"state": "new-word"}, ("new-word", "quiet"), id="a word of a later version"),
        pytest.param(
            {"state": "pending", "held": {"kind": "update", "reason": "window"}},
            ("waits for its time", "wait"),
            id="held",
        ),
        pytest.param(
            {"state": "installed", "held": {"kind": "remove", "reason": "approval"}},
            ("running", "good"),
            id="it runs while its removal is held",
        ),
        pytest.param(
            {"state": "failed", "held": {"kind": "update", "reason": "paused"}},
            ("failed", "bad"),
            id="a failure is said first",
        ),
    ],
)
def test_states_in_words(deployment, said):
    assert state_of(deployment) == said
