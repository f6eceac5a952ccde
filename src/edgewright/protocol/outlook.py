"""What a policy brings in the time ahead: when each of its lists is open, what the clocks' changes do to it,
and what in it may not be meant. Pure; the moment is handed in."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import inf
from typing import Final

from edgewright.protocol.calendar import DAY, Dated, Interval, Span, Weekly, intervals, stretches
from edgewright.protocol.durations import length
from edgewright.protocol.policy import HORIZON, Policy, polling

POLLING: Final = "polling"
_PERIODS, _DOWNTIME, _WINDOWS, _PREFETCH = "polling.periods", "downtime", "apply.windows", "apply.prefetch"
_WEEK_AND_A_DAY: Final = 8 * DAY
_ENDLESS: Final = 10 * HORIZON

Parts = Callable[[float, float], tuple[Interval, ...]]
"""When something is open between two moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """A night on which the clock is changed, and what that does to one span of the list `where`.

    `at` is the instant of the jump, `by` by how many seconds the clock goes forward (or back, below 0). A
    weekly span is open for `seconds` around it instead of `usual`; a dated one begins or ends in the jump,
    and both are None.
    """

    where: str
    span: Span
    at: float
    by: int
    seconds: int | None = None
    usual: int | None = None


def spans_of(policy: Policy) -> dict[str, Sequence[Span]]:
    """Return every list of spans of `policy` by its dotted path, the empty ones left out."""
    prefetch = policy.apply.prefetch
    every: dict[str, Sequence[Span]] = {
        _PERIODS: policy.polling.periods,
        _DOWNTIME: policy.downtime,
        _WINDOWS: policy.apply.windows,
        _PREFETCH: () if isinstance(prefetch, str) else prefetch,
    }
    return {where: spans for where, spans in every.items() if spans}


def coming(policy: Policy, now: float, count: int) -> dict[str, tuple[Interval, ...]]:
    """Return the next `count` intervals of every list, from `now` on; of `POLLING` what downtime leaves.

    The one that is open begins at `now`. One that has no end within the horizon ends at infinity.
    """
    parts: dict[str, Parts] = {POLLING: partial(polling, policy)}
    for where, spans in spans_of(policy).items():
        if where != _PERIODS:
            parts[where] = partial(intervals, spans)
    return {where: _next(each, now, count) for where, each in parts.items()}


def _next(parts: Parts, now: float, count: int) -> tuple[Interval, ...]:
    *found, last = parts(now, now + HORIZON)[:count] or (None,)
    if last is None:
        return ()
    if last[1] >= now + HORIZON:  # cut off there, so how long is it really?
        (_, end), *_ = parts(last[0], last[0] + _ENDLESS)
        last = last[0], inf if end >= last[0] + _ENDLESS else end
    return *found, last


def clock_changes(policy: Policy, now: float) -> tuple[ClockChange, ...]:
    """Return what the changes of clocks within the horizon do to spans, in order of time."""
    found = [
        change
        for where, spans in spans_of(policy).items()
        for span in spans
        for change in _changes_of(where, span, now)
    ]
    return tuple(sorted(found, key=lambda change: change.at))


def _changes_of(where: str, span: Span, now: float) -> Iterator[ClockChange]:
    for (_, at, before), (_, _, after) in pairwise(stretches(span.zone, now, now + HORIZON)):
        by, first = after - before, min(at + before, at + after)
        jump = (first, first + abs(by))  # on the wall: what is skipped, or shown twice
        match span:
            case Weekly() if span.times != ((0, DAY),):
                for usual, seconds in _lengths(span, jump, by):
                    yield ClockChange(where=where, span=span, at=at, by=by, seconds=seconds, usual=usual)
            case Dated() if jump[0] <= span.begin < jump[1] or jump[0] < span.end < jump[1]:
                yield ClockChange(where=where, span=span, at=at, by=by)


def _lengths(span: Weekly, jump: tuple[float, float], by: int) -> Iterator[tuple[int, int]]:
    """Yield (usual, now) lengths of each piece, as the wall shows it, that the jump falls into."""
    wall = Weekly(text=span.text, zone="UTC", days=span.days, times=span.times)
    for begin, end in wall.intervals(jump[0] - _WEEK_AND_A_DAY, jump[1] + _WEEK_AND_A_DAY):
        overlap = round(min(end, jump[1]) - max(begin, jump[0]))
        if overlap > 0:
            usual = round(end - begin)
            yield usual, usual - overlap if by > 0 else usual + overlap


def doubts(policy: Policy, now: float) -> tuple[str, ...]:
    """Return what in `policy` is allowed but may not be meant."""
    return tuple(_doubts(policy, now))


def _doubts(policy: Policy, now: float) -> Iterable[str]:
    for where, spans in spans_of(policy).items():
        for index, span in enumerate(spans):
            if not any(span.intervals(now, now + HORIZON)):
                is_over = isinstance(span, Dated) and span.interval[1] <= now
                told = "is over" if is_over else "does not come within 400 days"
                yield f"{where}[{index}] '{span}' {told}."
        for index, (first, second) in enumerate(pairwise(spans)):
            if _may_be_torn(first, second):
                yield (
                    f"{where}[{index}] is the whole day, and {where}[{index + 1}] is not. If that is one"
                    " entry that its comma has split, put it in quotes."
                )
    if not polling(policy, now, now + HORIZON):
        why = "no polling period is left" if policy.polling.periods else "the downtime does not end"
        yield f"The fleet manager is not asked at all within 400 days: {why}."
    windows = policy.apply.windows
    open_ones = intervals(windows, now, now + HORIZON)
    if windows and not open_ones:
        yield "No change can begin within 400 days, unless a person on site overrides it."
    valid = policy.apply.approval_valid.seconds
    widest = max((later[0] - earlier[1] for earlier, later in pairwise(open_ones)), default=0.0)
    if policy.apply.approval == "required" and widest > valid:
        yield (
            f"Windows are up to {length(widest)} apart, and an approval counts for {length(valid)}: one given"
            " soon after a window has expired before the next one opens (apply.approvalValid)."
        )
    if any(span.zone == "UTC" for spans in spans_of(policy).values() for span in spans):
        yield "Some times are in UTC, and few clocks on a wall are. 'timeZone: Europe/Berlin' says otherwise."


def _may_be_torn(first: Span, second: Span) -> bool:
    """Whether `[Sat, Sun 22:00-04:00]` may have been written, which are two entries in YAML."""
    whole_day = ((0, DAY),)
    return (
        isinstance(first, Weekly) and isinstance(second, Weekly) and first.times == whole_day != second.times
    )


def wall_at(change: ClockChange) -> tuple[str, str]:
    """Return what the clock of the zone shows just as it is changed, and what it shows then."""
    (_, _, before), (_, _, after), *_ = stretches(change.span.zone, change.at - 1, change.at + 1)
    return tuple(  # type: ignore[return-value]
        datetime.fromtimestamp(change.at + offset, UTC).strftime("%H:%M") for offset in (before, after)
    )
