"""Who uses which version of which application: deployments, and assignments whose devices may still come."""

import json

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.tables import assignment_revisions, assignments, deployments


async def deployments_using(
    connection: AsyncConnection, application_id: str | None = None
) -> list[tuple[str, str, str, str]]:
    """Return application, version, deployment id and client of every deployment that is wanted."""
    query = select(
        deployments.c.application_id, deployments.c.version, deployments.c.id, deployments.c.client_id
    ).where(deployments.c.deleted.is_(None))
    if application_id is not None:
        query = query.where(deployments.c.application_id == application_id)
    rows = await connection.execute(query.order_by(deployments.c.client_id, deployments.c.position))
    return [(row.application_id, row.version, row.id, row.client_id) for row in rows]


async def assignments_using(
    connection: AsyncConnection, application_id: str | None = None
) -> list[tuple[str, str, str]]:
    """Return application, version and name of every assignment as it says now."""
    query = (
        select(assignments.c.application_id, assignments.c.name, assignment_revisions.c.spec)
        .join(
            assignment_revisions,
            (assignment_revisions.c.assignment_id == assignments.c.id)
            & (assignment_revisions.c.number == assignments.c.revision),
        )
        .where(assignments.c.deleted.is_(None))
        .order_by(assignments.c.name)
    )
    if application_id is not None:
        query = query.where(assignments.c.application_id == application_id)
    return [
        (row.application_id, str(json.loads(row.spec)["version"]), row.name)
        for row in (await connection.execute(query)).all()
    ]
