"""Invitations: one-time tokens, kept as digests only (docs/decisions/0005)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import enrollments


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """One invitation; `key_digest` and `svid` are what its only user brought and got."""

    id: int
    client_id: str
    secret_digest: str
    created: datetime
    expires: datetime
    used: datetime | None
    key_digest: str | None
    svid: str | None
    withdrawn: datetime | None


async def by_secret(connection: AsyncConnection, secret_digest: str) -> Enrollment | None:
    """Return the invitation whose secret has this digest."""
    return await one_of(
        connection, Enrollment, select(enrollments).where(enrollments.c.secret_digest == secret_digest)
    )


async def every(connection: AsyncConnection) -> list[Enrollment]:
    """Return all invitations, the newest first."""
    return await all_of(connection, Enrollment, select(enrollments).order_by(enrollments.c.id.desc()))


async def open_for(connection: AsyncConnection, client_id: str, *, now: datetime) -> Enrollment | None:
    """Return the invitation of that name that may still be used."""
    return await one_of(
        connection,
        Enrollment,
        select(enrollments).where(
            enrollments.c.client_id == client_id,
            enrollments.c.used.is_(None),
            enrollments.c.withdrawn.is_(None),
            enrollments.c.expires > now,
        ),
    )


async def add(
    connection: AsyncConnection, *, client_id: str, secret_digest: str, created: datetime, expires: datetime
) -> None:
    """Keep a new invitation; open ones of the same client are withdrawn: the last word counts."""
    await withdraw(connection, client_id, now=created)
    await connection.execute(
        enrollments.insert().values(
            client_id=client_id, secret_digest=secret_digest, created=created, expires=expires
        )
    )


async def withdraw(connection: AsyncConnection, client_id: str, *, now: datetime) -> None:
    """Make every invitation of this client worthless that is not so already."""
    await connection.execute(
        enrollments.update()
        .where(enrollments.c.client_id == client_id, enrollments.c.withdrawn.is_(None))
        .values(withdrawn=now)
    )


async def use(
    connection: AsyncConnection, enrollment_id: int, *, key_digest: str, svid: str, now: datetime
) -> None:
    """Remember who used an invitation and what it was answered with."""
    await connection.execute(
        enrollments.update()
        .where(enrollments.c.id == enrollment_id)
        .values(used=now, key_digest=key_digest, svid=svid)
    )
