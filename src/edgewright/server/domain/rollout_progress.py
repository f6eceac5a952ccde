"""Says what may happen next in a rollout. Pure.

`advance` is handed a rollout, its steps, what was observed of their devices, and the time; it says what
changes. All it needs to go on is in those values, so a server that was killed goes on where it stood. Its
rules:

- Nothing begins unless the rollout is running, and then only in the batches up to the present one.
- No device is begun while as many as the disruption budget allows are under way or failed.
- A device that cannot be reached is not begun. Neither it nor one that its site holds back stops the others
  for longer than the strategy's patience.
- A batch is over when no device of it waits or is under way; then it soaks, then a person may be asked.
- What a device says after it was done still counts: `done` becomes `failed`, and `failed` becomes `done`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from edgewright.server.domain.contact import Contact
from edgewright.server.domain.rollouts import (
    ENDED,
    WATCHED,
    WHY,
    Happened,
    Observed,
    Obstacle,
    Rollout,
    RolloutState,
    Step,
    StepState,
    after,
    counted,
    room,
    sentence,
    soaks_until,
)
from edgewright.server.domain.strategies import OnError, Then
from edgewright.server.domain.truth import Truth

# How many devices one look may begin: what a transaction bears, and how soon a pause takes effect.
MOST_AT_ONCE: Final = 100
_UNREACHABLE: Final = {
    Contact.SILENT: Obstacle.SILENT,
    Contact.NEVER: Obstacle.SILENT,
    Contact.PLANNED_SILENCE: Obstacle.PLANNED_SILENCE,
}
_HELD: Final = {Truth.WAITING_FOR_APPROVAL: Obstacle.APPROVAL, Truth.HELD: Obstacle.HELD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What is to be done: `changed` steps are kept, then the devices of `begin` are given it, in order.

    `wake` is when to look again even if nothing is heard; None if only news can change anything.
    `reverts` asks for an earlier revision to be rolled out, until that is done.
    """

    rollout: Rollout
    changed: tuple[Step, ...] = ()
    begin: tuple[str, ...] = ()
    events: tuple[Happened, ...] = ()
    wake: datetime | None = None
    reverts: bool = False


def advance(
    rollout: Rollout, steps: Sequence[Step], observed: Mapping[str, Observed], now: datetime
) -> Advance:
    """Return what changes at `now`, with what was `observed` of devices by client id.

    Not every device has to be observed: one that is not stays as it is until its time is up, and does
    not begin.
    """
    if rollout.state in ENDED:
        return _afterwards(rollout, steps, observed, now)
    judged = [_judge(step, observed.get(step.client_id), rollout, now) for step in steps]
    events = [_told(new) for old, new in zip(steps, judged, strict=True) if _is_news(old, new)]
    turned, begin, more = _turn(rollout, judged, observed, now)
    return Advance(
        rollout=turned,
        changed=tuple(new for old, new in zip(steps, judged, strict=True) if new != old),
        begin=begin,
        events=(*events, *more),
        wake=_wake(turned, judged, now),
        reverts=turned.state is RolloutState.STOPPED and rollout.strategy.on_error is OnError.REVERT,
    )


def _afterwards(
    rollout: Rollout, steps: Sequence[Step], observed: Mapping[str, Observed], now: datetime
) -> Advance:
    """Return what became, after the end, of devices that had been given it and were not done."""
    watched = [step for step in steps if is_watched(rollout, step)]
    judged = [_judge(step, observed.get(step.client_id), rollout, now) for step in watched]
    pairs = list(zip(watched, judged, strict=True))
    return Advance(
        rollout=rollout,
        changed=tuple(new for old, new in pairs if new != old),
        events=tuple(_told(new) for old, new in pairs if _is_news(old, new)),
    )


def is_watched(rollout: Rollout, step: Step) -> bool:
    """Whether what its device says still counts after the rollout ended."""
    is_open = step.is_given and step.state in WATCHED
    return is_open and rollout.state is not RolloutState.SUPERSEDED


# What becomes of one device


def _judge(step: Step, seen: Observed | None, rollout: Rollout, now: datetime) -> Step:
    """Return the step as it is after what was seen of its device, and after the time that went by."""
    if step.state in {StepState.SKIPPED, StepState.CANCELLED}:
        return step
    if seen is not None:
        step = _after_word(step, seen, rollout, now)
    return _after_time(step, rollout, now)


def _after_word(step: Step, seen: Observed, rollout: Rollout, now: datetime) -> Step:
    if seen.contact is None:
        if step.state in {StepState.DONE, StepState.FAILED}:
            return step
        return _ended(step, StepState.SKIPPED, "the device is not managed any more", now)
    if not step.is_given:
        is_turn = step.batch <= rollout.batch and rollout.state is RolloutState.RUNNING
        if step.state is StepState.LATE or (step.state is StepState.WAITING and is_turn):
            return _with_obstacle(step, _away(seen.contact), now)
        return step
    match seen.truth:
        case Truth.CONVERGED | Truth.REMOVED | None:
            return _ended(step, StepState.DONE, "", now)
        case Truth.FAILED:
            return _ended(step, StepState.FAILED, seen.message or "the device reports a failure", now)
        case truth if step.state in {StepState.BEGUN, StepState.LATE}:
            obstacle = _HELD.get(truth) or _UNREACHABLE.get(seen.contact, Obstacle.NONE)
            return _with_obstacle(replace(step, message=seen.message), obstacle, now)
        case _:
            return step


def _away(contact: Contact) -> Obstacle:
    """Return what keeps a device from being begun; one that is silent by plan finds it when it wakes."""
    return Obstacle.SILENT if contact in {Contact.SILENT, Contact.NEVER} else Obstacle.NONE


def _after_time(step: Step, rollout: Rollout, now: datetime) -> Step:
    due = _due(step, rollout)
    if due is None or now < due:
        return step
    strategy = rollout.strategy
    if step.obstacle is Obstacle.NONE:
        message = sentence(f"not done within {strategy.timeout}", step.message)
        return _ended(step, StepState.FAILED, message, now)
    why = sentence(f"{WHY[step.obstacle]} for more than {strategy.patience}", step.message)
    if strategy.absent is Then.FAIL:
        return _ended(step, StepState.FAILED, why, now)
    return _ended(step, StepState.LATE, why, now)


def _due(step: Step, rollout: Rollout) -> datetime | None:
    """Return when waiting for a device ends, None if it does not by itself."""
    strategy = rollout.strategy
    if step.obstacle is Obstacle.NONE:
        is_working = step.is_given and step.state in {StepState.BEGUN, StepState.LATE}
        return after(step.since, strategy.timeout) if is_working else None
    if strategy.absent is Then.WAIT or step.state not in {StepState.WAITING, StepState.BEGUN}:
        return None
    return after(step.begun or step.since, strategy.patience)


def _with_obstacle(step: Step, obstacle: Obstacle, now: datetime) -> Step:
    if obstacle is step.obstacle and (step.since is not None or obstacle is Obstacle.NONE):
        return step
    return replace(step, obstacle=obstacle, since=now)


def _ended(step: Step, state: StepState, message: str, now: datetime) -> Step:
    if state is step.state and (state is not StepState.FAILED or step.message == message):
        return step
    if state is step.state:
        return replace(step, message=message)
    obstacle = step.obstacle if state is StepState.LATE else Obstacle.NONE
    is_accepted = step.is_accepted and state is StepState.FAILED
    return replace(step, state=state, message=message, obstacle=obstacle, ended=now, is_accepted=is_accepted)


def begun(step: Step, now: datetime) -> Step:
    """Return the step of a device that has just been given what it is to have."""
    state = StepState.LATE if step.obstacle is not Obstacle.NONE else StepState.BEGUN
    return replace(step, state=state, message="", begun=now, since=now, ended=None)


# What becomes of the whole


def _turn(
    rollout: Rollout, steps: Sequence[Step], observed: Mapping[str, Observed], now: datetime
) -> tuple[Rollout, tuple[str, ...], list[Happened]]:
    """Return the rollout as it goes on, whom to begin, and what there is to tell."""
    if rollout.state is RolloutState.STOPPED:
        return rollout, (), []
    fault = _too_many_failures(rollout, steps)
    if fault is not None:
        stopped = replace(rollout, state=RolloutState.STOPPED, message=fault)
        return stopped, (), [Happened(what="stopped", message=f"Stopped: {fault}")]
    if rollout.state is not RolloutState.RUNNING:
        return rollout, (), []
    events: list[Happened] = []
    while _is_over(rollout, steps, now):
        if rollout.batch >= rollout.batches:
            return _finish(rollout, steps, events)
        rollout = _next_batch(rollout, steps, events)
        if rollout.state is not RolloutState.RUNNING:
            return rollout, (), events
    return rollout, _to_begin(rollout, steps, observed), events


def _too_many_failures(rollout: Rollout, steps: Sequence[Step]) -> str | None:
    """Return what is too much, None if the strategy bears it."""
    strategy = rollout.strategy
    if strategy.on_error is OnError.CONTINUE:
        return None
    failed = Counter(step.batch for step in steps if step.is_failure)
    if not failed:
        return None
    members = Counter(step.batch for step in steps if _counts(step))
    for batch, count in sorted(failed.items()):
        allowed = strategy.allowed_failures(members[batch])
        if count > allowed:
            return (
                f"{count} of {members[batch]} devices of batch {batch} failed,"
                f" and at most {allowed} may (success threshold {strategy.success_threshold} %)"
            )
    total = sum(failed.values())
    if strategy.max_failures is not None and total > strategy.max_failures:
        return f"{total} devices failed, and at most {strategy.max_failures} may in all"
    return None


def _counts(step: Step) -> bool:
    """Whether a device counts when the share of failures is judged."""
    return step.state not in {StepState.SKIPPED, StepState.CANCELLED} and not (
        step.state is StepState.FAILED and step.is_accepted
    )


def _is_over(rollout: Rollout, steps: Sequence[Step], now: datetime) -> bool:
    """Whether the present batch, and all before it, are over and have stayed well for long enough."""
    if any(step.is_open for step in steps if step.batch <= rollout.batch):
        return False
    ends = soaks_until(rollout, steps)
    return ends is None or ends <= now


def _next_batch(rollout: Rollout, steps: Sequence[Step], events: list[Happened]) -> Rollout:
    """Go on to the next batch, or pause before it."""
    ended = Counter(step.state for step in steps if step.batch == rollout.batch)
    events.append(Happened(what="batch", message=f"Batch {rollout.batch} is over: {counted(ended)}"))
    forward = replace(rollout, batch=rollout.batch + 1, message="")
    if ended[StepState.LATE] and not ended[StepState.DONE]:
        why = f"none of the devices of batch {rollout.batch} could take it up yet"
    elif rollout.strategy.pauses_after(rollout.batch) and (ended[StepState.DONE] or ended[StepState.FAILED]):
        why = f"batch {rollout.batch} is over: {counted(ended)}"
    else:
        return forward
    events.append(Happened(what="paused", message=f"Paused for a person: {why}"))
    return replace(forward, state=RolloutState.PAUSED, message=f"{why}; batch {forward.batch} comes next")


def _finish(
    rollout: Rollout, steps: Sequence[Step], events: list[Happened]
) -> tuple[Rollout, tuple[str, ...], list[Happened]]:
    """End the rollout; who could not be reached is given it before, to find it on return."""
    absent = [step.client_id for step in steps if step.state is StepState.LATE and not step.is_given]
    if absent:
        return rollout, tuple(absent[:MOST_AT_ONCE]), events
    summary = counted(Counter(step.state for step in steps))
    events.append(Happened(what="done", message=f"Done: {summary}"))
    return replace(rollout, state=RolloutState.DONE, message=summary), (), events


def _to_begin(rollout: Rollout, steps: Sequence[Step], observed: Mapping[str, Observed]) -> tuple[str, ...]:
    free = min(room(rollout, steps), MOST_AT_ONCE)
    if free <= 0:
        return ()
    found = [
        step
        for step in steps
        if step.batch <= rollout.batch
        and step.state in {StepState.WAITING, StepState.LATE}
        and not step.is_given
        and step.obstacle is Obstacle.NONE
        and step.client_id in observed
        and _can_begin(observed[step.client_id])
    ]
    found.sort(key=lambda step: step.batch)
    return tuple(step.client_id for step in found[:free])


def _can_begin(seen: Observed) -> bool:
    return seen.contact is not None and _away(seen.contact) is Obstacle.NONE


def _wake(rollout: Rollout, steps: Sequence[Step], now: datetime) -> datetime | None:
    if rollout.state in ENDED:
        return None
    times = [due for step in steps if (due := _due(step, rollout)) is not None and due > now]
    if rollout.state is RolloutState.RUNNING and (ends := soaks_until(rollout, steps)) and ends > now:
        times.append(ends)
    return min(times, default=None)


def _is_news(old: Step, new: Step) -> bool:
    return new.state is not old.state and new.state in _TOLD


_TOLD: Final[Mapping[StepState, str]] = {
    StepState.FAILED: "failed",
    StepState.LATE: "is not waited for any longer",
    StepState.SKIPPED: "is left out",
}


def _told(step: Step) -> Happened:
    message = sentence(f"{step.client_id} {_TOLD[step.state]}", step.message)
    return Happened(what=f"device-{step.state}", message=message)
