"""Whether a device is in contact: when it was heard of, held against when its site lets it speak.

Pure; the time is handed in, all times are unix seconds. A device is never called silent for a time in which
its policy keeps it from speaking, or in which nobody listened here; and it is never said to be in contact
because it once was. Silence counts in *time to speak*: what its polling periods allow, without downtime.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

import msgspec

from edgewright.protocol.calendar import DAY, Interval, merged, open_at, without
from edgewright.protocol.durations import Duration
from edgewright.protocol.policy import Policy, Polling
from edgewright.server.domain.hours import Hours

# A device whose polls are held back, or that spreads them out, is later by so much; two polls may be lost.
LATE_SECONDS: Final = 90.0
# A device that has announced nothing, another vendor's for example, polls as it likes.
UNKNOWN_SECONDS: Final = 600.0
# Who could not reach this server tries again within five minutes (agent/backoff.py).
RETURN_SECONDS: Final = 330.0
# A device whose waiting poll was cut is back within seconds if it can be; that it is not is worth a word.
CUT_SECONDS: Final = 20.0
# A device that let two whole periods go by is missing, however short they are.
_MISSED_PERIODS: Final = 2
_NEAR: Final = 8 * DAY


class Contact(StrEnum):
    """One word for people. `expected`: its planned silence, or ours, is over, or its connection broke, and it
    is about to speak.
    """

    IN_CONTACT = "in-contact"
    PLANNED_SILENCE = "planned-silence"
    EXPECTED = "expected"
    SILENT = "silent"
    NEVER = "never"


class Why(StrEnum):
    """What keeps a device silent as planned, or why it is expected although it was heard of just now."""

    DOWNTIME = "downtime"
    PERIODS = "polling-periods"
    CUT = "connection-broke"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactState:
    """The word, and what goes with it.

    `since` is when a silent device was overdue; `until` is when planned silence ends (None: nobody knows) or
    by when an expected device should have spoken.
    """

    word: Contact
    since: float | None = None
    until: float | None = None
    why: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """When a device speaks by itself: in these `hours`; `patience` seconds of them in silence are fine."""

    hours: Hours
    patience: float


UNANNOUNCED: Final = Announced(hours=Hours(Policy()), patience=UNKNOWN_SECONDS)


def announced(policy: Policy | None, *, is_clock_trusted: bool) -> Announced:
    """Return what to expect of a device with this policy in force, None for one that never told.

    A device that does not trust its clock knows no downtime, and where it has polling periods it
    polls in none of them until somebody helps: that is silence, and nobody's plan.
    """
    if policy is None:
        return UNANNOUNCED
    patience = 2 * policy.polling.rate.seconds + LATE_SECONDS
    if not is_clock_trusted:
        rate = Duration(policy.polling.rate.text)
        policy = msgspec.structs.replace(policy, polling=Polling(rate=rate), downtime=())
    return Announced(hours=Hours(policy), patience=patience)


def contact(
    last: float | None,
    expected: Announced,
    now: float,
    *,
    deaf: Sequence[Interval] = (),
    cut: float | None = None,
) -> ContactState:
    """Return how it stands with a device heard of at `last`; `deaf` is when this server did not listen.

    `cut` is when the connection broke on which the device waited for news, if it was not heard of since.
    """
    if last is None:
        return ContactState(word=Contact.NEVER)
    # No patience ends before it has gone by on the clock, and most devices were heard of just now.
    is_fresh = now - last < expected.patience
    is_cut = cut is not None and now - cut >= CUT_SECONDS
    due = _overdue(last, expected, now, deaf) if is_cut or not is_fresh else None
    if due is not None and due <= now:
        return ContactState(word=Contact.SILENT, since=due)
    opens = expected.hours.opens(now)
    if opens != now:
        why = Why.DOWNTIME if open_at(expected.hours.policy.downtime, now) else Why.PERIODS
        return ContactState(word=Contact.PLANNED_SILENCE, until=opens, why=why)
    if is_fresh and not is_cut:
        return ContactState(word=Contact.IN_CONTACT)
    return ContactState(word=Contact.EXPECTED, until=due, why=Why.CUT if is_cut else None)


def stays(
    found: ContactState, last: float | None, expected: Announced, now: float, *, cut: float | None = None
) -> float:
    """Return until when `found`, which `contact` said at `now`, is true if nothing more is heard: or a
    moment before that, when it is worth looking again.
    """
    match found.word:
        case Contact.NEVER | Contact.SILENT:
            return inf
        case Contact.IN_CONTACT:
            assert last is not None  # noqa: S101 - or nobody would be in contact
            believed = inf if cut is None else cut + CUT_SECONDS
            return min(last + expected.patience, believed, expected.hours.changes(now))
        case Contact.EXPECTED if found.until is not None:
            return min(found.until, expected.hours.changes(now))
    return expected.hours.changes(now)


def _overdue(last: float, expected: Announced, now: float, deaf: Sequence[Interval]) -> float | None:
    """Return when patience with a device heard of at `last` ends, or None if not within days from `now`."""
    if expected.hours.are_always and not any(end + RETURN_SECONDS > last for _, end in deaf):
        return last + expected.patience
    unheard = merged((begin, end + RETURN_SECONDS) for begin, end in deaf)
    for end in (last + _NEAR, max(last, now) + _NEAR):
        found = _spent(expected.hours.between(last, end), last, end, expected.patience, unheard)
        if found is not None:
            return found
    return None


def _spent(
    periods: Sequence[Interval], last: float, end: float, patience: float, unheard: Sequence[Interval]
) -> float | None:
    """Return when `patience` seconds of `periods`, which reach from `last` to `end`, have gone by.

    Or when as many whole ones have as are too many, if that took as long.
    """
    left, missed = patience, 0
    for period in periods:
        heard = without([period], unheard)
        for begin, finish in heard:
            if finish - begin >= left:
                return begin + left
            left -= finish - begin
        if heard == (period,) and last < period[0] and period[1] < end:
            missed += 1
        if missed >= _MISSED_PERIODS and period[1] - last >= patience:
            return period[1]
    return None
