"""What happened to one client, the newest first: reports, changes by people, and its contact."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.deployments import StatusRecord
from edgewright.server.store.rows import all_of
from edgewright.server.store.tables import audit, contact_changes, deployments, statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the audit."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChange:
    """From when on a client's contact was another one; `word` is one of `domain.contact.Contact`."""

    client_id: str
    at: datetime
    word: str


async def changes(connection: AsyncConnection, subjects: Sequence[str], *, limit: int) -> list[Change]:
    """Return what was done to these subjects: a client's id and those of its deployments."""
    columns = [audit.c[name] for name in ("at", "actor", "action", "subject", "details")]
    query = select(*columns).where(audit.c.subject.in_(subjects)).order_by(audit.c.id.desc())
    return await all_of(connection, Change, query.limit(limit))


async def reports(connection: AsyncConnection, client_id: str, *, limit: int) -> list[StatusRecord]:
    """Return the newest reports about all deployments of a client."""
    query = (
        select(statuses)
        .join(deployments, deployments.c.id == statuses.c.deployment_id)
        .where(deployments.c.client_id == client_id)
        .order_by(statuses.c.id.desc())
        .limit(limit)
    )
    return await all_of(connection, StatusRecord, query)


async def contacts(connection: AsyncConnection, client_id: str, *, limit: int) -> list[ContactChange]:
    """Return how a client's contact changed."""
    query = _contacts().where(contact_changes.c.client_id == client_id)
    return await all_of(connection, ContactChange, query.order_by(contact_changes.c.id.desc()).limit(limit))


async def last_contacts(connection: AsyncConnection) -> dict[str, str]:
    """Return the word noted last of every client, by its id."""
    newest = select(func.max(contact_changes.c.id)).group_by(contact_changes.c.client_id)
    found = await all_of(connection, ContactChange, _contacts().where(contact_changes.c.id.in_(newest)))
    return {one.client_id: one.word for one in found}


async def note_contacts(connection: AsyncConnection, noted: Sequence[ContactChange]) -> None:
    """Note these changes."""
    if noted:
        await connection.execute(
            contact_changes.insert(),
            [{"client_id": one.client_id, "at": one.at, "word": one.word} for one in noted],
        )


async def forget_contacts(connection: AsyncConnection, *, before: datetime) -> None:
    """Forget what was noted before that."""
    await connection.execute(delete(contact_changes).where(contact_changes.c.at < before))


def _contacts() -> Select[Any]:
    return select(contact_changes.c.client_id, contact_changes.c.at, contact_changes.c.word)
