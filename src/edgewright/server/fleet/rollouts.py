"""Rollouts: begun by a changed assignment, taken further by the conductor, steered by people.

`look` reads and decides, `keep` and `begin` write what was decided, each in a short transaction of its own;
a server that is killed in between looks again. What people do makes a rollout's `serial` greater, so that
nothing is written that was decided before.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import EdgewrightError
from edgewright.server.context import Heard
from edgewright.server.domain import rollout_actions as actions
from edgewright.server.domain.rollout_progress import MOST_AT_ONCE, Advance, advance, begun, is_watched
from edgewright.server.domain.rollouts import (
    ENDED,
    WATCHED,
    Happened,
    Obstacle,
    Rollout,
    RolloutState,
    Step,
    StepState,
    room,
    sentence,
)
from edgewright.server.domain.strategies import Candidate, Strategy, in_batches
from edgewright.server.errors import ConflictError, InvalidError, NotFoundError
from edgewright.server.fleet import deploying
from edgewright.server.fleet.observing import observe
from edgewright.server.fleet.placing import Action, Plan, Planned, bring
from edgewright.server.store import assignments, audit, deployments, rollouts
from edgewright.server.store.assignments import AssignmentRecord
from edgewright.server.store.clients import ClientState
from edgewright.server.store.database import announce
from edgewright.server.store.rollouts import RolloutRecord, StepRecord, updated
from edgewright.server.store.tables import clients

log = logging.getLogger(__name__)

SERVER: Final = "server"
# Who was heard of so lately is taken for a canary rather than others.
_LATELY: Final = timedelta(minutes=15)
# How many waiting devices one look is about, beyond those that may begin: some of them are silent.
_AHEAD: Final = 200
# What is decided about more steps than this is decided in a thread, beside what others wait for.
_MANY: Final = 500
_UNSETTLED: Final = frozenset({StepState.WAITING, StepState.BEGUN, StepState.LATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a rollout was when it was looked at, and what was decided."""

    record: RolloutRecord
    steps: Sequence[StepRecord]
    made: Advance

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to be kept."""
        return bool(self.made.changed or self.made.events) or self.made.rollout != self.record.value


async def start(
    connection: AsyncConnection,
    assignment: AssignmentRecord,
    plan: Plan,
    strategy: Strategy,
    *,
    actor: str,
    now: datetime,
) -> str:
    """Begin to roll out the newest revision of an assignment, as planned; return the rollout's id.

    Earlier rollouts of the assignment are superseded. Devices that do not fit have no turn, and say why.
    """
    await _supersede(connection, assignment, actor=actor, now=now)
    concerned = {one.client_id: one for one in plan.of(Action.CREATE, Action.CHANGE, Action.REMOVE)}
    retired = await _retired(connection)
    for name in [name for name, one in concerned.items() if name in retired and one.action is Action.REMOVE]:
        # It is served nothing any more, and must not find this on a return.
        await bring(connection, assignment, assignment.revision, name, actor=actor, now=now)
        del concerned[name]
    batches = in_batches(strategy, await _candidates(connection, list(concerned.values()), now))
    steps = [
        StepRecord(step=Step(client_id=name, batch=number), deployment_id=_present(concerned[name]))
        for number, batch in enumerate(batches, start=1)
        for name in batch
    ]
    steps += [_misfit(one, now) for one in plan.of(Action.MISFIT)]
    record = RolloutRecord(
        id=str(uuid.uuid4()),
        assignment_id=assignment.id,
        assignment=assignment.name,
        revision=assignment.revision,
        state=RolloutState.RUNNING,
        strategy=json.dumps(strategy.to_plain()),
        batch=1,
        batches=len(batches),
        serial=1,
        message="",
        created=now,
        actor=actor,
        ended=None,
    )
    await rollouts.add(connection, record, steps)
    told = f"Revision {assignment.revision} of {assignment.name}: {_size(len(concerned), len(batches))}"
    await _tell(connection, record, [Happened(what="started", message=told)], actor=actor, now=now)
    return record.id


async def look(
    connection: AsyncConnection,
    rollout_id: str,
    heard: Heard,
    *,
    changed: Collection[str] | None = None,
) -> Look | None:
    """Read a rollout and decide what happens now; None if there is none, or nothing to look at.

    `changed` are the clients of which something was heard since the last look; None looks at every one.
    """
    record = await rollouts.get(connection, rollout_id)
    if record is None:
        return None
    states = WATCHED if record.has_ended else None
    steps = await rollouts.steps_of(connection, rollout_id, states=states)
    rollout = record.value
    wanted = _whom_to_observe(rollout, steps, changed)
    observed = await observe(connection, {one.client_id: one.deployment_id for one in wanted}, heard)
    plain = [one.step for one in steps]
    if len(plain) <= _MANY:
        made = advance(rollout, plain, observed, heard.now)
    else:
        made = await asyncio.to_thread(advance, rollout, plain, observed, heard.now)
    return Look(record=record, steps=steps, made=made)


async def keep(connection: AsyncConnection, seen: Look, *, now: datetime) -> bool:
    """Write down what was decided; False if somebody did something to the rollout since."""
    record = await rollouts.get(connection, seen.record.id)
    if record is None or record.serial != seen.record.serial:
        return False
    by_id = {one.client_id: one for one in seen.steps}
    changed = [replace(by_id[step.client_id], step=step) for step in seen.made.changed]
    await rollouts.save_steps(connection, record.id, changed)
    record = updated(record, seen.made.rollout, now)
    await rollouts.save(connection, record)
    await _tell(connection, record, seen.made.events, actor=SERVER, now=now)
    return True


async def begin(
    connection: AsyncConnection, rollout_id: str, client_ids: Sequence[str], *, serial: int, now: datetime
) -> bool:
    """Give these devices what they are to have; False if somebody did something to the rollout since."""
    record = await rollouts.get(connection, rollout_id)
    if record is None or record.serial != serial or record.state != RolloutState.RUNNING:
        return False
    assignment = await assignments.get(connection, record.assignment_id)
    assert assignment is not None  # noqa: S101 - assignments are marked, never deleted
    given, left_out = [], []
    for one in await rollouts.steps_of(connection, rollout_id, client_ids):
        if one.step.state in {StepState.WAITING, StepState.LATE} and not one.step.is_given:
            after = await _give(connection, record, assignment, one, now=now)
            given.append(after)
            if after.step.state in {StepState.SKIPPED, StepState.FAILED}:
                left_out.append(_not_given(after.step))
            announce(connection, "devices", f"device:{one.client_id}", "deployments")
    await rollouts.save_steps(connection, rollout_id, given)
    await _tell(connection, record, left_out, actor=SERVER, now=now)
    return True


async def _give(
    connection: AsyncConnection,
    record: RolloutRecord,
    assignment: AssignmentRecord,
    one: StepRecord,
    *,
    now: datetime,
) -> StepRecord:
    """Give one device what it is to have; one that cannot have it is left out and keeps what it has."""
    try:
        async with connection.begin_nested():
            had = await deployments.get(connection, one.deployment_id) if one.deployment_id else None
            found = await bring(
                connection, assignment, record.revision, one.client_id, actor=record.actor, now=now
            )
            if one.attempt and found is not None and found == had:
                note = deploying.Note(actor=record.actor, now=now, reason=f"attempt {one.attempt + 1}")
                await deploying.put_again(connection, found, note)
    except EdgewrightError as error:
        faults = [fault.message for fault in error.faults] if isinstance(error, InvalidError) else []
        why = "; ".join(faults) or str(error)
        left = replace(one.step, state=StepState.SKIPPED, obstacle=Obstacle.NONE, message=why, ended=now)
        return replace(one, step=left)
    except SQLAlchemyError:
        raise
    except Exception:
        # One device that this server cannot cope with must not hold up all others.
        log.exception(
            "%s could not be given revision %s of %s", one.client_id, record.revision, assignment.name
        )
        why = "the server could not give it; its log says why"
        lost = replace(one.step, state=StepState.FAILED, obstacle=Obstacle.NONE, message=why, ended=now)
        return replace(one, step=lost)
    deployment_id = one.deployment_id if found is None else found.id
    return replace(one, step=begun(one.step, now), deployment_id=deployment_id)


# What people do


async def act(
    connection: AsyncConnection,
    rollout_id: str,
    verb: str,
    *,
    devices: Collection[str] | None = None,
    reason: str = "",
    actor: str,
    now: datetime,
) -> RolloutRecord:
    """Do what a person asks: one of `VERBS`; raises `ConflictError` for what makes no sense now."""
    record = await rollout_called(connection, rollout_id)
    known = await rollouts.steps_of(connection, rollout_id)
    if verb == "retry":
        await _check_newest(connection, record)
    steps = [one.step for one in known]
    value, changed = VERBS[verb](record.value, steps, devices, now, reason)
    by_id = {one.client_id: one for one in known}
    tries = 1 if verb == "retry" else 0
    saved = [
        replace(by_id[step.client_id], step=step, attempt=by_id[step.client_id].attempt + tries)
        for step in changed
    ]
    await rollouts.save_steps(connection, rollout_id, saved)
    after = replace(updated(record, value, now), serial=record.serial + 1)
    await rollouts.save(connection, after)
    message = sentence(_DONE[verb] + _named(devices), reason)
    await _tell(connection, after, [Happened(what=verb, message=message)], actor=actor, now=now)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action=f"{verb} rollout",
        subject=record.id,
        assignment=record.assignment,
        revision=record.revision,
        before=record.state,
        after=after.state,
        devices=sorted(devices) if devices else None,
        reason=reason,
    )
    return after


Acting = Callable[[Rollout, Sequence[Step], Collection[str] | None, datetime, str], actions.Acted]
VERBS: Final[dict[str, Acting]] = {
    "pause": lambda rollout, _steps, _devices, _now, why: actions.pause(rollout, reason=why),
    "resume": lambda rollout, steps, _devices, _now, _why: actions.resume(rollout, steps),
    "proceed": lambda rollout, steps, _devices, _now, _why: actions.proceed(rollout, steps),
    "cancel": lambda rollout, steps, _devices, now, why: actions.cancel(rollout, steps, now, reason=why),
    "skip": lambda rollout, steps, devices, now, why: actions.skip(
        rollout, steps, devices or (), now, reason=why
    ),
    "retry": lambda rollout, steps, devices, _now, _why: actions.retry(rollout, steps, devices),
}
_DONE: Final = {
    "pause": "Paused",
    "resume": "Resumed",
    "proceed": "Goes on to all devices at once",
    "cancel": "Cancelled",
    "skip": "Left out",
    "retry": "To be tried again",
}


async def rollout_called(connection: AsyncConnection, rollout_id: str) -> RolloutRecord:
    """Return the rollout of that id; raises `NotFoundError`."""
    found = await rollouts.get(connection, rollout_id)
    if found is None:
        raise NotFoundError(f"no rollout {rollout_id} is known")
    return found


async def revision_before(connection: AsyncConnection, record: RolloutRecord) -> int:
    """Return the revision to go back to: the last one before whose rollout was done, else the one before.

    One that says the same is none to go back to. Raises `ConflictError` where there is no other, and for a
    removal: by now its name may be another assignment's.
    """
    assignment = await assignments.get(connection, record.assignment_id)
    if assignment is None or assignment.deleted is not None:
        raise ConflictError(f"{record.assignment} was deleted, and a removal is not taken back")
    specs = {one.number: one.spec for one in await assignments.revisions(connection, record.assignment_id)}
    others = [
        number
        for number, spec in specs.items()
        if number < record.revision and spec != specs[record.revision]
    ]
    if not others:
        raise ConflictError(f"there is nothing to go back to before revision {record.revision}")
    known = await rollouts.of_assignment(connection, record.assignment_id)
    done = {one.revision for one in known if one.state == RolloutState.DONE}
    return max([number for number in others if number in done] or others)


async def _check_newest(connection: AsyncConnection, record: RolloutRecord) -> None:
    newest = (await rollouts.of_assignment(connection, record.assignment_id))[0]
    if newest.id != record.id:
        raise ConflictError(
            f"revision {newest.revision} of {record.assignment} was rolled out since; look at {newest.id}"
        )


# Parts of the above


def _whom_to_observe(
    rollout: Rollout, steps: Sequence[StepRecord], changed: Collection[str] | None
) -> list[StepRecord]:
    """Return the steps whose devices are looked at: those under way, those that changed, and who is next."""
    if rollout.state in ENDED:
        return [
            one
            for one in steps
            if is_watched(rollout, one.step) and (changed is None or one.client_id in changed)
        ]
    found: list[StepRecord] = []
    ahead = min(MOST_AT_ONCE, max(0, room(rollout, [one.step for one in steps]))) + _AHEAD
    for one in steps:
        step = one.step
        if step.state in {StepState.SKIPPED, StepState.CANCELLED}:
            continue
        if step.is_given:
            if changed is None or one.client_id in changed:
                found.append(one)
        elif step.batch <= rollout.batch or step.state is StepState.LATE:
            if step.obstacle is not Obstacle.NONE:
                # Thousands may be away: they are looked at with all others, not at every piece of news.
                is_looked_at = changed is None or one.client_id in changed
            else:
                is_looked_at = ahead > 0
                ahead -= is_looked_at
            if is_looked_at:
                found.append(one)
    return found


async def _retired(connection: AsyncConnection) -> set[str]:
    query = select(clients.c.client_id).where(clients.c.state != ClientState.ACCEPTED.value)
    return set((await connection.scalars(query)).all())


async def _candidates(
    connection: AsyncConnection, planned: Sequence[Planned], now: datetime
) -> list[Candidate]:
    rows = await connection.execute(select(clients.c.client_id, clients.c.last_contact))
    last = {row.client_id: row.last_contact for row in rows}
    return [
        Candidate(
            client_id=one.client_id,
            labels=one.labels,
            is_reachable=(heard := last.get(one.client_id)) is not None and now - heard < _LATELY,
        )
        for one in planned
    ]


async def _supersede(
    connection: AsyncConnection, assignment: AssignmentRecord, *, actor: str, now: datetime
) -> None:
    for record in await rollouts.of_assignment(connection, assignment.id):
        if record.has_ended and record.state == RolloutState.SUPERSEDED:
            continue
        known = await rollouts.steps_of(connection, record.id, states=_UNSETTLED)
        value, changed = actions.supersede(
            record.value, [one.step for one in known], now, by=assignment.revision
        )
        if not changed and value == record.value:
            continue
        by_id = {one.client_id: one for one in known}
        await rollouts.save_steps(
            connection, record.id, [replace(by_id[step.client_id], step=step) for step in changed]
        )
        after = replace(updated(record, value, now), serial=record.serial + 1)
        await rollouts.save(connection, after)
        told = Happened(what="superseded", message=sentence("Superseded", value.message))
        events = [] if record.has_ended else [told]
        await _tell(connection, after, events, actor=actor, now=now)


async def _tell(
    connection: AsyncConnection,
    record: RolloutRecord,
    happened: Sequence[Happened],
    *,
    actor: str,
    now: datetime,
) -> None:
    await rollouts.add_events(connection, record.id, happened, actor=actor, now=now)
    announce(connection, "rollouts", f"rollout:{record.id}", f"assignment:{record.assignment}")


def _present(planned: Planned) -> str | None:
    return None if planned.before is None else planned.before.deployment_id


def _misfit(planned: Planned, now: datetime) -> StepRecord:
    """Return the step of a device that cannot have it; it belongs to no batch."""
    reasons = planned.misfit.reasons if planned.misfit else ()
    why = "; ".join(fault.message for fault in reasons) or "does not fit"
    step = Step(client_id=planned.client_id, batch=0, state=StepState.SKIPPED, message=why, ended=now)
    return StepRecord(step=step, deployment_id=_present(planned))


def _not_given(step: Step) -> Happened:
    word = "failed" if step.state is StepState.FAILED else "is left out"
    return Happened(what=f"device-{step.state}", message=sentence(f"{step.client_id} {word}", step.message))


def _size(count: int, batches: int) -> str:
    devices = f"{count} device{'' if count == 1 else 's'}"
    return f"{devices} in {batches} batch{'' if batches == 1 else 'es'}"


def _named(devices: Collection[str] | None) -> str:
    if not devices:
        return ""
    names = sorted(devices)
    return f": {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
