"""When this site may be in contact: what a round has compiled from the policy, as plain numbers.

The policy (days, time zones, summer time) is read by rounds alone; they leave a timetable in the store, and
here its numbers are compared with the time of day. All times are unix seconds, intervals are half open:

    {"poll": 60.0, "report": 3600.0 | null, "polls": null | [[a, b], …], "downtime": [[a, b], …],
     "from": t, "until": t}

`polls` are the periods in which polling is allowed (null: always), `downtime` when there is no contact at
all. Nothing is known before `from` and from `until` on: a round has to compile it anew.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
from bisect import bisect_right

TIMETABLE = "timetable"
"""The meta name under which a round leaves it."""

POLL_SECONDS = 60.0
REPORT_SECONDS = 3600.0
NEVER = float("inf")
CROWD_SECONDS = 60.0
"""Over which a fleet spreads where contact begins for all of it in one instant."""

Intervals = list[tuple[float, float]]


class Timetable:
    """One timetable; `trusted` says at each question whether the time of day is believed.

    A clock that is not believed opens no polling period and begins no downtime. `late` (0 to 1) is this
    device's place in the crowd: where contact begins for a whole fleet in one instant, it is so much later.
    """

    __slots__ = ("begin", "downtime", "end", "poll", "polls", "report")

    def __init__(self, text: str | None = None, *, late: float = 0.0) -> None:
        told = json.loads(text) if text else {}
        self.poll = float(told.get("poll", POLL_SECONDS))
        report = told.get("report", REPORT_SECONDS)
        self.report = NEVER if report is None else float(report)
        self.begin = float(told.get("from", -NEVER))
        self.end = float(told.get("until", NEVER))
        crowd = min(self.poll, CROWD_SECONDS) * late
        self.downtime: Intervals = [(start, end + crowd) for start, end in told.get("downtime") or ()]
        self.polls: Intervals | None = None
        if told.get("polls") is not None:
            self.polls = [
                (start + min(crowd, (end - start) / 2) * (start > self.begin), end)
                for start, end in told["polls"]
            ]

    def knows(self, now: float) -> bool:
        """Whether this timetable reaches to `now`."""
        return self.begin <= now < self.end

    def may_talk(self, now: float, *, trusted: bool) -> bool:
        """Whether there may be any contact at all (spec: OFF-2)."""
        return not (trusted and _current(self.downtime, now))

    def may_poll(self, now: float, *, trusted: bool) -> bool:
        """Whether desired state may be asked for (spec: OFF-3)."""
        if self.polls is None:
            return self.may_talk(now, trusted=trusted)
        return trusted and _current(self.polls, now) is not None and self.may_talk(now, trusted=trusted)

    def closes(self, now: float) -> float:
        """Return when the time in which polling is allowed ends, `now` being within it."""
        ends = [_next_start(self.downtime, now)]
        if self.polls is not None:
            current = _current(self.polls, now)
            ends.append(now if current is None else current[1])
        return min(ends)

    def talks_from(self, now: float, *, trusted: bool) -> float:
        """Return the first instant from `now` on at which contact is allowed."""
        current = _current(self.downtime, now) if trusted else None
        return now if current is None else current[1]

    def polls_from(self, now: float, *, trusted: bool) -> float:
        """Return the first instant from `now` on at which polling is allowed; NEVER where none is known."""
        if self.polls is None:
            return self.talks_from(now, trusted=trusted)
        if not trusted:
            return NEVER
        for start, end in self.polls[max(bisect_right(self.polls, (now, NEVER)) - 1, 0) :]:
            first = self.talks_from(max(start, now), trusted=True)
            if first < end:
                return first
        return NEVER


def _current(intervals: Intervals, now: float) -> tuple[float, float] | None:
    """Return the interval `now` is in; they are sorted and apart from each other."""
    index = bisect_right(intervals, (now, NEVER)) - 1
    return intervals[index] if index >= 0 and now < intervals[index][1] else None


def _next_start(intervals: Intervals, now: float) -> float:
    index = bisect_right(intervals, (now, NEVER))
    return intervals[index][0] if index < len(intervals) else NEVER
