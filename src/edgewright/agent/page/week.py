"""The coming week as a picture: a bar a day, with when the fleet manager is asked and when changes may start.

Pure: intervals of unix seconds in, SVG out. A day is as long as the wall clock makes it, 23 to 25 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from edgewright.agent.page.html import Html, element

Interval = tuple[float, float]
DAYS: Final = 7
WIDTH: Final = 1440
_TRACK: Final = 10
_GAP: Final = 4
_HEIGHT: Final = 2 * _TRACK + _GAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """What is drawn; None is always. `downtime` is when nothing is sent or asked."""

    polls: Sequence[Interval] | None = None
    changes: Sequence[Interval] | None = None
    downtime: Sequence[Interval] = ()


@dataclass(frozen=True, slots=True)
class Day:
    """One day on the wall: from midnight to midnight, in unix seconds."""

    name: str
    date: str
    start: float
    end: float

    def within(self, intervals: Iterable[Interval] | None) -> list[Interval]:
        """Return the parts of `intervals` on this day; all of it for None."""
        if intervals is None:
            return [(self.start, self.end)]
        cut = [(max(start, self.start), min(end, self.end)) for start, end in intervals]
        return [(start, end) for start, end in cut if start < end]


def days(now: float, zone: tzinfo, count: int = DAYS) -> list[Day]:
    """Return today and the days after it, as clocks in `zone` show them."""
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    midnights = [(today + timedelta(days=each)).replace(fold=0) for each in range(count + 1)]
    return [
        Day(f"{start:%a}", f"{start.day}", start.timestamp(), end.timestamp())
        for start, end in pairwise(midnights)
    ]


def draw(week: Week, now: float, zone: tzinfo) -> Html:
    """Return the week as rows of days, with a scale of hours."""
    rows = [_row(week, each, now, zone) for each in days(now, zone)]
    hours = [element("span", f"{each:02}") for each in (0, 6, 12, 18, 24)]
    scale = element("div", element("div", *hours, class_="hours"), class_="scale", aria_hidden="true")
    return element("div", rows, scale, class_="week")


def _row(week: Week, day: Day, now: float, zone: tzinfo) -> Html:
    is_today = day.start <= now < day.end
    label = element("span", element("b", day.name), " ", day.date, class_="day")
    return element("div", label, _bar(week, day, now, zone), class_="row today" if is_today else "row")


def _bar(week: Week, day: Day, now: float, zone: tzinfo) -> Html:
    silent = day.within(week.downtime)
    shapes = [
        element("rect", class_="track", x=0, y=0, width=WIDTH, height=_TRACK, rx=3),
        element("rect", class_="track", x=0, y=_TRACK + _GAP, width=WIDTH, height=_TRACK, rx=3),
        *(_rect(day, each, "polls", 0, _TRACK) for each in day.within(week.polls)),
        *(_rect(day, each, "changes", _TRACK + _GAP, _TRACK) for each in day.within(week.changes)),
        *(_rect(day, each, "downtime", 0, _TRACK) for each in silent),
    ]
    if day.start <= now < day.end:
        shapes.append(element("rect", class_="now", x=_x(day, now) - 2, y=-2, width=5, height=_HEIGHT + 4))
    return element(
        "svg",
        element("title", told(week, day, zone)),
        shapes,
        viewBox=f"0 -2 {WIDTH} {_HEIGHT + 4}",
        preserveAspectRatio="none",
        role="img",
    )


def told(week: Week, day: Day, zone: tzinfo) -> str:
    """Return what the picture of `day` says, in words."""
    parts = [
        f"asks the fleet manager {_times(day.within(week.polls), day, zone)}",
        f"changes may start {_times(day.within(week.changes), day, zone)}",
    ]
    silent = day.within(week.downtime)
    if silent:
        parts.append(f"planned downtime {_times(silent, day, zone)}")
    return f"{day.name} {day.date}: {'; '.join(parts)}"


def _times(intervals: Sequence[Interval], day: Day, zone: tzinfo) -> str:
    if not intervals:
        return "never"
    if list(intervals) == [(day.start, day.end)]:
        return "all day"
    return ", ".join(f"{_clock(start, day, zone)}-{_clock(end, day, zone)}" for start, end in intervals)


def _clock(moment: float, day: Day, zone: tzinfo) -> str:
    return "24:00" if moment == day.end else f"{datetime.fromtimestamp(moment, zone):%H:%M}"


def _rect(day: Day, interval: Interval, kind: str, top: int, height: int) -> Html:
    start, end = _x(day, interval[0]), _x(day, interval[1])
    return element("rect", class_=kind, x=start, y=top, width=max(end - start, 4), height=height, rx=3)


def _x(day: Day, moment: float) -> int:
    return round((moment - day.start) / (day.end - day.start) * WIDTH)
