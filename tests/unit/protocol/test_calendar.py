"""Spans of time against an oracle that reads a wall clock again and again, and knows nothing of the code."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.calendar import Dated, Span, Weekly, instant, intervals, merged, open_at, without
from edgewright.protocol.spans import parse_span

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 7 * 86400
BERLIN = "Europe/Berlin"
ZONES = (
    "UTC",
    BERLIN,
    "America/New_York",
    "Australia/Sydney",  # summer in January
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",  # a quarter of an hour off
    "Africa/Casablanca",  # two changes more around Ramadan
    "America/Santiago",  # changes at midnight: some days begin at 01:00
    "America/Scoresbysund",  # was -1, is -2
    "Pacific/Apia",  # left out a whole day in 2011
    "Pacific/Kiritimati",
)
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def unix(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def minutes_of(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def wall_says(days: set[int], begin: int, end: int, zone: str, now: int) -> bool:
    """The oracle of a weekly span: what a person reads off a clock and a calendar on the wall; minutes."""
    shown = datetime.fromtimestamp(now, ZoneInfo(zone))
    minute, today = shown.hour * 60 + shown.minute, shown.weekday()
    if end > begin:
        return today in days and begin <= minute < end
    return (today in days and minute >= begin) or ((today - 1) % 7 in days and minute < end)


# Moments around which something happens to some clock, and some at which nothing does.
NIGHTS = [
    unix(night, "UTC")
    for night in (
        "2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2026-02-15",
        "2026-03-22", "2026-09-06", "2024-03-31", "2011-12-30", "2026-01-01", "2028-02-29", "1970-01-03",
    )
]  # fmt: skip

times = st.integers(0, 95).map(lambda quarter: quarter * 15)


@st.composite
def weekly(draw: st.DrawFn) -> tuple[str, set[int], int, int, str]:
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    begin, end = draw(times), draw(times)
    if begin == end:
        end = begin + 15
    zone = draw(st.sampled_from(ZONES))
    listed = ",".join(NAMES[day] for day in sorted(days))
    text = f"{listed} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} {zone}"
    return text, days, begin, end, zone


@pytest.mark.requirement("OFF-3", "S-23")
@given(weekly(), st.sampled_from(NIGHTS), st.integers(-3 * 1440, 3 * 1440))
def test_a_weekly_span_is_open_exactly_when_the_wall_clock_shows_a_time_within_it(span, night, shift):
    text, days, begin, end, zone = span
    parsed = parse_span(text)
    first = int(night) + shift * MINUTE
    moments = range(first, first + 2 * DAY, 5 * MINUTE)
    found = intervals([parsed], first, first + 2 * DAY)
    for now in moments:
        expected = wall_says(days, begin, end, zone, now)
        assert open_at([parsed], now) is expected
        assert any(opens <= now < closes for opens, closes in found) is expected


@given(weekly(), st.sampled_from(NIGHTS))
def test_every_edge_of_an_interval_is_where_the_span_really_opens_or_closes(span, night):
    parsed = parse_span(span[0])
    start, end = night - 8 * DAY, night + 8 * DAY
    found = intervals([parsed], start, end)
    for opens, closes in found:
        assert open_at([parsed], opens)
        assert opens == start or not open_at([parsed], opens - 0.001)
        assert open_at([parsed], closes - 0.001)
        assert closes == end or not open_at([parsed], closes)
    assert all(one[1] < other[0] for one, other in pairwise(found))


@st.composite
def dated(draw: st.DrawFn) -> tuple[str, str, datetime, datetime]:
    zone = draw(st.sampled_from(ZONES))
    base = datetime.fromtimestamp(draw(st.sampled_from(NIGHTS[:-1])), UTC).replace(tzinfo=None)
    begin = base + timedelta(minutes=15 * draw(st.integers(-200, 200)))
    end = begin + timedelta(minutes=15 * draw(st.integers(1, 300)))
    return f"{begin:%Y-%m-%d %H:%M} .. {end:%Y-%m-%d %H:%M} {zone}", zone, begin, end


@pytest.mark.requirement("OFF-2")
@given(dated())
def test_a_dated_span_begins_and_ends_when_the_wall_clock_first_gets_there_and_last_is_before_it(span):
    text, zone, begin, end = span
    ours = ZoneInfo(zone)
    around = range(int(begin.replace(tzinfo=UTC).timestamp()) - 2 * DAY, int(end.replace(tzinfo=UTC).timestamp()) + 2 * DAY, 5 * MINUTE)  # noqa: E501  # fmt: skip
    shown = [(now, datetime.fromtimestamp(now, ours).replace(tzinfo=None)) for now in around]
    # The first moment that shows the begin or later; the last that shows the end, or where the clocks jump
    # over that, the moment after the last that shows less.
    opens = next(now for now, wall in shown if wall >= begin)
    closes = next(now for now, wall in reversed(shown) if wall < end) + 5 * MINUTE
    closes = max([closes, *(now for now, wall in shown if wall == end)])
    expected = ((opens, closes),) if opens < closes else ()
    found = intervals([parse_span(text)], around[0], around[-1])
    assert found == expected


@pytest.mark.parametrize(
    ("text", "around", "expected"),
    [
        pytest.param("Sun 02:00-03:00", "2026-03-29", [], id="the skipped hour is never open"),
        pytest.param(
            "Sun 02:00-03:00",
            "2026-10-25",
            [("2026-10-25T00:00", "2026-10-25T02:00")],
            id="the repeated hour is open twice, one after the other",
        ),
        pytest.param(
            "Sun 02:15-02:45",
            "2026-10-25",
            [("2026-10-25T00:15", "2026-10-25T00:45"), ("2026-10-25T01:15", "2026-10-25T01:45")],
            id="half of it is open at two times",
        ),
        pytest.param(
            "Sat 22:00-04:00",
            "2026-03-28",
            [("2026-03-28T21:00", "2026-03-29T02:00")],
            id="a night with the skipped hour is an hour shorter",
        ),
        pytest.param(
            "Sun",
            "2026-10-25",
            [("2026-10-24T22:00", "2026-10-25T23:00")],
            id="the day with the repeated hour has 25",
        ),
        pytest.param(
            "2026-03-29 02:30 .. 2026-03-29 04:00",
            "2026-03-29",
            [("2026-03-29T01:00", "2026-03-29T02:00")],
            id="a skipped begin is the jump",
        ),
        pytest.param(
            "2026-10-25 02:30 .. 2026-10-25 02:45",
            "2026-10-25",
            [("2026-10-25T00:30", "2026-10-25T01:45")],
            id="of repeated times the first begins and the last ends",
        ),
    ],
)
def test_nights_on_which_the_clock_is_changed(text, around, expected):
    start = utc(around) - 6 * HOUR
    found = intervals([parse_span(text, BERLIN)], start, start + 42 * HOUR)
    assert [*found] == [(utc(opens), utc(closes)) for opens, closes in expected]


def test_lord_howe_repeats_half_an_hour():
    span = parse_span("Sun 01:30-02:00 Australia/Lord_Howe")
    [(opens, closes)] = intervals([span], utc("2026-04-04T12:00"), utc("2026-04-05T12:00"))
    assert closes - opens == HOUR


def test_a_day_that_a_zone_left_out_is_never_open():
    assert intervals([parse_span("2011-12-30 Pacific/Apia")], utc("2011-12-28"), utc("2012-01-02")) == ()


WRITTEN = [
    ("Mon-Fri 06:00-22:00", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("mon \u2013 fri 6:00 \u2013 22:00", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("Monday to Friday 06:00 to 22:00", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("weekdays 06:00-22:00", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("06:00-22:00 Mon-Fri", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("Mon-Fri: 06:00-22:00", {0, 1, 2, 3, 4}, [("06:00", "22:00")]),
    ("Mon-Fri 06:00-12:00, 13:00-17:00", {0, 1, 2, 3, 4}, [("06:00", "12:00"), ("13:00", "17:00")]),
    ("Sat,Sun 22:00-04:00", {5, 6}, [("22:00", "28:00")]),
    ("Sat and Sun 22:00-04:00", {5, 6}, [("22:00", "28:00")]),
    ("Sat/Sun 22:00-04:00", {5, 6}, [("22:00", "28:00")]),
    ("Sat,Sun 22:00h - 04:00 h", {5, 6}, [("22:00", "28:00")]),
    ("Sat, and Sun from 22:00 to 04:00", {5, 6}, [("22:00", "28:00")]),
    ("on Sat & Sun 22:00..04:00", {5, 6}, [("22:00", "28:00")]),
    ("Sat Sun 22:00-04:00", {5, 6}, [("22:00", "28:00")]),
    ("weekends 22:00-04:00", {5, 6}, [("22:00", "28:00")]),
    ("Tues, Thurs 01:00-02:00", {1, 3}, [("01:00", "02:00")]),
    ("every Saturday 02:00-05:00", {5}, [("02:00", "05:00")]),
    ("Saturdays 02:00-05:00", {5}, [("02:00", "05:00")]),
    ("daily 02:00-05:00", set(range(7)), [("02:00", "05:00")]),
    ("every day 02:00-05:00", set(range(7)), [("02:00", "05:00")]),
    ("Fri-Mon", {4, 5, 6, 0}, [("00:00", "24:00")]),
    ("Sat 22:00-24:00", {5}, [("22:00", "24:00")]),
    ("Sat 22:00-00:00", {5}, [("22:00", "24:00")]),
    ("Sat 00:00-24:00", {5}, [("00:00", "24:00")]),
    ("Mon-Wed,Fri 01:00-02:00", {0, 1, 2, 4}, [("01:00", "02:00")]),
    ("Fri 18:00 - Mon 06:00", {4}, [("18:00", "78:00")]),
    ("Fri 18:00-Mon 06:00", {4}, [("18:00", "78:00")]),
    ("Sun 22:00 .. Mon 04:00", {6}, [("22:00", "28:00")]),
]


@pytest.mark.parametrize(("text", "days", "hours"), WRITTEN, ids=[text for text, *_ in WRITTEN])
def test_a_week_may_be_written_as_people_do(text, days, hours):
    expected = tuple((minutes_of(begin) * MINUTE, minutes_of(end) * MINUTE) for begin, end in hours)
    span = Weekly(text="", zone="UTC", days=tuple(sorted(days)), times=expected)
    assert parse_span(text) == span
    assert parse_span(f"{text} {BERLIN}") == Weekly(text="", zone=BERLIN, days=span.days, times=expected)


DATES = [
    ("2026-12-24 12:00 .. 2027-01-02 06:00", "2026-12-24T12:00", "2027-01-02T06:00"),
    ("2026-12-24T12:00 .. 2027-01-02T06:00", "2026-12-24T12:00", "2027-01-02T06:00"),
    ("2026-12-24 12:00 - 2027-01-02 06:00", "2026-12-24T12:00", "2027-01-02T06:00"),
    ("2026-12-24 12:00 until 2027-01-02 06:00", "2026-12-24T12:00", "2027-01-02T06:00"),
    ("2026-12-24 12:00 … 2027-01-02 24:00", "2026-12-24T12:00", "2027-01-03T00:00"),
    ("2026-12-24 .. 2027-01-02", "2026-12-24T00:00", "2027-01-03T00:00"),
    ("2026-12-24 12:00 .. 2027-01-02", "2026-12-24T12:00", "2027-01-03T00:00"),
    ("2026-12-24", "2026-12-24T00:00", "2026-12-25T00:00"),
    ("2026-12-24 08:00-12:00", "2026-12-24T08:00", "2026-12-24T12:00"),
    ("2026-12-24 22:00-04:00", "2026-12-24T22:00", "2026-12-25T04:00"),
]


@pytest.mark.parametrize(("text", "begin", "end"), DATES, ids=[text for text, *_ in DATES])
def test_dates_may_be_written_as_people_do(text, begin, end):
    assert parse_span(text) == Dated(text="", zone="UTC", begin=int(utc(begin)), end=int(utc(end)))


REFUSED = [
    ("Mo-Fr 06:00-22:00", "'Mo' is no day; the days are Mon, Tue"),
    ("Mon-Fri 6-22", "times have minutes (06:00-22:00)"),
    ("Mon 6am-7pm", "from 00:00 to 24:00"),
    ("Mon 6:00am-7:00 pm", "from 00:00 to 24:00"),
    ("Mon-Fri 06:00", "not when it ends"),
    ("Mon 24:00-02:00", "24:00 can only be an end"),
    ("Mon 25:00-26:00", "'25:00' is no time of day"),
    ("Mon 06:60-07:00", "'06:60' is no time of day"),
    ("Mon 06:00-06:00", "for a whole day leave the times out"),
    ("Mon-Mon 06:00-07:00", "is one day or seven"),
    ("13:00-17:00", "names no day: 'daily 13:00-17:00'?"),
    ("Mon 06:00 - Mon 06:00", "the same moment of the week"),
    ("weekdays-Sat 06:00-07:00", "'weekdays' is more than one day"),
    ("Mon-Thu 06:00-22:00, Fri 06:00-14:00", "make each an entry of its own"),
    ("Mon 06:00-22:00 Berlin", "did you mean Europe/Berlin?"),
    ("Mon 06:00-22:00 europe/berlin", "did you mean Europe/Berlin?"),
    ("Mon 06:00-22:00 Europe/Berln", "did you mean Europe/Berlin?"),
    ("Mon 06:00-22:00 America/New York", "did you mean America/New_York?"),
    ("Mon 06:00-22:00 CEST", "name it by its place"),
    ("Mon 06:00-22:00 Europe", "there is no time zone 'Europe'"),
    ("Mon 06:00-22:00 ../../../etc/passwd", "there is no time zone"),
    ("Mon 06:00-22:00 local", "could be any time zone"),
    ("Mon 06:00-22:00 UTC+1", "knows no summer time"),
    ("Mon 06:00-22:00 +01:00", "knows no summer time"),
    ("Europe/Berlin Mon 06:00-22:00", "a time zone comes last"),
    ("2026-12-24T12:00Z .. 2026-12-25T12:00Z", "a time zone comes last"),
    ("24.12.2026", "dates are year-month-day"),
    ("2026-02-30", "there is no date 2026-02-30"),
    ("0206-12-24", "is not between 1970 and 2199"),
    ("2027-01-02 .. 2026-12-24", "ends before it begins"),
    ("2026-12-24 12:00 ..", "dates have a begin and an end"),
    ("Sat 2026-12-26", "a date and a day of the week"),
    ("", "neither a day nor a time"),
    ("Europe/Berlin", "neither a day nor a time"),
    ("always", "for always leave the list empty"),
    ("24/7", "for always leave the list empty"),
    ("Mon 06:00:00-07:00:00", "times are hours and minutes"),
    ("0 6 * * 1-5", "neither a time such as 06:00"),
    ("x" * 300, "longer than 200 characters"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED, ids=[text[:40] or "nothing" for text, _ in REFUSED])
def test_what_is_not_understood_is_refused_with_what_to_write(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_span(text)


words = st.sampled_from(
    [
        *NAMES,
        "-",
        "..",
        ",",
        "06:00",
        "24:00",
        "2026-12-24",
        "daily",
        "to",
        BERLIN,
        "UTC",
        "Mo",
        "6",
        "/",
        "T",
        "+1",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(words, max_size=9).map(" ".join), st.lists(words, max_size=9).map("".join)))  # noqa: E501  # fmt: skip
def test_any_text_is_either_a_span_that_reads_the_same_again_or_refused(text):
    try:
        span = parse_span(text)
    except ValueError:
        return
    assert isinstance(span, Span)
    assert parse_span(str(span)) == span


def test_a_machine_without_time_zone_data_knows_utc_and_says_what_is_missing(monkeypatch):
    from edgewright.protocol import zones

    def nothing(name: str) -> ZoneInfo:
        raise KeyError(name)

    zones.zone_of.cache_clear()
    monkeypatch.setattr(zones, "ZoneInfo", nothing)
    monkeypatch.setattr(zones, "available_timezones", set)
    assert parse_span("daily 02:00-05:00 UTC")
    with pytest.raises(ValueError, match="no time zone data"):
        parse_span("daily 02:00-05:00 Europe/Berlin")
    zones.zone_of.cache_clear()


edges = st.integers(0, 40)
parts = st.lists(st.tuples(edges, edges).filter(lambda part: part[0] < part[1]), max_size=6).map(merged)


@given(parts, parts)
def test_taking_away_leaves_exactly_what_is_in_the_one_and_not_in_the_other(whole, holes):
    left = without(whole, holes)
    for now in range(41):
        within = [any(begin <= now < end for begin, end in each) for each in (left, whole, holes)]
        assert within[0] is (within[1] and not within[2])
    assert left == merged(left)


def test_spans_that_touch_are_one_interval():
    spans = [
        parse_span("daily 06:00-12:00"),
        parse_span("daily 12:00-13:00"),
        parse_span("daily 12:30-14:00"),
    ]
    assert intervals(spans, 0, DAY) == ((6 * HOUR, 14 * HOUR),)


def test_the_jump_is_what_a_skipped_wall_time_means():
    wall = utc("2026-03-29T02:30")
    assert instant(BERLIN, wall) == instant(BERLIN, wall, last=True) == utc("2026-03-29T01:00")
