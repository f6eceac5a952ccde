"""Which devices of the fleet an application fits, before anybody decides anything (spec: MAT-2)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.description import ApplicationDescription
from edgewright.server.domain.placement import misfits
from edgewright.server.store import clients, devices
from edgewright.server.store.devices import Device

# So many devices are judged between what others wait for; more are judged in a thread beside it.
_FEW = 100
_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Suited:
    """One device: the first profile that fits it, or why none does, profile to reasons."""

    client_id: str
    device_id: str
    profile: str | None
    reasons: Mapping[str, Sequence[str]]


async def suited_devices(connection: AsyncConnection, description: ApplicationDescription) -> list[Suited]:
    """Return every device of accepted clients that hosts workloads, by client and device id."""
    accepted = {one.client_id for one in await clients.every(connection) if one.is_accepted}
    known = [one for one in await devices.every(connection) if one.client_id in accepted]
    if len(known) <= _FEW:
        return _judge(known, description)
    return await asyncio.to_thread(_judge, known, description)


def _judge(known: Sequence[Device], description: ApplicationDescription) -> list[Suited]:
    judged = ((one, _capabilities(one.device_id, one.document)) for one in known)
    return [_suited(one, found, description) for one, found in judged if found.is_hosting]


def _suited(device: Device, capabilities: DeviceCapabilities, description: ApplicationDescription) -> Suited:
    reasons: dict[str, Sequence[str]] = {}
    fitting = None
    for profile in description.deployment_profiles:
        found = misfits(profile, capabilities)
        if not found:
            fitting = profile.id
            break
        reasons[profile.id] = [reason.removeprefix(f"{device.device_id} ") for reason in found]
    return Suited(
        client_id=device.client_id,
        device_id=device.device_id,
        profile=fitting,
        reasons={} if fitting is not None else reasons,
    )


@lru_cache(maxsize=_KEPT)
def _capabilities(device_id: str, document: bytes) -> DeviceCapabilities:
    return DeviceCapabilities.parse(document, source=device_id)
