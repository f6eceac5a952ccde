"""What is known now of the devices of a rollout: their contact, and what became of what they were given."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.status import DeploymentStatus
from edgewright.server.context import Heard
from edgewright.server.domain.contact import Contact, ContactState, contact
from edgewright.server.domain.rollouts import Observed
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet.sites import announced_by, holds_of
from edgewright.server.fleet.truths import hold_on, truth_of
from edgewright.server.store.clients import Client
from edgewright.server.store.deployments import DeploymentRecord, StatusRecord
from edgewright.server.store.rows import all_of
from edgewright.server.store.sites import SiteSummary
from edgewright.server.store.tables import clients, deployments, sites, statuses

# A database takes only so many values in one list.
_FEW: Final = 500


async def observe(
    connection: AsyncConnection, devices: Mapping[str, str | None], heard: Heard
) -> dict[str, Observed]:
    """Return what is known of `devices`, which map client id to the deployment that counts, if any."""
    observed: dict[str, Observed] = {}
    for some in _portions(devices):
        observed |= await _observe(connection, {name: devices[name] for name in some}, heard)
    return observed


async def _observe(
    connection: AsyncConnection, devices: Mapping[str, str | None], heard: Heard
) -> dict[str, Observed]:
    ids = [deployment_id for deployment_id in devices.values() if deployment_id is not None]
    known = await all_of(connection, Client, select(clients).where(clients.c.client_id.in_(devices)))
    reported = {site.client_id: site for site in await all_of(connection, SiteSummary, _sites(devices))}
    given = await all_of(connection, DeploymentRecord, select(deployments).where(deployments.c.id.in_(ids)))
    records = {record.id: record for record in given}
    newest = (
        select(func.max(statuses.c.id))
        .where(statuses.c.deployment_id.in_(ids))
        .group_by(statuses.c.deployment_id)
    )
    said = await all_of(connection, StatusRecord, select(statuses).where(statuses.c.id.in_(newest)))
    last = {status.deployment_id: status for status in said}
    return {
        client.client_id: _of_device(
            client,
            reported.get(client.client_id),
            records.get(devices[client.client_id] or ""),
            last.get(devices[client.client_id] or ""),
            heard,
        )
        for client in known
    }


def _sites(client_ids: Iterable[str]) -> Select[Any]:
    columns = (sites.c.client_id, sites.c.policy, sites.c.is_clock_trusted, sites.c.holds)
    return select(*columns).where(sites.c.client_id.in_(client_ids))


def _of_device(
    client: Client,
    site: SiteSummary | None,
    record: DeploymentRecord | None,
    status: StatusRecord | None,
    heard: Heard,
) -> Observed:
    if not client.is_accepted:
        return Observed(contact=None)
    last = heard.last(client)
    moment = None if last is None else last.timestamp()
    cut = heard.cut.get(client.client_id)
    found = contact(
        moment,
        announced_by(site),
        heard.now.timestamp(),
        deaf=heard.deaf,
        cut=None if cut is None else cut.timestamp(),
    )
    if record is None:
        return Observed(contact=found.word, message=_silence(found))
    hold = hold_on(record, status, holds_of(site))
    truth = truth_of(record, status, hold)
    match truth:
        case Truth.FAILED:
            message = _failure(status)
        case Truth.WAITING_FOR_APPROVAL | Truth.HELD if hold is not None:
            message = hold.message
        case _:
            message = _silence(found)
    return Observed(contact=found.word, truth=truth, message=message)


def _failure(status: StatusRecord | None) -> str:
    """Return what a device says went wrong; its components say more than the whole."""
    if status is None:
        return ""
    document = DeploymentStatus.parse(status.body, source="status")
    error = document.status.error
    whole = "" if error is None or error.is_empty else error.message or error.code
    parts = [
        f"{one.name}: {one.error.message or one.error.code}"
        for one in document.components
        if one.error is not None and not one.error.is_empty
    ]
    return whole or "; ".join(parts)


def _silence(found: ContactState) -> str:
    match found.word:
        case Contact.SILENT if found.since is not None:
            return f"silent since {_words(found.since)}"
        case Contact.NEVER:
            return "never heard of yet"
        case Contact.PLANNED_SILENCE if found.until is not None:
            return f"silent as planned until {_words(found.until)}"
        case _:
            return ""


def _words(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _portions(values: Iterable[str]) -> Iterator[Sequence[str]]:
    remaining = iter(values)
    while some := list(islice(remaining, _FEW)):
        yield some
