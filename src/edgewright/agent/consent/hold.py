"""Hold: whether a change may begin now, and if not why, and until when. Pure; the time is handed in.

Only what would begin is asked about. What has begun goes on, what runs is repaired, and what failed is rolled
back, whatever the site has laid down: a hold never leaves an application half changed.

The order is that in which a person would have to deal with it: no policy, a pause, an approval, the clock,
the window. A clock that is not trusted opens no window, ends no pause and lets nothing expire.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.agent.consent.approvals import NOUNS, Approval
from edgewright.agent.consent.wishes import Pause
from edgewright.protocol.consent import Kind, Reason, Verdict

Interval = tuple[float, float]
"""Unix seconds, half open."""
_NOW_IN_SPITE = "'edgewright agent apply-now' lets it begin in spite of that"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A change that would begin: `digest` is that of what is wanted, for a removal of what runs.

    `seconds` is how long it took the last time, None where that is not known.
    """

    deployment_id: str
    name: str
    kind: Kind
    digest: str
    seconds: float | None = None

    @property
    def noun(self) -> str:
        """What kind of change it is, for people."""
        return NOUNS[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the site has laid down, as far as changes are concerned.

    `windows` and `prefetch` are when changes may begin and when what they need may be fetched, in order and
    apart from each other; None is always. `distrust` tells why the clock is not trusted, `problem` why there
    is no policy to go by; empty when all is well.
    """

    approval: bool = False
    windows: Sequence[Interval] | None = None
    prefetch: Sequence[Interval] | None = None
    pause: Pause | None = None
    distrust: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Why a change may not begin, as far as is known until `until`, and on which `approval` it depends.

    The message stays the same for as long as the reason does.
    """

    reason: Reason
    message: str
    until: float | None = None
    approval: int | None = None


def hold(subject: Subject, terms: Terms, approval: Approval | None, now: float) -> Held | None:
    """Return why `subject` may not begin at `now`, None when it may.

    `approval` is the standing one about it, if there is one.
    """
    return (
        _without_policy(terms)
        or _paused(terms, now)
        or _unapproved(subject, terms, approval, now)
        or _outside_windows(subject, terms, now)
    )


def hold_fetch(subject: Subject, terms: Terms, approval: Approval | None, now: float) -> Held | None:
    """Return why what `subject` needs may not be fetched at `now`, None when it may.

    Waiting for consent or for a window is the time to fetch; what was rejected is not wanted here.
    """
    held = _without_policy(terms) or _paused(terms, now)
    if held is None and approval is not None and approval.verdict is Verdict.REJECTED:
        held = _unapproved(subject, terms, approval, now)
    if held is not None or terms.prefetch is None:
        return held
    if terms.distrust:
        return _no_clock(terms, "no time to fetch what it needs")
    if any(start <= now < end for start, end in terms.prefetch):
        return None
    opens = next((start for start, _ in terms.prefetch if start > now), None)
    when = "never, as far as the policy tells" if opens is None else f"from {moment(opens)} on"
    return Held(reason=Reason.WINDOW, message=f"what it needs is fetched {when}", until=opens)


def _without_policy(terms: Terms) -> Held | None:
    if not terms.problem:
        return None
    return Held(
        reason=Reason.POLICY,
        message=f"the site's policy cannot be read, and there was none before: {terms.problem}",
    )


def _paused(terms: Terms, now: float) -> Held | None:
    pause = terms.pause
    if pause is None or is_over(pause.until, terms, now):
        return None
    until = "" if pause.until is None else f" until {moment(pause.until)}"
    return Held(
        reason=Reason.PAUSED,
        message=f"{pause.by} paused all changes{until}{_because(pause.reason)}",
        until=pause.until,
    )


def _unapproved(subject: Subject, terms: Terms, approval: Approval | None, now: float) -> Held | None:
    if not terms.approval:
        return None
    if approval is None or not concerns(approval, subject):
        message = f"the {subject.noun} needs the approval of somebody on site"
        return Held(reason=Reason.APPROVAL, message=message)
    number = approval.number
    if approval.verdict is Verdict.APPROVED and not is_over(approval.expires, terms, now):
        return None
    if approval.verdict is Verdict.REJECTED:
        message = f"{approval.by} rejected the {subject.noun} (approval {number}){_because(approval.reason)}"
        return Held(reason=Reason.REJECTED, message=message, approval=number)
    if approval.verdict is Verdict.POSTPONED and not is_over(approval.until, terms, now):
        assert approval.until is not None  # noqa: S101 - see `Approvals.decide`
        message = (
            f"{approval.by} postponed the {subject.noun} until {moment(approval.until)}"
            f" (approval {number}){_because(approval.reason)}"
        )
        return Held(reason=Reason.POSTPONED, message=message, until=approval.until, approval=number)
    message = (
        f"the {subject.noun} needs the approval of somebody on site"
        f" (approval {number}, asked {moment(approval.asked)})"
    )
    return Held(reason=Reason.APPROVAL, message=message, approval=number)


def concerns(approval: Approval, subject: Subject) -> bool:
    """Whether `approval` is about `subject`: another digest is another change."""
    is_removal = subject.kind is Kind.REMOVE
    return (approval.deployment_id, approval.digest, approval.is_removal) == (
        subject.deployment_id,
        subject.digest,
        is_removal,
    )


def _outside_windows(subject: Subject, terms: Terms, now: float) -> Held | None:
    if terms.windows is None:
        return None
    if terms.distrust:
        return _no_clock(terms, "no maintenance window")
    seconds = subject.seconds or 0.0
    to_come = [(max(start, now), end) for start, end in terms.windows if end > now]
    fitting = next((start for start, end in to_come if start + seconds <= end), None)
    if fitting == now:
        return None
    if not to_come:
        return Held(
            reason=Reason.WINDOW,
            message=f"the policy has no maintenance window within a year; {_NOW_IN_SPITE}",
        )
    if fitting == to_come[0][0]:
        return Held(
            reason=Reason.WINDOW,
            message=f"the {subject.noun} may begin in the maintenance window that opens {moment(fitting)}",
            until=fitting,
        )
    took = f"the {subject.noun} took {_in_words(seconds)} the last time"
    if fitting is None:
        message = f"{took}, and no maintenance window is that long; {_NOW_IN_SPITE}"
    else:
        message = f"{took}; the next maintenance window that is long enough opens {moment(fitting)}"
    return Held(reason=Reason.TOO_LONG, message=message, until=fitting)


def _no_clock(terms: Terms, what: str) -> Held:
    return Held(
        reason=Reason.CLOCK,
        message=f"the clock of this device is not trusted ({terms.distrust}), so {what} is known to be open",
    )


def is_over(until: float | None, terms: Terms, now: float) -> bool:
    """Whether the time `until` has come, as far as this device can know; None never comes."""
    return until is not None and not terms.distrust and now >= until


def moment(seconds: float) -> str:
    """Return unix `seconds` for people."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
