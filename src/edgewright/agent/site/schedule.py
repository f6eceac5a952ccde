"""What the policy in force means for the coming days: when to ask the fleet manager, when changes may start.

Pure: the time is handed in. Times come out as ISO 8601 in UTC, for people to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edgewright.protocol.calendar import DAY, Interval, Span, intervals, open_at
from edgewright.protocol.policy import Policy, may_apply, next_poll, next_window, polling

DAYS: Final = 8
_ALWAYS_SECONDS: Final = 390 * DAY
"""A window that has no end within the horizon is no window that ends."""


def schedule(policy: Policy, now: float, *, trusted: bool) -> dict[str, Any]:
    """Return when this device may do what, from the day before `now` on for a week; None is always.

    A clock that is not `trusted` opens nothing that depends on the time of day.
    """
    start, end = now - DAY, now + DAYS * DAY
    periods, windows, downtime = policy.polling.periods, policy.apply.windows, policy.downtime
    silent = _current(downtime, now) if trusted else None
    window = next_window(policy, now)
    may_change = may_apply(policy, now) and (trusted or not windows)
    is_polling = (not periods or (trusted and open_at(periods, now))) and silent is None
    return {
        "time_zone": zone_of_people(policy),
        "may_poll": is_polling,
        "poll_until": _poll_until(policy, now) if is_polling and trusted else None,
        "next_poll": None if is_polling or not trusted else _moment(next_poll(policy, now)),
        "downtime_until": None if silent is None else _moment(silent[1]),
        "may_change": may_change,
        "window_until": _end(window) if may_change else None,
        "next_window": None if may_change or not trusted or window is None else _moment(window[0]),
        "polls": _pairs(intervals(periods, start, end)) if periods else None,
        "windows": _pairs(intervals(windows, start, end)) if windows else None,
        "downtime": _pairs(intervals(downtime, start, end)),
    }


def zone_of_people(policy: Policy) -> str:
    """Return the time zone that people here live in: the file's, else that of the first time it names."""
    if policy.time_zone != "UTC":
        return policy.time_zone
    spans: Iterable[Span] = (*policy.apply.windows, *policy.polling.periods, *policy.downtime)
    return next((span.zone for span in spans), "UTC")


def _current(spans: Sequence[Span], now: float) -> Interval | None:
    if not open_at(spans, now):
        return None
    return next((each for each in intervals(spans, now, now + _ALWAYS_SECONDS)), None)


def _poll_until(policy: Policy, now: float) -> str | None:
    first = next(iter(polling(policy, now, now + DAYS * DAY)), None)
    return None if first is None or first[1] >= now + DAYS * DAY else _moment(first[1])


def _end(window: Interval | None) -> str | None:
    if window is None or window[1] - window[0] >= _ALWAYS_SECONDS:
        return None
    return _moment(window[1])


def _pairs(parts: Iterable[Interval]) -> list[list[str | None]]:
    return [[_moment(start), _moment(end)] for start, end in parts]


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()
