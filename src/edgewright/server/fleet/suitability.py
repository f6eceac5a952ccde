"""Which devices of the fleet an application fits, before anybody decides anything (spec: MAT-2).

What was judged once is remembered until the device reports something else: people look again and again, and a
fleet is large.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.description import ApplicationDescription
from edgewright.server.domain.placement import misfits
from edgewright.server.fleet.catalogue import description_of
from edgewright.server.store import devices
from edgewright.server.store.packages import PackageRecord

# So many devices are judged between what others wait for; more are judged in a thread beside it.
_FEW = 100
# For so many versions of applications it is remembered whom they fit.
_MOST_PACKAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Suited:
    """One device: the first profile that fits it, or why none does, profile to reasons.

    `is_hosting` is False for one that hosts no workloads at all, as a gateway.
    """

    client_id: str
    device_id: str
    is_hosting: bool
    profile: str | None
    reasons: Mapping[str, Sequence[str]]


_Known = dict[tuple[str, str], tuple[datetime, Suited]]
_judged: OrderedDict[str, _Known] = OrderedDict()


async def suited_devices(connection: AsyncConnection, package: PackageRecord) -> list[Suited]:
    """Return every device of accepted clients that hosts workloads, by client and device id."""
    known = _known(package.digest)
    present = await devices.reports_of_accepted(connection)
    missing = [one for one, updated in present.items() if one not in known or known[one][0] != updated]
    if missing:
        description = description_of(package)
        documents = await devices.documents(connection, missing)
        if len(missing) <= _FEW:
            found = _judge_all(documents, description)
        else:
            found = await asyncio.to_thread(_judge_all, documents, description)
        known.update({one: (present[one], suited) for one, suited in found.items()})
    return [known[one][1] for one in present if one in known and known[one][1].is_hosting]


def _known(digest: str) -> _Known:
    known = _judged.setdefault(digest, {})
    _judged.move_to_end(digest)
    while len(_judged) > _MOST_PACKAGES:
        _judged.popitem(last=False)
    return known


def _judge_all(
    documents: Mapping[tuple[str, str], bytes], description: ApplicationDescription
) -> dict[tuple[str, str], Suited]:
    return {one: _judge(*one, document, description) for one, document in documents.items()}


def _judge(client_id: str, device_id: str, document: bytes, description: ApplicationDescription) -> Suited:
    capabilities = DeviceCapabilities.parse(document, source=device_id)
    reasons: dict[str, Sequence[str]] = {}
    fitting = None
    for profile in description.deployment_profiles:
        found = misfits(profile, capabilities)
        if not found:
            fitting = profile.id
            break
        reasons[profile.id] = [reason.removeprefix(f"{device_id} ") for reason in found]
    return Suited(
        client_id=client_id,
        device_id=device_id,
        is_hosting=capabilities.is_hosting,
        profile=fitting,
        reasons={} if fitting is not None else reasons,
    )
