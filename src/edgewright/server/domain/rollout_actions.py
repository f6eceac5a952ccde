"""What a person can do to a rollout: each is a decision about values, and refuses what makes no sense."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from edgewright.server.domain.rollouts import (
    ENDED,
    Obstacle,
    Rollout,
    RolloutState,
    Step,
    StepState,
    sentence,
)
from edgewright.server.errors import ConflictError, Fault, InvalidError

Acted = tuple[Rollout, list[Step]]


def pause(rollout: Rollout, *, reason: str = "") -> Acted:
    """Begin with no further device until somebody resumes; who is under way goes on."""
    if rollout.state is not RolloutState.RUNNING:
        raise ConflictError(f"the rollout is {rollout.state}; only a running one can be paused")
    return replace(rollout, state=RolloutState.PAUSED, message=sentence("by a person", reason)), []


def resume(rollout: Rollout, steps: Sequence[Step]) -> Acted:
    """Go on; failures so far are accepted, and count neither as failures nor for the disruption budget."""
    if rollout.state not in {RolloutState.PAUSED, RolloutState.STOPPED}:
        raise ConflictError(f"the rollout is {rollout.state}; only a paused or stopped one can be resumed")
    return replace(rollout, state=RolloutState.RUNNING, message=""), _accepted(steps)


def proceed(rollout: Rollout, steps: Sequence[Step]) -> Acted:
    """Go on to all devices at once, without batches, soaks and pauses between; the budget still holds."""
    _refuse_ended(rollout)
    forward = replace(rollout, state=RolloutState.RUNNING, batch=max(rollout.batches, 1), message="")
    return forward, _accepted(steps) if rollout.state is RolloutState.STOPPED else []


def cancel(rollout: Rollout, steps: Sequence[Step], now: datetime, *, reason: str = "") -> Acted:
    """End the rollout; who has it or is under way keeps it, the others keep what they have."""
    _refuse_ended(rollout)
    return replace(
        rollout, state=RolloutState.CANCELLED, message=sentence("by a person", reason)
    ), _never_begun(steps, now, "the rollout was cancelled")


def supersede(rollout: Rollout, steps: Sequence[Step], now: datetime, *, by: int) -> Acted:
    """End the rollout because another revision, `by`, is rolled out from now on.

    One that has ended stays as it is; what was still watched of it is not watched any longer.
    """
    message = f"revision {by} is rolled out instead"
    changes = [
        replace(step, state=StepState.CANCELLED, obstacle=Obstacle.NONE, message=message, ended=now)
        for step in steps
        if step.state in {StepState.WAITING, StepState.BEGUN, StepState.LATE}
    ]
    if rollout.state in ENDED:
        return rollout, changes
    return replace(rollout, state=RolloutState.SUPERSEDED, message=message), changes


def skip(
    rollout: Rollout, steps: Sequence[Step], client_ids: Collection[str], now: datetime, *, reason: str = ""
) -> Acted:
    """Leave devices out: they are neither given it nor waited for; who was given it already keeps it."""
    _refuse_ended(rollout)
    message = sentence("by a person", reason)
    changed = []
    for step in _named(steps, client_ids):
        if step.state in {StepState.DONE, StepState.SKIPPED, StepState.CANCELLED}:
            raise ConflictError(f"device '{step.client_id}' is {step.state} in this rollout")
        changed.append(
            replace(step, state=StepState.SKIPPED, obstacle=Obstacle.NONE, message=message, ended=now)
        )
    return rollout, changed


def retry(rollout: Rollout, steps: Sequence[Step], client_ids: Collection[str] | None) -> Acted:
    """Have failed devices, all of them if none is named, try it again as soon as the budget lets them.

    A stopped rollout goes on by that, and one that is done is taken up again.
    """
    if rollout.state in ENDED - {RolloutState.DONE}:
        raise ConflictError(f"the rollout is {rollout.state}; it cannot be taken up again")
    chosen = steps if client_ids is None else _named(steps, client_ids)
    failed = [step for step in chosen if step.state is StepState.FAILED]
    if client_ids is not None and len(failed) < len(chosen):
        other = next(step for step in chosen if step.state is not StepState.FAILED)
        raise ConflictError(f"device '{other.client_id}' is {other.state}; only a failed one can be retried")
    if not failed:
        raise ConflictError("no device of this rollout has failed")
    again = [Step(client_id=step.client_id, batch=step.batch, message="to be tried again") for step in failed]
    is_held = rollout.state is RolloutState.PAUSED
    return rollout if is_held else replace(rollout, state=RolloutState.RUNNING, message=""), again


def _refuse_ended(rollout: Rollout) -> None:
    if rollout.state in ENDED:
        raise ConflictError(f"the rollout has ended: it is {rollout.state}")


def _accepted(steps: Sequence[Step]) -> list[Step]:
    return [replace(step, is_accepted=True) for step in steps if step.is_failure]


def _never_begun(steps: Sequence[Step], now: datetime, why: str) -> list[Step]:
    states = {StepState.WAITING, StepState.LATE}
    return [
        replace(step, state=StepState.CANCELLED, obstacle=Obstacle.NONE, message=why, ended=now)
        for step in steps
        if step.state in states and not step.is_given
    ]


def _named(steps: Sequence[Step], client_ids: Collection[str]) -> list[Step]:
    """Return the steps of these devices; raises `InvalidError` for each that is none of the rollout's."""
    by_id = {step.client_id: step for step in steps}
    faults = [
        Fault(field="devices", message=f"'{name}' is no device of this rollout")
        for name in client_ids
        if name not in by_id
    ]
    if faults or not client_ids:
        missing = faults or [Fault(field="devices", message="name at least one device")]
        raise InvalidError("there is no such device in the rollout", *missing)
    return [by_id[name] for name in dict.fromkeys(client_ids)]
