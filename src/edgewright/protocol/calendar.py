"""When: spans of time as a site writes them, and the instants they mean. Pure; the time is always handed in.

A weekly span is open whenever a clock on the wall in its zone shows a time within it. So an hour that summer
time skips is never open, and one that is repeated is open twice. A dated span is open between two instants:
a wall time that is skipped means the instant of the jump; of one that is repeated the first is meant where
the span begins, and the last where it ends. Every interval is half open, in unix seconds.

How spans are written is in `spans.py`. Between two changes of a zone's offset the wall runs evenly,
so all arithmetic here is on *wall seconds*: unix seconds plus the offset, as if the wall were in UTC.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import floor
from typing import Final

from edgewright.protocol.zones import offset_at

Interval = tuple[float, float]
"""From a moment up to, and without, another; unix seconds."""
Stretch = tuple[float, float, int]
"""An interval in which a zone's offset, in seconds, is the same."""

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
_MONDAY: Final = 4 * DAY  # 1970-01-05, the first Monday of the wall's seconds
_STEP: Final = 6 * HOUR  # no zone changes its offset and back again within so short a time
_WIDEST_JUMP: Final = 2 * DAY  # Samoa left out a whole day


class Span:
    """One entry of a list of times: `Weekly` or `Dated`. `text` is it as written, always with its zone."""

    __slots__ = ()
    text: str
    zone: str

    def open_at(self, now: float) -> bool:
        """Whether `now` is within the span."""
        raise NotImplementedError

    def intervals(self, start: float, end: float) -> Iterator[Interval]:
        """Yield when the span is open between `start` and `end`, in any order and not merged."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly(Span):
    """Open on `days` (0 is Monday) at `times`: (begin, end) in seconds of the day it begins on.

    An end beyond 24 hours lies on a later day; no time is longer than a week.
    """

    text: str = field(compare=False)
    zone: str
    days: tuple[int, ...]
    times: tuple[tuple[int, int], ...]

    @property
    def pieces(self) -> Iterator[tuple[int, int]]:
        """The parts of a week it is open in, in seconds from its Monday; some may reach into the next."""
        return ((day * DAY + begin, day * DAY + end) for day in self.days for begin, end in self.times)

    def open_at(self, now: float) -> bool:
        """Whether the clock on the wall shows a time within the span at `now`."""
        shown = (now + offset_at(self.zone, now) - _MONDAY) % WEEK
        return any(begin <= shown < end or begin <= shown + WEEK < end for begin, end in self.pieces)

    def intervals(self, start: float, end: float) -> Iterator[Interval]:
        """Yield each piece of each week, moved from the wall to what it means."""
        pieces = tuple(self.pieces)
        for begin, finish, offset in stretches(self.zone, start, end):
            week = _MONDAY + floor((begin + offset - _MONDAY) / WEEK - 1) * WEEK
            while week < finish + offset:
                for first, last in pieces:
                    opened, closed = max(week + first - offset, begin), min(week + last - offset, finish)
                    if opened < closed:
                        yield opened, closed
                week += WEEK


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated(Span):
    """Open from one wall time to another, both in wall seconds."""

    text: str = field(compare=False)
    zone: str
    begin: int
    end: int

    @property
    def interval(self) -> Interval:
        """The instants it begins and ends at."""
        return instant(self.zone, self.begin), instant(self.zone, self.end, last=True)

    def open_at(self, now: float) -> bool:
        """Whether `now` is between both instants."""
        begin, end = self.interval
        return begin <= now < end

    def intervals(self, start: float, end: float) -> Iterator[Interval]:
        """Yield the one interval, if any of it is between `start` and `end`."""
        begin, finish = self.interval
        if max(begin, start) < min(finish, end):
            yield max(begin, start), min(finish, end)


def open_at(spans: Iterable[Span], now: float) -> bool:
    """Whether any of `spans` is open at `now`; nothing is where there are none."""
    return any(span.open_at(now) for span in spans)


def intervals(spans: Iterable[Span], start: float, end: float) -> tuple[Interval, ...]:
    """Return when any of `spans` is open from `start` to `end`: in order, none touching another."""
    return merged(each for span in spans for each in span.intervals(start, end))


def merged(parts: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return `parts` in order, those that overlap or touch as one."""
    joined: list[Interval] = []
    for begin, end in sorted(parts):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return tuple(joined)


def without(parts: Iterable[Interval], holes: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return what is left of `parts` (merged ones) when `holes` (merged ones) are taken away."""
    left: list[Interval] = []
    for begin, end in parts:
        for opens, closes in holes:
            if closes <= begin or opens >= end:
                continue
            if begin < opens:
                left.append((begin, opens))
            begin = max(begin, closes)  # noqa: PLW2901 - what is still left of this part
        if begin < end:
            left.append((begin, end))
    return tuple(left)


def stretches(zone: str, start: float, end: float) -> Iterator[Stretch]:
    """Yield the stretches of one offset that `start` to `end` consists of."""
    begin, at, offset = start, start, offset_at(zone, start)
    while at < end:
        ahead = min(at + _STEP, end)
        if offset_at(zone, ahead) == offset:
            at = ahead
            continue
        at = _jump(zone, floor(at), floor(ahead))
        yield begin, at, offset
        begin, offset = at, offset_at(zone, at)
    if begin < end:
        yield begin, end, offset


@lru_cache(maxsize=1024)
def instant(zone: str, wall: float, *, last: bool = False) -> float:
    """Return when the wall shows `wall`: the first time, or the `last`; where it never does, the jump."""
    near = tuple(stretches(zone, wall - _WIDEST_JUMP, wall + _WIDEST_JUMP))
    shown = [wall - offset for begin, end, offset in near if begin <= wall - offset < end]
    if shown:
        return shown[-1 if last else 0]
    return next(begin for begin, _, offset in near if begin + offset > wall)


def _jump(zone: str, before: int, after: int) -> int:
    """Return the second at which the offset is another than `before`, for the first time found."""
    offset = offset_at(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if offset_at(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after
