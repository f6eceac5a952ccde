"""Clients: who is accepted, who was, and when each was last heard of (spec: ID-20)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import touch
from edgewright.server.store.rows import all_of, among, one_of
from edgewright.server.store.tables import clients


class ClientState(StrEnum):
    """Whether the policy admits a client; a retired one may be accepted again."""

    ACCEPTED = "accepted"
    RETIRED = "retired"


class Origin(StrEnum):
    """Who issued the client's SVID: this server when it enrolled, or an authority of somebody else."""

    ENROLLED = "enrolled"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One line of the accepted-client policy; `labels` are the operators', as JSON."""

    client_id: str
    state: ClientState
    origin: Origin
    created: datetime
    retired: datetime | None
    key_digest: str | None
    svid_expires: datetime | None
    last_contact: datetime | None
    labels: str = "{}"

    @property
    def is_accepted(self) -> bool:
        """Whether the policy admits this client at all."""
        return self.state == ClientState.ACCEPTED


async def get(connection: AsyncConnection, client_id: str) -> Client | None:
    """Return the client of that id."""
    return await one_of(connection, Client, select(clients).where(clients.c.client_id == client_id))


async def with_key(connection: AsyncConnection, key_digest: str) -> Client | None:
    """Return the accepted client that comes with this key."""
    query = select(clients).where(clients.c.key_digest == key_digest, clients.c.state == ClientState.ACCEPTED)
    return await one_of(connection, Client, query)


async def every(connection: AsyncConnection) -> list[Client]:
    """Return all clients, retired ones as well, by id."""
    return await all_of(connection, Client, select(clients).order_by(clients.c.client_id))


async def accept(
    connection: AsyncConnection,
    client_id: str,
    *,
    origin: Origin,
    key_digest: str | None,
    svid_expires: datetime | None,
    now: datetime,
) -> None:
    """Put a client on the list, new or known, with the only key it may come with (None: any)."""
    touch(connection, client_id)
    values = {
        "state": ClientState.ACCEPTED,
        "origin": origin,
        "retired": None,
        "key_digest": key_digest,
        "svid_expires": svid_expires,
    }
    updated = await connection.execute(
        clients.update().where(clients.c.client_id == client_id).values(**values)
    )
    if updated.rowcount == 0:
        await connection.execute(clients.insert().values(client_id=client_id, created=now, **values))


async def retire(connection: AsyncConnection, client_id: str, *, now: datetime) -> None:
    """Take a client off the list; what is known of it stays."""
    touch(connection, client_id)
    await connection.execute(
        clients.update()
        .where(clients.c.client_id == client_id)
        .values(state=ClientState.RETIRED, retired=now)
    )


async def set_labels(connection: AsyncConnection, client_id: str, labels: str) -> None:
    """Replace the labels that operators gave a client, as JSON."""
    await connection.execute(clients.update().where(clients.c.client_id == client_id).values(labels=labels))


async def of_ids(connection: AsyncConnection, client_ids: Sequence[str] | None) -> list[Client]:
    """Return the clients of these ids, or all (None)."""
    query = select(clients)
    return await all_of(connection, Client, among(query, clients.c.client_id, client_ids))


async def save_contacts(connection: AsyncConnection, contacts: Mapping[str, datetime]) -> None:
    """Write down when each client (by id) was last heard of."""
    if not contacts:
        return
    await connection.execute(
        clients.update()
        .where(clients.c.client_id == bindparam("client"))
        .values(last_contact=bindparam("moment")),
        [{"client": client_id, "moment": moment} for client_id, moment in contacts.items()],
    )
