"""How it stands with a deployment: the desired version beside what its device last reported (spec: ST-25).

What a site holds back is told apart from what merely takes its time, while the device has not begun.
"""

from enum import StrEnum

from edgewright.protocol.consent import Reason
from edgewright.protocol.status import State


class Truth(StrEnum):
    """One word for people; `behind` outranks whatever state an older revision has."""

    WAITING = "waiting"
    BEHIND = "behind"
    WAITING_FOR_APPROVAL = "waiting-for-approval"
    HELD = "held"
    TAKING_UP = "taking-up"
    CONVERGED = "converged"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


# What a report about the present revision means for a deployment that is wanted. A device that says it
# removes what is wanted has to catch up again.
_WANTED = {
    State.PENDING: Truth.TAKING_UP,
    State.INSTALLING: Truth.TAKING_UP,
    State.INSTALLED: Truth.CONVERGED,
    State.FAILED: Truth.FAILED,
    State.REMOVING: Truth.BEHIND,
    State.REMOVED: Truth.BEHIND,
}


# What a site may hold back: nothing that has come to its end.
_UNDER_WAY = frozenset({Truth.WAITING, Truth.BEHIND, Truth.TAKING_UP, Truth.REMOVING})
_BEGUN = frozenset({State.INSTALLING, State.REMOVING})


def truth(
    changed_version: int,
    reported: tuple[State, int] | None,
    *,
    is_deleted: bool,
    held: Reason | None = None,
) -> Truth:
    """Return how it stands.

    `changed_version` is the version of the manifest that last changed this deployment, or dropped it if
    `is_deleted`; `reported` is state and adopted version of the last report, None if there was none.
    `held` is why the site holds back what is wanted now, if it does.
    """
    found = _truth(changed_version, reported, is_deleted=is_deleted)
    if held is None or found not in _UNDER_WAY or _has_begun(changed_version, reported):
        return found
    return Truth.WAITING_FOR_APPROVAL if held is Reason.APPROVAL else Truth.HELD


def _truth(changed_version: int, reported: tuple[State, int] | None, *, is_deleted: bool) -> Truth:
    if is_deleted:
        return _truth_of_removal(changed_version, reported)
    if reported is None:
        return Truth.WAITING
    state, adopted = reported
    return Truth.BEHIND if adopted < changed_version else _WANTED[state]


def _has_begun(changed_version: int, reported: tuple[State, int] | None) -> bool:
    """Whether the device has begun with what is wanted now, which no hold can stop."""
    return reported is not None and reported[0] in _BEGUN and reported[1] >= changed_version


def _truth_of_removal(changed_version: int, reported: tuple[State, int] | None) -> Truth:
    """Read a report about a deployment that is not wanted any more.

    `removed` counts whatever version it carries: the specification does not say which one that should be
    (spec: OP-19), and an id is never used twice.
    """
    match reported:
        case (State.REMOVED, _):
            return Truth.REMOVED
        case (State.FAILED, adopted) if adopted >= changed_version:
            return Truth.FAILED
    return Truth.REMOVING
