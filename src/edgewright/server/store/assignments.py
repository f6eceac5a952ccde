"""Assignments and their revisions. Deleted ones stay, as their deployments are still being removed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import assignment_revisions, assignments


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRecord:
    """An application for many devices; `revision` is the number of its newest revision."""

    id: int
    name: str
    application_id: str
    revision: int
    created: datetime
    changed: datetime
    deleted: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRevision:
    """What an assignment said from `created` on; `spec` is JSON (`domain/assignments.py`)."""

    assignment_id: int
    number: int
    spec: str
    created: datetime
    actor: str
    reason: str


async def named(connection: AsyncConnection, name: str) -> AssignmentRecord | None:
    """Return the assignment of that name that is not deleted."""
    query = select(assignments).where(assignments.c.name == name, assignments.c.deleted.is_(None))
    return await one_of(connection, AssignmentRecord, query)


async def last_named(connection: AsyncConnection, name: str) -> AssignmentRecord | None:
    """Return the assignment of that name that was made last, deleted or not."""
    query = select(assignments).where(assignments.c.name == name).order_by(assignments.c.id.desc()).limit(1)
    return await one_of(connection, AssignmentRecord, query)


async def get(connection: AsyncConnection, assignment_id: int) -> AssignmentRecord | None:
    """Return one assignment, a deleted one as well."""
    query = select(assignments).where(assignments.c.id == assignment_id)
    return await one_of(connection, AssignmentRecord, query)


async def every(connection: AsyncConnection, *, deleted: bool = False) -> list[AssignmentRecord]:
    """Return all assignments by name, deleted ones only if asked for."""
    query = select(assignments).order_by(assignments.c.name, assignments.c.id)
    if not deleted:
        query = query.where(assignments.c.deleted.is_(None))
    return await all_of(connection, AssignmentRecord, query)


async def names(connection: AsyncConnection) -> dict[int, str]:
    """Return the names of all assignments, deleted ones as well, by their ids."""
    rows = await connection.execute(select(assignments.c.id, assignments.c.name))
    return {row.id: row.name for row in rows}


async def add(
    connection: AsyncConnection, *, name: str, application_id: str, now: datetime
) -> AssignmentRecord:
    """Keep a new assignment, which as yet has no revision."""
    added = await connection.execute(
        assignments.insert().values(
            name=name, application_id=application_id, revision=0, created=now, changed=now
        )
    )
    assert added.inserted_primary_key is not None  # noqa: S101 - there is one in every table
    found = await get(connection, int(added.inserted_primary_key[0]))
    assert found is not None  # noqa: S101 - it was just added
    return found


async def save(connection: AsyncConnection, record: AssignmentRecord) -> None:
    """Replace what is known of an assignment."""
    await connection.execute(
        assignments.update()
        .where(assignments.c.id == record.id)
        .values(revision=record.revision, changed=record.changed, deleted=record.deleted)
    )


async def add_revision(connection: AsyncConnection, revision: AssignmentRevision) -> None:
    """Keep a new revision."""
    await connection.execute(
        assignment_revisions.insert().values(
            assignment_id=revision.assignment_id,
            number=revision.number,
            spec=revision.spec,
            created=revision.created,
            actor=revision.actor,
            reason=revision.reason,
        )
    )


async def revision(connection: AsyncConnection, assignment_id: int, number: int) -> AssignmentRevision | None:
    """Return one revision."""
    query = select(assignment_revisions).where(
        assignment_revisions.c.assignment_id == assignment_id, assignment_revisions.c.number == number
    )
    return await one_of(connection, AssignmentRevision, query)


async def revisions(connection: AsyncConnection, assignment_id: int) -> list[AssignmentRevision]:
    """Return all revisions of an assignment, the newest first."""
    query = (
        select(assignment_revisions)
        .where(assignment_revisions.c.assignment_id == assignment_id)
        .order_by(assignment_revisions.c.number.desc())
    )
    return await all_of(connection, AssignmentRevision, query)


async def newest_revisions(connection: AsyncConnection) -> dict[int, AssignmentRevision]:
    """Return the newest revision of every assignment that is not deleted, by the assignment's id."""
    query = (
        select(assignment_revisions)
        .join(
            assignments,
            (assignments.c.id == assignment_revisions.c.assignment_id)
            & (assignments.c.revision == assignment_revisions.c.number),
        )
        .where(assignments.c.deleted.is_(None))
    )
    found = await all_of(connection, AssignmentRevision, query)
    return {one.assignment_id: one for one in found}
