"""Capabilities as devices reported them, each record within one client (spec: API-8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.clients import ClientState
from edgewright.server.store.rows import all_of, among
from edgewright.server.store.tables import clients, devices

# Of more than so many all are read: a statement takes only so many values.
_FEW = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a client; `document` are the bytes it sent last."""

    client_id: str
    device_id: str
    document: bytes
    created: datetime
    updated: datetime


async def every(connection: AsyncConnection) -> list[Device]:
    """Return all records of all clients, by client and device id."""
    return await all_of(
        connection, Device, select(devices).order_by(devices.c.client_id, devices.c.device_id)
    )


async def of_clients(connection: AsyncConnection, client_ids: Sequence[str] | None) -> list[Device]:
    """Return all records of these clients, or of all (None), by client and device id."""
    query = select(devices).order_by(devices.c.client_id, devices.c.device_id)
    return await all_of(connection, Device, among(query, devices.c.client_id, client_ids))


async def of_client(connection: AsyncConnection, client_id: str) -> list[Device]:
    """Return all records of one client, by device id."""
    query = select(devices).where(devices.c.client_id == client_id).order_by(devices.c.device_id)
    return await all_of(connection, Device, query)


async def ids_of_client(connection: AsyncConnection, client_id: str) -> list[str]:
    """Return the ids of all devices of one client, sorted."""
    query = select(devices.c.device_id).where(devices.c.client_id == client_id).order_by(devices.c.device_id)
    return list((await connection.scalars(query)).all())


async def reports_of_accepted(connection: AsyncConnection) -> dict[tuple[str, str], datetime]:
    """Return client and device id of every device of accepted clients, sorted, to when it reported last."""
    query = (
        select(devices.c.client_id, devices.c.device_id, devices.c.updated)
        .join(clients, clients.c.client_id == devices.c.client_id)
        .where(clients.c.state == ClientState.ACCEPTED)
        .order_by(devices.c.client_id, devices.c.device_id)
    )
    return {(row[0], row[1]): row[2] for row in (await connection.execute(query)).all()}


async def documents(
    connection: AsyncConnection, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], bytes]:
    """Return what these devices, by client and device id, sent last."""
    query = select(devices.c.client_id, devices.c.device_id, devices.c.document)
    if len(wanted) <= _FEW:
        query = query.where(devices.c.client_id.in_({client_id for client_id, _ in wanted}))
    asked = set(wanted)
    rows = (await connection.execute(query)).all()
    return {(row[0], row[1]): row[2] for row in rows if (row[0], row[1]) in asked}


async def put(
    connection: AsyncConnection, client_id: str, device_id: str, document: bytes, *, now: datetime
) -> bool:
    """Keep a report; return whether it is the first of this device."""
    updated = await connection.execute(
        devices.update()
        .where(devices.c.client_id == client_id, devices.c.device_id == device_id)
        .values(document=document, updated=now)
    )
    if updated.rowcount:
        return False
    await connection.execute(
        devices.insert().values(
            client_id=client_id, device_id=device_id, document=document, created=now, updated=now
        )
    )
    return True


async def remove(connection: AsyncConnection, client_id: str, device_ids: Sequence[str]) -> None:
    """Forget these records."""
    await connection.execute(
        delete(devices).where(devices.c.client_id == client_id, devices.c.device_id.in_(device_ids))
    )
