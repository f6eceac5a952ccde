"""Shows clients as the operator API's JSON: what they are, whether they are in contact, what runs there."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.context import Heard
from edgewright.server.domain.contact import contact
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet.sites import announced_by
from edgewright.server.operator_api.documents import (
    CapabilityEntry,
    ContactEntry,
    DeviceDetail,
    DeviceEntry,
)
from edgewright.server.operator_api.site_views import hold_on, show_site, show_suggestion
from edgewright.server.operator_api.views import deployment_entries, truth_of
from edgewright.server.store import deployments, desired, sites, suggestions
from edgewright.server.store.clients import Client
from edgewright.server.store.devices import Device
from edgewright.server.store.sites import SiteSummary

# As many as a site reports; all that are kept have a route of their own.
_ACTIONS_SHOWN = 100


async def device_entries(
    connection: AsyncConnection, clients: Sequence[Client], devices: Sequence[Device], heard: Heard
) -> list[DeviceEntry]:
    """Show all clients with counts of their deployments."""
    versions = await desired.versions(connection)
    reported = await sites.summaries(connection)
    counts = await _counts(connection, reported)
    device_ids: dict[str, list[str]] = {}
    for device in devices:
        device_ids.setdefault(device.client_id, []).append(device.device_id)
    return [
        DeviceEntry(
            client_id=client.client_id,
            state=client.state,
            origin=client.origin,
            created=client.created,
            retired=client.retired,
            svid_expires=client.svid_expires,
            last_contact=heard.last(client),
            contact=show_contact(client, reported.get(client.client_id), heard),
            manifest_version=versions.get(client.client_id, 0),
            device_ids=device_ids.get(client.client_id, []),
            deployments=dict(counts.get(client.client_id, {})),
        )
        for client in clients
    ]


async def device_detail(
    connection: AsyncConnection, client: Client, devices: Sequence[Device], heard: Heard
) -> DeviceDetail:
    """Show one client with all that is known of it."""
    client_id = client.client_id
    records = await deployments.every(connection, client_id=client_id)
    entries = await deployment_entries(connection, records)
    summaries = await sites.summaries(connection, client_id)
    site = await sites.get(connection, client_id)
    suggestion = await suggestions.for_client(connection, client_id)
    return DeviceDetail(
        client_id=client_id,
        state=client.state,
        origin=client.origin,
        created=client.created,
        retired=client.retired,
        svid_expires=client.svid_expires,
        last_contact=heard.last(client),
        contact=show_contact(client, summaries.get(client_id), heard),
        manifest_version=await desired.version(connection, client_id),
        devices=[
            CapabilityEntry(
                device_id=device.device_id,
                capabilities=msgspec.json.decode(device.document),
                created=device.created,
                updated=device.updated,
            )
            for device in devices
        ],
        deployments=[entry for entry in entries if entry.state != Truth.REMOVED],
        suggested_policy=None if suggestion is None else show_suggestion(suggestion),
        site=None
        if site is None
        else show_site(site, await sites.actions(connection, client_id, limit=_ACTIONS_SHOWN)),
    )


def show_contact(client: Client, site: SiteSummary | None, heard: Heard) -> ContactEntry | None:
    """Show whether a client is in contact; None for one that is not let in any more."""
    if not client.is_accepted:
        return None
    last = heard.last(client)
    moment = None if last is None else last.timestamp()
    found = contact(moment, announced_by(site), heard.now.timestamp(), deaf=heard.deaf)
    return ContactEntry(
        state=found.word, since=_moment(found.since), until=_moment(found.until), why=found.why
    )


async def _counts(connection: AsyncConnection, reported: dict[str, SiteSummary]) -> dict[str, Counter[str]]:
    """Return how many deployments of each client, by its id, are in which state; removed ones not."""
    statuses = await deployments.last_statuses(connection)
    counts: dict[str, Counter[str]] = {}
    for record in await deployments.every(connection):
        status = statuses.get(record.id)
        state = truth_of(record, status, hold_on(record, status, reported.get(record.client_id)))
        if state != Truth.REMOVED:
            counts.setdefault(record.client_id, Counter())[state] += 1
    return counts


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
