"""Finds things by a part of their names, for the search box: a few of each kind, the closest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.tables import assignments, clients, deployments, packages


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What of one kind was found; `total` may be more than is listed."""

    rows: Sequence[Any]
    total: int


async def devices(connection: AsyncConnection, text: str, *, most: int) -> Found:
    """Find clients by id; rows have `client_id` and `state`."""
    wanted = _contains(text, clients.c.client_id)
    rows = select(clients.c.client_id, clients.c.state).where(wanted)
    return await _found(connection, rows, _closeness(text, clients.c.client_id), clients.c.client_id, most)


async def applications(connection: AsyncConnection, text: str, *, most: int) -> Found:
    """Find applications by id or name; rows have `application_id`, `name`, count of `versions`."""
    wanted = _contains(text, packages.c.application_id, packages.c.name)
    rows = (
        select(
            packages.c.application_id,
            func.max(packages.c.name).label("name"),
            func.count().label("versions"),
        )
        .where(wanted)
        .group_by(packages.c.application_id)
    )
    closeness = _closeness(text, packages.c.application_id)
    return await _found(connection, rows, closeness, packages.c.application_id, most)


async def assignments_called(connection: AsyncConnection, text: str, *, most: int) -> Found:
    """Find assignments by name or application; rows have `name` and `application_id`."""
    wanted = _contains(text, assignments.c.name, assignments.c.application_id)
    rows = select(assignments.c.name, assignments.c.application_id).where(
        wanted, assignments.c.deleted.is_(None)
    )
    return await _found(connection, rows, _closeness(text, assignments.c.name), assignments.c.name, most)


async def single_deployments(connection: AsyncConnection, text: str, *, most: int) -> Found:
    """Find deployments that belong to no assignment; rows have `id`, `name`, `version` and `client_id`.

    An id finds any deployment.
    """
    is_single = deployments.c.assignment_id.is_(None) & deployments.c.deleted.is_(None)
    by_name = is_single & _contains(text, deployments.c.name, deployments.c.application_id)
    by_id = deployments.c.id.startswith(text.lower(), autoescape=True) if len(text) >= 4 else None
    rows = select(deployments.c.id, deployments.c.name, deployments.c.version, deployments.c.client_id).where(
        by_name if by_id is None else or_(by_name, by_id)
    )
    return await _found(connection, rows, _closeness(text, deployments.c.name), deployments.c.id, most)


async def _found(
    connection: AsyncConnection, rows: Any, closeness: Any, then: Column[Any], most: int
) -> Found:
    total = await connection.scalar(select(func.count()).select_from(rows.subquery()))
    listed = await connection.execute(rows.order_by(closeness, then).limit(most))
    return Found(rows=listed.all(), total=total or 0)


def _contains(text: str, *columns: Column[Any]) -> ColumnElement[bool]:
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _closeness(text: str, column: Column[Any]) -> ColumnElement[int]:
    """Rank what is exactly `text` before what begins with it, and that before the rest."""
    return case(
        (func.lower(column) == text.lower(), 0),
        (column.istartswith(text, autoescape=True), 1),
        else_=2,
    )
