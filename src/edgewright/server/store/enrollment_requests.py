"""Keys that ask to be let in, and what was decided (docs/decisions/0021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.admission import RequestState
from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import enrollment_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentAsked:
    """One request; `public_key` is DER, `name` is the wish of the device, `client_id` what it was granted."""

    fingerprint: str
    key_digest: str
    public_key: bytes
    name: str
    hostname: str
    version: str
    address: str
    created: datetime
    seen: datetime
    state: RequestState
    decided: datetime | None = None
    actor: str | None = None
    client_id: str | None = None
    reason: str = ""
    svid: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a person has still to decide."""
        return self.state == RequestState.WAITING


_COLUMNS = enrollment_requests.c


async def get(connection: AsyncConnection, fingerprint: str) -> EnrollmentAsked | None:
    """Return the request of that fingerprint."""
    query = select(enrollment_requests).where(_COLUMNS.fingerprint == fingerprint)
    return await one_of(connection, EnrollmentAsked, query)


async def every(connection: AsyncConnection, *, state: RequestState | None = None) -> list[EnrollmentAsked]:
    """Return all requests, or those in one state, the oldest first."""
    query = select(enrollment_requests).order_by(_COLUMNS.created, _COLUMNS.fingerprint)
    if state is not None:
        query = query.where(_COLUMNS.state == state)
    return await all_of(connection, EnrollmentAsked, query)


async def add(connection: AsyncConnection, asked: EnrollmentAsked) -> None:
    """Keep a new request."""
    values = {name: getattr(asked, name) for name in enrollment_requests.c.keys()}  # noqa: SIM118
    await connection.execute(enrollment_requests.insert().values(**values))


async def change(connection: AsyncConnection, fingerprint: str, **values: Any) -> None:
    """Change columns of one request."""
    await connection.execute(
        enrollment_requests.update().where(_COLUMNS.fingerprint == fingerprint).values(**values)
    )


async def remove(connection: AsyncConnection, fingerprints: Sequence[str]) -> None:
    """Forget requests."""
    await connection.execute(enrollment_requests.delete().where(_COLUMNS.fingerprint.in_(fingerprints)))


async def remove_of_client(connection: AsyncConnection, client_id: str) -> None:
    """Forget by which request a client came: its key asks anew if it comes again."""
    await connection.execute(enrollment_requests.delete().where(_COLUMNS.client_id == client_id))
