"""How it stands with a deployment: the desired version beside what its device last reported (spec: ST-25)."""

from enum import StrEnum

from edgewright.protocol.status import State


class Truth(StrEnum):
    """One word for people; `behind` outranks whatever state an older revision has."""

    WAITING = "waiting"
    BEHIND = "behind"
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


def truth(changed_version: int, reported: tuple[State, int] | None, *, is_deleted: bool) -> Truth:
    """Return how it stands.

    `changed_version` is the version of the manifest that last changed this deployment, or dropped it if
    `is_deleted`; `reported` is state and adopted version of the last report, None if there was none.
    """
    if is_deleted:
        return _truth_of_removal(changed_version, reported)
    if reported is None:
        return Truth.WAITING
    state, adopted = reported
    return Truth.BEHIND if adopted < changed_version else _WANTED[state]


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
