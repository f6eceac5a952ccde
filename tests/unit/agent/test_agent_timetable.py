"""When contact is allowed: the timetable's numbers against the time of day, believed or not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.talk.timetable import CROWD_SECONDS, NEVER, Timetable


def table(polls=None, downtime=(), *, late=0.0, **more):
    return Timetable(json.dumps({"polls": polls, "downtime": list(downtime), **more}), late=late)


PERIODS = [[100, 200], [300, 400]]


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23", "S-24")
@pytest.mark.parametrize(
    ("of", "now", "trusted", "talk", "poll", "polls_from"),
    [
        pytest.param(table(), 150, True, True, True, 150, id="no policy: always"),
        pytest.param(table(), 150, False, True, True, 150, id="no policy: also by a clock nobody believes"),
        pytest.param(table(PERIODS), 99.9, True, True, False, 100, id="before the period"),
        pytest.param(table(PERIODS), 100, True, True, True, 100, id="a period's first instant"),
        pytest.param(table(PERIODS), 200, True, True, False, 300, id="a period's end is not in it"),
        pytest.param(table(PERIODS), 400, True, True, False, NEVER, id="after the last one"),
        pytest.param(table(PERIODS), 150, False, True, False, NEVER, id="a clock nobody believes opens none"),
        pytest.param(table([]), 150, True, True, False, NEVER, id="no period at all"),
        pytest.param(table(None, [[100, 200]]), 150, True, False, False, 200, id="downtime"),
        pytest.param(table(None, [[100, 200]]), 150, False, True, True, 150, id="downtime not believed"),
        pytest.param(table(PERIODS, [[150, 250]]), 150, True, False, False, 300, id="downtime in a period"),
        pytest.param(table(PERIODS, [[150, 350]]), 150, True, False, False, 350, id="downtime into the next"),
        pytest.param(table(PERIODS, [[90, 410]]), 150, True, False, False, NEVER, id="downtime over all"),
    ],
)
def test_what_is_allowed_when(of, now, trusted, talk, poll, polls_from):
    assert of.may_talk(now, trusted=trusted) is talk
    assert of.may_poll(now, trusted=trusted) is poll
    assert of.polls_from(now, trusted=trusted) == polls_from


@pytest.mark.parametrize(
    ("of", "now", "closes"),
    [
        pytest.param(table(), 150, NEVER, id="never"),
        pytest.param(table(PERIODS), 150, 200, id="with the period"),
        pytest.param(table(PERIODS, [[180, 190]]), 150, 180, id="with a downtime that begins before that"),
        pytest.param(table(None, [[180, 190]]), 150, 180, id="with the next downtime"),
        pytest.param(table(None, [[180, 190]]), 190, NEVER, id="with none that is over"),
    ],
)
def test_when_it_ends(of, now, closes):
    assert of.closes(now) == closes


def test_without_a_timetable_the_rates_are_the_usual_ones():
    assert (Timetable().poll, Timetable().report, Timetable("").knows(0)) == (60.0, 3600.0, True)
    assert table(report=None).report == NEVER


def test_beyond_what_was_compiled_nothing_is_known():
    of = table(**{"from": 100, "until": 200})
    assert [of.knows(now) for now in (99, 100, 199, 200)] == [False, True, True, False]


@pytest.mark.requirement("RT-6")
def test_a_fleet_does_not_begin_in_one_instant_but_within_the_time_allowed():
    early, late = table(PERIODS, [[500, 600]]), table(PERIODS, [[500, 600]], late=1.0)
    assert (early.polls_from(0, trusted=True), late.polls_from(0, trusted=True)) == (100, 150)
    assert late.talks_from(550, trusted=True) == 600 + CROWD_SECONDS
    # What was going on when it was compiled is not put off.
    assert table(PERIODS, late=1.0, **{"from": 100}).polls_from(100, trusted=True) == 100


moments = st.integers(0, 1000)


@st.composite
def intervals(draw):
    edges = sorted(draw(st.lists(moments, unique=True, max_size=12)))
    return [list(pair) for pair in zip(edges[::2], edges[1::2], strict=False)]


@pytest.mark.requirement("OFF-2", "OFF-3")
@given(intervals() | st.none(), intervals(), moments, st.booleans())
def test_the_next_poll_is_the_first_instant_that_is_allowed(polls, downtime, now, trusted):
    of = table(polls, downtime)
    first = of.polls_from(now, trusted=trusted)
    allowed = [each for each in range(now, 1001) if of.may_poll(each, trusted=trusted)]
    assert min(allowed, default=NEVER) == first
    if first == now:
        assert all(of.may_poll(each, trusted=trusted) for each in range(now, int(min(of.closes(now), 1000))))


@given(intervals(), intervals(), moments, st.floats(0, 1))
def test_whoever_is_late_is_never_where_nobody_may_be(polls, downtime, now, late):
    if table(polls, downtime, late=late).may_poll(now, trusted=True):
        assert table(polls, downtime).may_poll(now, trusted=True)
