"""Who uses which version of which application: deployments, and assignments whose devices may still come."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import distinct, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.tables import assignment_revisions, assignments, deployments


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """How often something is deployed, and on how many devices."""

    deployments: int = 0
    devices: int = 0


async def applications(connection: AsyncConnection) -> dict[str, Deployed]:
    """Return how often each application is deployed, whatever the version."""
    rows = await connection.execute(_counting(deployments.c.application_id))
    return {row[0]: Deployed(deployments=row[1], devices=row[2]) for row in rows}


async def versions(connection: AsyncConnection, application_id: str) -> dict[str, Deployed]:
    """Return how often each version of an application is deployed."""
    query = _counting(deployments.c.version).where(deployments.c.application_id == application_id)
    return {row[0]: Deployed(deployments=row[1], devices=row[2]) for row in await connection.execute(query)}


async def first(connection: AsyncConnection, application_id: str, version: str) -> tuple[str, str] | None:
    """Return id and client of a deployment that wants a version, as an example."""
    query = (
        select(deployments.c.id, deployments.c.client_id)
        .where(
            deployments.c.deleted.is_(None),
            deployments.c.application_id == application_id,
            deployments.c.version == version,
        )
        .order_by(deployments.c.position)
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else (row.id, row.client_id)


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


def _counting(column: Any) -> Any:
    counted = func.count(), func.count(distinct(deployments.c.client_id))
    return select(column, *counted).where(deployments.c.deleted.is_(None)).group_by(column)
