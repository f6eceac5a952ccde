"""What a policy means for the coming week, and what an approval would change, line by line."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.consent.difference import Change, changes
from edgewright.agent.site.moments import parse_moment
from edgewright.agent.site.schedule import schedule, zone_of_people
from edgewright.protocol.policy import Policy
from support.site_scene import SUMMARY

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 7, 3, 12, 0, tzinfo=BERLIN)


def policy(text):
    return Policy.parse(text.encode(), source="policy.yaml")


def seen(text, now=FRIDAY, trusted=True):
    found = schedule(policy(text), now.timestamp(), trusted=trusted)
    return {name: value for name, value in found.items() if name not in {"polls", "windows", "downtime"}}


def iso(*parts):
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC).isoformat()


@pytest.mark.requirement("OFF-3", "S-23")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", {"may_poll": True, "poll_until": None, "next_poll": None}, id="always"),
        pytest.param(
            "polling: {periods: [Mon-Fri 06:00-22:00 Europe/Berlin]}",
            {"may_poll": True, "poll_until": iso(2026, 7, 3, 22)},
            id="within a period",
        ),
        pytest.param(
            "polling: {periods: [Sat 08:00-10:00 Europe/Berlin]}",
            {"may_poll": False, "next_poll": iso(2026, 7, 4, 8)},
            id="between periods",
        ),
        pytest.param(
            "downtime: ['2026-07-03 06:00 .. 2026-07-05 06:00 Europe/Berlin']",
            {"may_poll": False, "downtime_until": iso(2026, 7, 5, 6), "next_poll": iso(2026, 7, 5, 6)},
            id="downtime",
        ),
        pytest.param("", {"may_change": True, "window_until": None, "next_window": None}, id="no windows"),
        pytest.param(
            "apply: {windows: [Sat 02:00-05:00 Europe/Berlin]}",
            {"may_change": False, "next_window": iso(2026, 7, 4, 2)},
            id="before a window",
        ),
        pytest.param(
            "apply: {windows: [Fri 11:00-13:00 Europe/Berlin]}",
            {"may_change": True, "window_until": iso(2026, 7, 3, 13)},
            id="in a window",
        ),
    ],
)
def test_what_may_be_done_now_and_when_next(text, said):
    found = seen(text)
    assert {name: found[name] for name in said} == said


@pytest.mark.parametrize(
    "member", ["polling: {periods: [daily 00:00-24:00]}", "apply: {windows: [daily 00:00-24:00]}"]
)
def test_a_clock_that_is_not_trusted_opens_nothing(member):
    found = seen(member, trusted=False)
    assert not (found["may_poll"] and found["may_change"])
    assert found["next_poll"] is None
    assert found["next_window"] is None


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        pytest.param("", "UTC", id="nobody says"),
        pytest.param("timeZone: America/Lima", "America/Lima", id="the file's"),
        pytest.param(
            "apply: {windows: [daily 02:00-03:00 Asia/Tokyo]}", "Asia/Tokyo", id="that of the first time"
        ),
    ],
)
def test_times_are_told_as_people_here_know_them(text, zone):
    assert zone_of_people(policy(text)) == zone


def test_a_summary_is_told_line_by_line():
    assert changes(SUMMARY) == [
        Change("web", "1.4.2", "1.5.0"),
        Change("cache", "", "7.2"),
        Change("parameter pollInterval", "30", "10"),
        Change("parameter apiToken", "(hidden)", "another value (hidden)"),
        Change("images of web", "registry.example/shop/web:1.4.2", "registry.example/shop/web:1.5.0"),
    ]


def test_a_summary_without_members_tells_nothing():
    assert changes({}) == []
    assert changes({"other": True}) == [Change("the rest of the deployment document", "as it is", "changed")]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2h", (2026, 7, 3, 14, 0)),
        ("1d12h", (2026, 7, 5, 0, 0)),
        ("90min", (2026, 7, 3, 13, 30)),
        ("18:00", (2026, 7, 3, 18, 0)),
        ("6:30", (2026, 7, 4, 6, 30)),
        ("tomorrow", (2026, 7, 4, 6, 0)),
        ("Tomorrow 14:15", (2026, 7, 4, 14, 15)),
        ("Mon", (2026, 7, 6, 6, 0)),
        ("friday 11:00", (2026, 7, 10, 11, 0)),
        ("fri 13:00", (2026, 7, 3, 13, 0)),
        ("2026-12-01 06:00", (2026, 12, 1, 6, 0)),
    ],
)
def test_moments_as_people_type_them(typed, meant):
    assert parse_moment(typed, FRIDAY) == datetime(*meant, tzinfo=BERLIN)


def test_two_hours_are_two_hours_also_in_the_night_in_which_the_clock_goes_forward():
    before = datetime(2026, 3, 29, 1, 30, tzinfo=BERLIN)
    assert parse_moment("2h", before).timestamp() - before.timestamp() == 2 * 3600


@pytest.mark.parametrize(
    "typed", ["", "soon", "25:00", "12:60", "mondays", "2026-13-01", "-1h", "someday 06:00"]
)
def test_what_is_no_moment_is_told(typed):
    with pytest.raises(ValueError, match="such as 2h, 18:00"):
        parse_moment(typed, FRIDAY)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_with_a_zone_or_refused(text):
    try:
        found = parse_moment(text, FRIDAY)
    except ValueError:
        return
    assert found.tzinfo is not None
