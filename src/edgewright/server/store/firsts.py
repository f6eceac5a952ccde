"""How far a new server has come: whether there is a device, a package, a deployment yet."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.admission import FORGET, RequestState
from edgewright.server.store.clients import ClientState
from edgewright.server.store.tables import clients, deployments, enrollment_requests, enrollments, packages


@dataclass(frozen=True, slots=True, kw_only=True)
class Firsts:
    """What there is already; `invited` is a device that was invited and has not come yet, `asking` how many
    wait to be let in.
    """

    has_device: bool
    has_package: bool
    has_deployment: bool
    invited: str | None
    asking: int = 0

    @property
    def are_done(self) -> bool:
        """Whether somebody has been through all of it once."""
        return self.has_device and self.has_package and self.has_deployment


async def load(connection: AsyncConnection, *, now: datetime) -> Firsts:
    """Return how far this server has come."""
    row = (
        await connection.execute(
            select(
                exists().where(clients.c.state == ClientState.ACCEPTED).label("has_device"),
                exists(select(packages.c.application_id)).label("has_package"),
                exists(select(deployments.c.id)).label("has_deployment"),
                select(enrollments.c.client_id)
                .where(
                    enrollments.c.used.is_(None),
                    enrollments.c.withdrawn.is_(None),
                    enrollments.c.expires > now,
                )
                .order_by(enrollments.c.id.desc())
                .limit(1)
                .scalar_subquery()
                .label("invited"),
                select(func.count())
                .select_from(enrollment_requests)
                .where(
                    enrollment_requests.c.state == RequestState.WAITING,
                    enrollment_requests.c.seen > now - FORGET,
                )
                .scalar_subquery()
                .label("asking"),
            )
        )
    ).one()
    return Firsts(
        has_device=bool(row.has_device),
        has_package=bool(row.has_package),
        has_deployment=bool(row.has_deployment),
        invited=row.invited,
        asking=row.asking,
    )
