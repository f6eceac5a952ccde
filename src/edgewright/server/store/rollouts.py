"""Rollouts, their steps and what happened on the way."""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.rollouts import (
    ENDED,
    WATCHED,
    Happened,
    Obstacle,
    Rollout,
    RolloutState,
    Step,
    StepState,
)
from edgewright.server.domain.strategies import Strategy
from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import assignments, rollout_events, rollout_steps, rollouts

# A database takes only so many values in one list.
_FEW: Final = 500
# Ten thousand steps are read at once: by place, and without looking up each word anew.
OPEN_STATES: Final = tuple(state.value for state in RolloutState if state not in ENDED)
"""The states of rollouts that have not ended."""
_STEP: Final = tuple(column for column in rollout_steps.columns if column.name != "rollout_id")
_STATES: Final = {state.value: state for state in StepState}
_OBSTACLES: Final = {obstacle.value: obstacle for obstacle in Obstacle}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout as it is kept, with the name of its assignment; `serial` grows with what people do to it."""

    id: str
    assignment_id: int
    assignment: str
    revision: int
    state: str
    strategy: str
    batch: int
    batches: int
    serial: int
    message: str
    created: datetime
    actor: str
    ended: datetime | None

    @property
    def value(self) -> Rollout:
        """The rollout as decisions are made about it."""
        return Rollout(
            state=RolloutState(self.state),
            strategy=Strategy.from_plain(json.loads(self.strategy)),
            batch=self.batch,
            batches=self.batches,
            message=self.message,
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is begun by it."""
        return RolloutState(self.state) in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One device of a rollout, what it has of the assignment, and how often it was to be tried again."""

    step: Step
    deployment_id: str | None
    attempt: int = 0

    @property
    def client_id(self) -> str:
        """Whose step it is."""
        return self.step.client_id


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One thing that happened in a rollout."""

    id: int
    rollout_id: str
    at: datetime
    actor: str
    what: str
    message: str


async def get(connection: AsyncConnection, rollout_id: str) -> RolloutRecord | None:
    """Return one rollout."""
    return await one_of(connection, RolloutRecord, _rollouts().where(rollouts.c.id == rollout_id))


async def every(
    connection: AsyncConnection,
    *,
    assignment: str | None = None,
    states: Collection[str] | None = None,
    client_id: str | None = None,
) -> list[RolloutRecord]:
    """Return all rollouts, or those that the filters let through, the newest first."""
    query = _rollouts().order_by(rollouts.c.created.desc(), rollouts.c.id)
    if assignment is not None:
        query = query.where(assignments.c.name == assignment)
    if states is not None:
        query = query.where(rollouts.c.state.in_(states))
    if client_id is not None:
        of_client = select(rollout_steps.c.rollout_id).where(rollout_steps.c.client_id == client_id)
        query = query.where(rollouts.c.id.in_(of_client))
    return await all_of(connection, RolloutRecord, query)


async def of_assignment(connection: AsyncConnection, assignment_id: int) -> list[RolloutRecord]:
    """Return the rollouts of one assignment, the newest first."""
    query = _rollouts().where(rollouts.c.assignment_id == assignment_id)
    return await all_of(
        connection, RolloutRecord, query.order_by(rollouts.c.revision.desc(), rollouts.c.created.desc())
    )


async def open_ones(connection: AsyncConnection) -> list[str]:
    """Return the ids of the rollouts that have not ended, the oldest first."""
    query = select(rollouts.c.id).where(rollouts.c.state.in_(OPEN_STATES))
    return list((await connection.scalars(query.order_by(rollouts.c.created, rollouts.c.id))).all())


async def watched_ones(connection: AsyncConnection, client_ids: Collection[str] | None = None) -> list[str]:
    """Return the ids of rollouts that have ended and watch devices still, or one of these devices."""
    query = (
        select(rollouts.c.id)
        .distinct()
        .join(rollout_steps, rollout_steps.c.rollout_id == rollouts.c.id)
        .where(
            rollouts.c.state.in_([RolloutState.DONE.value, RolloutState.CANCELLED.value]),
            rollout_steps.c.state.in_([state.value for state in WATCHED]),
            rollout_steps.c.begun.is_not(None),
        )
    )
    if client_ids is None:
        return list((await connection.scalars(query)).all())
    found: set[str] = set()
    for some in _portions(list(client_ids)):
        found.update(await connection.scalars(query.where(rollout_steps.c.client_id.in_(some))))
    return sorted(found)


async def add(connection: AsyncConnection, record: RolloutRecord, steps: Sequence[StepRecord]) -> None:
    """Keep a new rollout with all its steps."""
    await connection.execute(
        rollouts.insert().values({column.name: getattr(record, column.name) for column in rollouts.columns})
    )
    if steps:
        await connection.execute(
            rollout_steps.insert(), [{"rollout_id": record.id, **_columns(step)} for step in steps]
        )


async def save(connection: AsyncConnection, record: RolloutRecord) -> None:
    """Replace what can change of a rollout."""
    await connection.execute(
        rollouts.update()
        .where(rollouts.c.id == record.id)
        .values(
            state=record.state,
            batch=record.batch,
            batches=record.batches,
            serial=record.serial,
            message=record.message,
            ended=record.ended,
        )
    )


def updated(record: RolloutRecord, value: Rollout, now: datetime) -> RolloutRecord:
    """Return the record of a rollout that has become `value`."""
    ended = (record.ended or now) if value.state in ENDED else None
    return replace(record, state=value.state.value, batch=value.batch, message=value.message, ended=ended)


async def steps_of(
    connection: AsyncConnection,
    rollout_id: str,
    client_ids: Sequence[str] | None = None,
    *,
    states: Collection[StepState] | None = None,
) -> list[StepRecord]:
    """Return the steps of a rollout, or those of these devices or in these states, by batch and client id."""
    query = (
        select(*_STEP)
        .where(rollout_steps.c.rollout_id == rollout_id)
        .order_by(rollout_steps.c.batch, rollout_steps.c.client_id)
    )
    if states is not None:
        query = query.where(rollout_steps.c.state.in_([state.value for state in states]))
    if client_ids is None:
        # Making ten thousand of them takes a tenth of a second, in which nobody would be answered.
        read = await connection.execute(query)
        return await asyncio.to_thread(lambda: [_step(row) for row in read])
    found: list[StepRecord] = []
    for some in _portions(client_ids):
        rows = await connection.execute(query.where(rollout_steps.c.client_id.in_(some)))
        found += [_step(row) for row in rows]
    return found


async def page_of_steps(
    connection: AsyncConnection,
    rollout_id: str,
    *,
    batch: int | None = None,
    state: StepState | None = None,
    text: str | None = None,
    after: str | None = None,
    limit: int,
) -> tuple[list[StepRecord], int]:
    """Return at most `limit` steps by batch and client id, and how many the filters let through in all.

    `text` is looked for in client ids and messages; `after` is the client id of the last step of the page
    before.
    """
    conditions = [rollout_steps.c.rollout_id == rollout_id]
    if batch is not None:
        conditions.append(rollout_steps.c.batch == batch)
    if state is not None:
        conditions.append(rollout_steps.c.state == state.value)
    if text is not None:
        fields = (rollout_steps.c.client_id, rollout_steps.c.message)
        conditions.append(or_(*(field.icontains(text, autoescape=True) for field in fields)))
    total = await connection.scalar(select(func.count()).select_from(rollout_steps).where(*conditions))
    query = select(*_STEP).where(*conditions).order_by(rollout_steps.c.batch, rollout_steps.c.client_id)
    if after is not None:
        place = tuple_(rollout_steps.c.batch, rollout_steps.c.client_id)
        last = select(rollout_steps.c.batch).where(
            rollout_steps.c.rollout_id == rollout_id, rollout_steps.c.client_id == after
        )
        query = query.where(place > tuple_(func.coalesce(last.scalar_subquery(), -1), after))
    rows = await connection.execute(query.limit(limit))
    return [_step(row) for row in rows], int(total or 0)


async def save_steps(connection: AsyncConnection, rollout_id: str, steps: Sequence[StepRecord]) -> None:
    """Replace what is known of steps."""
    if not steps:
        return
    values: dict[str, Any] = {
        name: bindparam(f"new_{name}") for name in _columns(steps[0]) if name != "client_id"
    }
    await connection.execute(
        rollout_steps.update()
        .where(rollout_steps.c.rollout_id == rollout_id, rollout_steps.c.client_id == bindparam("of_client"))
        .values(values),
        [
            {
                "of_client" if name == "client_id" else f"new_{name}": value
                for name, value in _columns(step).items()
            }
            for step in steps
        ],
    )


async def counts(connection: AsyncConnection, rollout_ids: Collection[str]) -> dict[str, Counter[StepState]]:
    """Return how many steps of each of these rollouts are in which state."""
    found: dict[str, Counter[StepState]] = {rollout_id: Counter() for rollout_id in rollout_ids}
    for some in _portions(list(rollout_ids)):
        query = (
            select(rollout_steps.c.rollout_id, rollout_steps.c.state, func.count())
            .where(rollout_steps.c.rollout_id.in_(some))
            .group_by(rollout_steps.c.rollout_id, rollout_steps.c.state)
        )
        for rollout_id, state, count in await connection.execute(query):
            found[rollout_id][StepState(state)] = count
    return found


async def add_events(
    connection: AsyncConnection,
    rollout_id: str,
    happened: Sequence[Happened],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Write down what happened."""
    if happened:
        await connection.execute(
            rollout_events.insert(),
            [
                {
                    "rollout_id": rollout_id,
                    "at": now,
                    "actor": actor,
                    "what": one.what,
                    "message": one.message,
                }
                for one in happened
            ],
        )


async def events(
    connection: AsyncConnection, rollout_id: str, *, before: int | None = None, limit: int
) -> list[EventRecord]:
    """Return what happened, the newest first; `before` is the number of an event that was shown."""
    query = select(rollout_events).where(rollout_events.c.rollout_id == rollout_id)
    if before is not None:
        query = query.where(rollout_events.c.id < before)
    return await all_of(connection, EventRecord, query.order_by(rollout_events.c.id.desc()).limit(limit))


async def has_happened(connection: AsyncConnection, rollout_id: str, one: Happened) -> bool:
    """Return whether the very same thing was written down before."""
    query = select(rollout_events.c.id).where(
        rollout_events.c.rollout_id == rollout_id,
        rollout_events.c.what == one.what,
        rollout_events.c.message == one.message,
    )
    return await connection.scalar(query.limit(1)) is not None


async def count_events(connection: AsyncConnection, rollout_id: str) -> int:
    """Return how many things happened."""
    query = select(func.count()).where(rollout_events.c.rollout_id == rollout_id)
    return int(await connection.scalar(query) or 0)


def _rollouts() -> Select[Any]:
    return select(*rollouts.columns, assignments.c.name.label("assignment")).join(
        assignments, assignments.c.id == rollouts.c.assignment_id
    )


def _step(row: Any) -> StepRecord:
    (client_id, batch, state, obstacle, message, deployment_id, begun, since, ended, is_accepted, attempt) = (
        row
    )
    step = Step(
        client_id=client_id,
        batch=batch,
        state=_STATES[state],
        obstacle=_OBSTACLES[obstacle],
        message=message,
        begun=begun,
        since=since,
        ended=ended,
        is_accepted=is_accepted,
    )
    return StepRecord(step=step, deployment_id=deployment_id, attempt=attempt)


def _columns(record: StepRecord) -> Mapping[str, Any]:
    step = record.step
    return {
        "client_id": step.client_id,
        "batch": step.batch,
        "state": step.state.value,
        "obstacle": step.obstacle.value,
        "message": step.message,
        "deployment_id": record.deployment_id,
        "begun": step.begun,
        "since": step.since,
        "ended": step.ended,
        "is_accepted": step.is_accepted,
        "attempt": record.attempt,
    }


def _portions(values: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(values)
    while some := list(islice(remaining, _FEW)):
        yield some
