"""A policy in words, for the person who has to live with it. Pure; one sentence says one thing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isinf
from typing import Final

from edgewright.protocol.calendar import DAY, HOUR, MINUTE, Dated, Span, Weekly
from edgewright.protocol.durations import length
from edgewright.protocol.policy import Policy
from edgewright.protocol.spans import DAYS

Topic = tuple[str, tuple[str, ...]]
"""What the sentences are about, and the sentences."""
_MOMENT: Final = "%a %d %b %Y %H:%M"


def in_words(policy: Policy) -> tuple[Topic, ...]:
    """Return what `policy` means, topic by topic."""
    return (
        ("polling", tuple(_polling(policy))),
        ("downtime", tuple(_downtime(policy))),
        ("changes", tuple(_changes(policy))),
        ("fetching", tuple(_fetching(policy))),
        ("failures", tuple(_failures(policy))),
        ("repairs", (_repairs(policy),)),
        ("reports", (_reports(policy),)),
    )


def span_in_words(span: Span) -> str:
    """Return when `span` is open: `Monday to Friday from 06:00 to 22:00 (Europe/Berlin)`."""
    match span:
        case Weekly():
            return f"{_days_and_times(span)} ({span.zone})"
        case Dated():
            return f"from {_wall(span.begin)} to {_wall(span.end)} ({span.zone})"
    return str(span)


def _polling(policy: Policy) -> Iterable[str]:
    rate = _every(policy.polling.rate.seconds)
    if not policy.polling.periods:
        yield f"The fleet manager is asked for news {rate}, day and night."
        return
    yield f"The fleet manager is asked for news {rate}, but only"
    yield f"{_listed(policy.polling.periods)}."


def _downtime(policy: Policy) -> Iterable[str]:
    if not policy.downtime:
        yield "None is planned."
        return
    yield "There is no contact at all, and nobody misses it,"
    yield f"{_listed(policy.downtime)}."


def _changes(policy: Policy) -> Iterable[str]:
    apply = policy.apply
    if apply.approval == "required":
        yield "Each change waits until somebody on site has approved it."
        yield f"An approval that was not used within {length(apply.approval_valid.seconds)} has expired."
    if apply.windows:
        yield "Changes begin only"
        yield f"{_listed(apply.windows)}."
    elif apply.approval == "automatic":
        yield "Changes begin as soon as they are known, at any time, and ask nobody."
    else:
        yield "An approved change begins at once, at any time."


def _fetching(policy: Policy) -> Iterable[str]:
    match policy.apply.prefetch:
        case "always":
            yield "What a change needs is fetched as soon as it is known, also while the change waits."
        case "in-window" if policy.apply.windows:
            yield "What a change needs is fetched only when changes may begin."
        case "in-window":
            yield "What a change needs is fetched at any time: there are no windows."
        case spans:
            yield "What a waiting change needs is fetched only"
            yield f"{_listed(spans)}."


def _failures(policy: Policy) -> Iterable[str]:
    if policy.rollback.automatic:
        yield "After an update that fails, the last good version runs again by itself."
    else:
        yield "An update that fails is left as it is, for a person to look at."
    keep = policy.rollback.keep
    kept = (
        "No older version is"
        if keep == 0
        else "1 older version is"
        if keep == 1
        else f"{keep} older versions are"
    )
    yield f"{kept} kept on this device."


def _repairs(policy: Policy) -> str:
    if policy.repair == "automatic":
        return "What stops running is started again by itself."
    return "What stops running is reported and not touched."


def _reports(policy: Policy) -> str:
    rate = policy.report.rate.seconds
    if isinf(rate):
        return "Whatever changes is reported at once; the same is never reported twice."
    return f"Whatever changes is reported at once; what does not, {_every(rate)}."


def _listed(spans: Sequence[Span]) -> str:
    """Return the spans as one list; a zone that all share is named once."""
    words = [span_in_words(span) for span in spans]
    zones = {span.zone for span in spans}
    if len(zones) == 1:
        zone = f" ({zones.pop()})"
        words = [each.removesuffix(zone) for each in words]
        words[-1] += zone
    return ",\nand ".join(words)


def _days_and_times(span: Weekly) -> str:
    longest = max(end for _, end in span.times)
    if longest > 2 * DAY or (longest > DAY and len(span.days) == len(span.times) == 1):
        return " and ".join(_over_days(span))
    times = _and([_hours(*each) for each in span.times])
    days = _days(span.days)
    on = "" if days.startswith("every") or " to " in days else "on "
    return f"{on}{days} {times}" if times else f"{on}{days}, all day"


def _over_days(span: Weekly) -> Iterable[str]:
    for day in span.days:
        for begin, end in span.times:
            last = DAYS[(day + (end - 1) // DAY) % 7] if end % DAY == 0 else DAYS[(day + end // DAY) % 7]
            yield f"from {DAYS[day]} {_clock(begin)} to {last} {_clock(end % DAY or DAY)}"


def _hours(begin: int, end: int) -> str:
    if (begin, end) == (0, DAY):
        return ""
    tomorrow = " the next day" if end > DAY else ""
    return f"from {_clock(begin)} to {_clock(end if end <= DAY else end % DAY)}{tomorrow}"


def _days(days: Sequence[int]) -> str:
    """Return the names of `days`, three and more in a row as a range, also over the end of the week."""
    if len(days) == 7:
        return "every day"
    first = next(day for day in days if (day - 1) % 7 not in days)
    in_order = [day % 7 for day in range(first, first + 7) if day % 7 in days]
    rows: list[list[int]] = [[in_order[0]]]
    for before, day in pairwise(in_order):
        if day == (before + 1) % 7:
            rows[-1].append(day)
        else:
            rows.append([day])
    named: list[str] = []
    for row in rows:
        if len(row) > 2:
            named.append(f"{DAYS[row[0]]} to {DAYS[row[-1]]}")
        else:
            named += [DAYS[day] for day in row]
    return _and(named)


def _every(seconds: float) -> str:
    one = {MINUTE: "every minute", HOUR: "every hour", DAY: "every day"}
    return one.get(round(seconds), f"every {length(seconds)}")


def _and(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _clock(seconds: int) -> str:
    return f"{seconds // HOUR:02}:{seconds % HOUR // MINUTE:02}"


def _wall(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_MOMENT)
