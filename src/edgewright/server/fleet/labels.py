"""The labels of devices: what they report themselves, and over it what operators gave them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.labels import Selector, check_labels
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet.membership import client_called
from edgewright.server.store import audit, clients, devices
from edgewright.server.store.clients import Client
from edgewright.server.store.database import announce
from edgewright.server.store.devices import Device

MOST_LABELS = 64


class _Reported(msgspec.Struct, frozen=True):
    labels: dict[str, Any] = {}


def labels_of(client: Client, reported: Iterable[Device]) -> dict[str, str]:
    """Return the labels selectors see; `reported` are the client's devices, children do not count."""
    labels: dict[str, str] = {}
    for device in reported:
        if "/" not in device.device_id:
            labels |= _reported(device.document)
    return labels | own_labels(client)


def own_labels(client: Client) -> dict[str, str]:
    """Return the labels that operators gave a client."""
    return msgspec.json.decode(client.labels, type=dict[str, str])


async def set_labels(
    connection: AsyncConnection,
    client_id: str,
    changes: Mapping[str, str | None],
    *,
    actor: str,
    now: datetime,
) -> Client:
    """Give a client these labels, take away those that are None here, and leave all others; return it.

    Raises `NotFoundError`, and `InvalidError` naming each label that cannot be used.
    """
    client = await client_called(connection, client_id)
    before = own_labels(client)
    check_labels({key: value for key, value in changes.items() if value is not None})
    after = dict(sorted(_changed(before, changes).items()))
    if len(after) > MOST_LABELS:
        fault = Fault(field="labels", message=f"a device has at most {MOST_LABELS} labels of its own here")
        raise InvalidError("the labels cannot be used", fault)
    if after == before:
        return client
    text = msgspec.json.encode(after).decode()
    await clients.set_labels(connection, client_id, text)
    announce(connection, "devices", f"device:{client_id}")
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="label device",
        subject=client_id,
        before=before,
        after=after,
    )
    return await client_called(connection, client_id)


async def selected(connection: AsyncConnection, selector: Selector) -> list[str]:
    """Return the ids of all accepted clients that `selector` selects, sorted."""
    reported: dict[str, list[Device]] = {}
    for device in await devices.every(connection):
        reported.setdefault(device.client_id, []).append(device)
    return [
        client.client_id
        for client in await clients.every(connection)
        if client.is_accepted and selector.matches(labels_of(client, reported.get(client.client_id, ())))
    ]


async def label_many(
    connection: AsyncConnection,
    client_ids: Sequence[str],
    changes: Mapping[str, str | None],
    *,
    actor: str,
    now: datetime,
) -> int:
    """Do `set_labels` for all of these; return how many were changed by it."""
    changed = 0
    for client_id in client_ids:
        before = (await client_called(connection, client_id)).labels
        after = await set_labels(connection, client_id, changes, actor=actor, now=now)
        changed += after.labels != before
    return changed


def _changed(labels: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    kept = {key: value for key, value in labels.items() if key not in changes}
    return kept | {key: value for key, value in changes.items() if value is not None}


def _reported(document: bytes) -> dict[str, str]:
    """Return what a capability file says, as text; lists of values are for constraints, not for selectors."""
    said = msgspec.json.decode(document, type=_Reported).labels
    return {key: _text(value) for key, value in said.items() if not isinstance(value, list | dict)}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
