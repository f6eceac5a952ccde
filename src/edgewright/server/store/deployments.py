"""Deployments and the reports about them. Deleted ones stay: their devices still report the removal."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.status import State
from edgewright.server.store.rows import all_of, among, one_of
from edgewright.server.store.tables import deployment_revisions, deployments, documents, statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """One application for one device; `parameters` is the choice as JSON, `changed_version` ST-25's T.

    `attempt` is how often its device was asked to try the same again.
    """

    id: str
    client_id: str
    device_id: str
    application_id: str
    version: str
    profile_id: str
    name: str
    parameters: str
    digest: str
    changed_version: int
    position: int
    created: datetime
    changed: datetime
    deleted: datetime | None
    assignment_id: int | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRevision:
    """What a deployment was from `created` on; `digest` is empty for the one that removed it."""

    deployment_id: str
    number: int
    version: str
    profile_id: str
    parameters: str
    digest: str
    changed_version: int
    created: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """One report as it was received."""

    id: int
    deployment_id: str
    received: datetime
    state: str
    adopted_version: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which deployments a list has; None lets all through.

    `text` is looked for in names, applications and clients, whatever the case of its letters. Removed ones
    are those that were deleted and of which the device has said that they are gone.
    """

    client_id: str | None = None
    assignment_id: int | None = None
    application_id: str | None = None
    version: str | None = None
    text: str | None = None
    with_removed: bool = True


async def get(connection: AsyncConnection, deployment_id: str) -> DeploymentRecord | None:
    """Return one deployment, deleted ones as well."""
    return await one_of(
        connection, DeploymentRecord, select(deployments).where(deployments.c.id == deployment_id)
    )


async def every(connection: AsyncConnection, *, client_id: str | None = None) -> list[DeploymentRecord]:
    """Return all deployments, or those of one client, by creation, deleted ones as well."""
    query = select(deployments).order_by(deployments.c.position)
    if client_id is not None:
        query = query.where(deployments.c.client_id == client_id)
    return await all_of(connection, DeploymentRecord, query)


async def called(connection: AsyncConnection, deployment_ids: Sequence[str]) -> list[DeploymentRecord]:
    """Return the deployments of these ids, by creation."""
    query = select(deployments).where(deployments.c.id.in_(deployment_ids))
    return await all_of(connection, DeploymentRecord, query.order_by(deployments.c.position))


async def matching(
    connection: AsyncConnection, wanted: Filter, *, after: int | None = None, limit: int | None = None
) -> list[DeploymentRecord]:
    """Return the deployments that `wanted` lets through, by creation: at most `limit` behind a position."""
    query = select(deployments).where(_condition(wanted)).order_by(deployments.c.position).limit(limit)
    if after is not None:
        query = query.where(deployments.c.position > after)
    return await all_of(connection, DeploymentRecord, query)


async def count(connection: AsyncConnection, wanted: Filter) -> int:
    """Return how many deployments `wanted` lets through."""
    query = select(func.count()).select_from(deployments).where(_condition(wanted))
    return int(await connection.scalar(query) or 0)


async def of_clients(connection: AsyncConnection, client_ids: Sequence[str] | None) -> list[DeploymentRecord]:
    """Return the deployments of these clients, or of all (None), by creation, deleted ones as well."""
    query = select(deployments).order_by(deployments.c.position)
    return await all_of(connection, DeploymentRecord, among(query, deployments.c.client_id, client_ids))


async def of_assignment(
    connection: AsyncConnection, assignment_id: int, client_ids: Sequence[str] | None = None
) -> list[DeploymentRecord]:
    """Return the deployments of an assignment that are wanted now, of these clients or of all."""
    query = (
        select(deployments)
        .where(deployments.c.assignment_id == assignment_id, deployments.c.deleted.is_(None))
        .order_by(deployments.c.position)
    )
    return await all_of(connection, DeploymentRecord, among(query, deployments.c.client_id, client_ids))


async def names_on(connection: AsyncConnection, client_id: str) -> dict[str, str]:
    """Return the names of the deployments wanted on a client, each with its id."""
    query = select(deployments.c.name, deployments.c.id).where(
        deployments.c.client_id == client_id, deployments.c.deleted.is_(None)
    )
    return {row.name: row.id for row in await connection.execute(query)}


async def add_revision(
    connection: AsyncConnection, deployment: DeploymentRecord, *, actor: str, reason: str
) -> int:
    """Keep what a deployment is now as its next revision; return the revision's number."""
    of_deployment = deployment_revisions.c.deployment_id == deployment.id
    highest = await connection.scalar(select(func.max(deployment_revisions.c.number)).where(of_deployment))
    number = int(highest or 0) + 1
    await connection.execute(
        deployment_revisions.insert().values(
            deployment_id=deployment.id,
            number=number,
            version=deployment.version,
            profile_id=deployment.profile_id,
            parameters=deployment.parameters,
            digest="" if deployment.deleted else deployment.digest,
            changed_version=deployment.changed_version,
            created=deployment.changed,
            actor=actor,
            reason=reason,
        )
    )
    return number


async def revisions(connection: AsyncConnection, deployment_id: str) -> list[DeploymentRevision]:
    """Return all revisions of a deployment, the newest first."""
    query = (
        select(deployment_revisions)
        .where(deployment_revisions.c.deployment_id == deployment_id)
        .order_by(deployment_revisions.c.number.desc())
    )
    return await all_of(connection, DeploymentRevision, query)


async def using_package(connection: AsyncConnection, application_id: str, version: str) -> list[str]:
    """Return the ids of the deployments that want this version of an application now."""
    query = select(deployments.c.id).where(
        deployments.c.application_id == application_id,
        deployments.c.version == version,
        deployments.c.deleted.is_(None),
    )
    return list((await connection.scalars(query)).all())


async def next_position(connection: AsyncConnection) -> int:
    """Return a number greater than every deployment's position; it keeps the order of creation."""
    highest = await connection.scalar(select(func.max(deployments.c.position)))
    return int(highest or 0) + 1


async def add(connection: AsyncConnection, deployment: DeploymentRecord) -> None:
    """Keep a new deployment."""
    await connection.execute(deployments.insert().values(**_columns(deployment)))


async def save(connection: AsyncConnection, deployment: DeploymentRecord) -> None:
    """Replace what is known of a deployment."""
    await connection.execute(
        deployments.update().where(deployments.c.id == deployment.id).values(**_columns(deployment))
    )


async def current_document(connection: AsyncConnection, deployment: DeploymentRecord) -> bytes | None:
    """Return the document the deployment's device is to have, None once a removed one was cleared away."""
    found: bytes | None = await connection.scalar(
        select(documents.c.body).where(
            documents.c.deployment_id == deployment.id, documents.c.digest == deployment.digest
        )
    )
    return found


async def current_documents(
    connection: AsyncConnection, among: Collection[str] | None = None
) -> dict[str, bytes]:
    """Return the documents of all deployments that are wanted now, or of those `among` them, by their id."""
    query = (
        select(documents.c.deployment_id, documents.c.body)
        .join(
            deployments,
            (documents.c.deployment_id == deployments.c.id) & (documents.c.digest == deployments.c.digest),
        )
        .where(deployments.c.deleted.is_(None))
    )
    if among is not None:
        query = query.where(documents.c.deployment_id.in_(among))
    return {row.deployment_id: row.body for row in await connection.execute(query)}


async def add_status(
    connection: AsyncConnection,
    *,
    deployment_id: str,
    received: datetime,
    state: str,
    adopted_version: int,
    body: bytes,
    keep: int,
) -> None:
    """Append a report; the oldest beyond `keep` are forgotten."""
    await connection.execute(
        statuses.insert().values(
            deployment_id=deployment_id,
            received=received,
            state=state,
            adopted_version=adopted_version,
            body=body,
        )
    )
    of_deployment = statuses.c.deployment_id == deployment_id
    oldest_kept = (
        select(statuses.c.id).where(of_deployment).order_by(statuses.c.id.desc()).offset(keep).limit(1)
    )
    await connection.execute(
        delete(statuses).where(of_deployment, statuses.c.id <= oldest_kept.scalar_subquery())
    )


async def last_status(connection: AsyncConnection, deployment_id: str) -> StatusRecord | None:
    """Return the newest report about a deployment."""
    query = _statuses(deployment_id).order_by(statuses.c.id.desc()).limit(1)
    return await one_of(connection, StatusRecord, query)


async def last_statuses(
    connection: AsyncConnection, among: Collection[str] | None = None
) -> dict[str, StatusRecord]:
    """Return the newest report of every deployment, or of those `among` them, by its id."""
    newest = select(func.max(statuses.c.id)).group_by(statuses.c.deployment_id)
    if among is not None:
        newest = newest.where(statuses.c.deployment_id.in_(among))
    found = await all_of(connection, StatusRecord, select(statuses).where(statuses.c.id.in_(newest)))
    return {status.deployment_id: status for status in found}


async def last_statuses_of_clients(
    connection: AsyncConnection, client_ids: Sequence[str] | None
) -> dict[str, StatusRecord]:
    """Return the newest report of every deployment of these clients, or of all (None), by its id."""
    newest = select(func.max(statuses.c.id)).group_by(statuses.c.deployment_id)
    if client_ids is not None:
        theirs = select(deployments.c.id).where(deployments.c.client_id.in_(client_ids))
        newest = newest.where(statuses.c.deployment_id.in_(theirs))
    found = await all_of(connection, StatusRecord, select(statuses).where(statuses.c.id.in_(newest)))
    return {status.deployment_id: status for status in found}


async def history(connection: AsyncConnection, deployment_id: str) -> list[StatusRecord]:
    """Return every report about a deployment, in the order received."""
    return await all_of(connection, StatusRecord, _statuses(deployment_id).order_by(statuses.c.id))


def _condition(wanted: Filter) -> ColumnElement[bool]:
    conditions = [
        column == value
        for column, value in (
            (deployments.c.client_id, wanted.client_id),
            (deployments.c.application_id, wanted.application_id),
            (deployments.c.version, wanted.version),
            (deployments.c.assignment_id, wanted.assignment_id),
        )
        if value is not None
    ]
    if wanted.text is not None:
        searched = (deployments.c.name, deployments.c.application_id, deployments.c.client_id)
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in searched)))
    if not wanted.with_removed:
        conditions.append(not_(and_(deployments.c.deleted.is_not(None), _last_state() == State.REMOVED)))
    return and_(True, *conditions)


def _last_state() -> ColumnElement[str | None]:
    """Return the state in the newest report about a deployment; '' where there is none."""
    newest = (
        select(statuses.c.state)
        .where(statuses.c.deployment_id == deployments.c.id)
        .order_by(statuses.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(newest, "")


def _statuses(deployment_id: str) -> Select[Any]:
    return select(statuses).where(statuses.c.deployment_id == deployment_id)


def _columns(deployment: DeploymentRecord) -> dict[str, object]:
    return {column.name: getattr(deployment, column.name) for column in deployments.columns}
