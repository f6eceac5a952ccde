"""Assignments: making, changing, reverting and deleting them. Each change is a revision, rolled out as such.

A change is prepared in a transaction that only reads, as it may concern all devices there are, and then
made in a short one. Deleting is a revision as well: one that selects nobody.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.assignments import AssignmentSpec, Devices, render_spec
from edgewright.server.domain.rendering import check_name
from edgewright.server.domain.strategies import Strategy
from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.fleet import rollouts
from edgewright.server.fleet.deploying import package_of
from edgewright.server.fleet.placing import Plan, preview, preview_removal, spec_of
from edgewright.server.store import assignments, audit
from edgewright.server.store.assignments import AssignmentRecord, AssignmentRevision
from edgewright.server.store.database import announce


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A change that was looked at and can be made; `record` is None for a new assignment.

    `plan` says what it does where. `text` is the new revision as it will be kept, `before` the present one.
    """

    name: str
    application_id: str
    record: AssignmentRecord | None
    spec: AssignmentSpec
    text: str
    before: str | None
    plan: Plan
    reason: str

    @property
    def is_change(self) -> bool:
        """Whether the assignment says anything else afterwards."""
        return self.text != self.before


async def assignment_named(connection: AsyncConnection, name: str) -> AssignmentRecord:
    """Return the assignment of that name; raises `NotFoundError`."""
    found = await assignments.named(connection, name)
    if found is None:
        raise NotFoundError(f"no assignment '{name}' is known")
    return found


async def present_spec(connection: AsyncConnection, record: AssignmentRecord) -> AssignmentSpec:
    """Return what an assignment says now."""
    return spec_of((await _revision(connection, record, record.revision)).spec)


async def prepare(
    connection: AsyncConnection, name: str, application_id: str, spec: AssignmentSpec, *, reason: str = ""
) -> Prepared:
    """Look at what an assignment of that name would do; nothing is changed.

    Raises `InvalidError` for what it cannot say, and `ConflictError` for another application than it has.
    """
    check_name(name)
    Strategy.from_plain(spec.strategy)
    record = await assignments.named(connection, name)
    before = None
    if record is not None:
        if record.application_id != application_id:
            raise ConflictError(
                f"the assignment '{name}' is about {record.application_id}, which cannot change;"
                f" choose another name for {application_id}, or delete it first"
            )
        before = (await _revision(connection, record, record.revision)).spec
    plan = await preview(connection, record, application_id, spec)
    return Prepared(
        name=name,
        application_id=application_id,
        record=record,
        spec=spec,
        text=json.dumps(render_spec(spec), sort_keys=True),
        before=before,
        plan=plan,
        reason=reason,
    )


async def prepare_revert(connection: AsyncConnection, name: str, number: int) -> Prepared:
    """Look at what going back to revision `number` would do; raises `NotFoundError` if it never was."""
    record = await assignment_named(connection, name)
    kept = await assignments.revision(connection, record.id, number)
    if kept is None:
        raise NotFoundError(f"the assignment '{name}' has revisions 1 to {record.revision}, not {number}")
    reason = f"back to revision {number}"
    return await prepare(connection, name, record.application_id, spec_of(kept.spec), reason=reason)


async def put(
    connection: AsyncConnection,
    prepared: Prepared,
    *,
    strategy: Strategy | None = None,
    actor: str,
    now: datetime,
) -> AssignmentRecord:
    """Make a prepared change and begin to roll it out; what changes nothing makes no revision.

    It is rolled out as the assignment says, or by another `strategy` this once.
    Raises `ConflictError` if somebody else changed the assignment since it was prepared.
    """
    record = await _unchanged_since(connection, prepared)
    if record is not None and not prepared.is_change:
        return record
    await package_of(connection, prepared.application_id, prepared.spec.version)
    is_new = record is None
    if record is None:
        record = await assignments.add(
            connection, name=prepared.name, application_id=prepared.application_id, now=now
        )
    record = replace(record, revision=record.revision + 1, changed=now)
    await _add_revision(connection, record, prepared.text, actor=actor, reason=prepared.reason)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="create assignment" if is_new else "change assignment",
        subject=record.name,
        revision=record.revision,
        reason=prepared.reason,
        before=None if prepared.before is None else json.loads(prepared.before),
        after=json.loads(prepared.text),
    )
    strategy = strategy or Strategy.from_plain(prepared.spec.strategy)
    await _roll_out(connection, record, prepared.plan, strategy, actor=actor, now=now)
    return record


async def prepare_deletion(connection: AsyncConnection, name: str) -> Prepared:
    """Look at what deleting an assignment would do."""
    record = await assignment_named(connection, name)
    kept = await _revision(connection, record, record.revision)
    spec = replace(spec_of(kept.spec), target=Devices(()), devices={}, groups=(), parameters={})
    return Prepared(
        name=name,
        application_id=record.application_id,
        record=record,
        spec=spec,
        text=json.dumps(render_spec(spec), sort_keys=True),
        before=kept.spec,
        plan=await preview_removal(connection, record),
        reason="deleted",
    )


async def delete(
    connection: AsyncConnection, prepared: Prepared, *, actor: str, now: datetime
) -> AssignmentRecord:
    """Delete an assignment and begin to remove what it brought; its name is free at once."""
    record = await _unchanged_since(connection, prepared)
    if record is None:
        raise NotFoundError(f"no assignment '{prepared.name}' is known")
    record = replace(record, revision=record.revision + 1, changed=now, deleted=now)
    await _add_revision(connection, record, prepared.text, actor=actor, reason=prepared.reason)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="delete assignment",
        subject=record.name,
        revision=record.revision,
        before=None if prepared.before is None else json.loads(prepared.before),
        after=None,
    )
    strategy = Strategy.from_plain(prepared.spec.strategy)
    await _roll_out(connection, record, prepared.plan, strategy, actor=actor, now=now)
    return record


async def _unchanged_since(connection: AsyncConnection, prepared: Prepared) -> AssignmentRecord | None:
    record = await assignments.named(connection, prepared.name)
    if record != prepared.record:
        raise ConflictError(
            f"the assignment '{prepared.name}' was changed by somebody else just now; look again"
        )
    return record


async def _add_revision(
    connection: AsyncConnection, record: AssignmentRecord, text: str, *, actor: str, reason: str
) -> None:
    await assignments.save(connection, record)
    await assignments.add_revision(
        connection,
        AssignmentRevision(
            assignment_id=record.id,
            number=record.revision,
            spec=text,
            created=record.changed,
            actor=actor,
            reason=reason,
        ),
    )
    announce(connection, "assignments", f"assignment:{record.name}")


async def _roll_out(
    connection: AsyncConnection,
    record: AssignmentRecord,
    plan: Plan,
    strategy: Strategy,
    *,
    actor: str,
    now: datetime,
) -> None:
    await rollouts.start(connection, record, plan, strategy, actor=actor, now=now)


async def _revision(connection: AsyncConnection, record: AssignmentRecord, number: int) -> AssignmentRevision:
    found = await assignments.revision(connection, record.id, number)
    assert found is not None  # noqa: S101 - revisions are never cleared away
    return found
