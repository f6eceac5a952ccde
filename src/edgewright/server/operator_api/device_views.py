"""Shows clients as the operator API's JSON: what they are, whether they are in contact, what runs there."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.context import Heard
from edgewright.server.domain.contact import ContactState
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet.labels import own_labels
from edgewright.server.live.finding import Counts
from edgewright.server.live.overview import Row, read_row
from edgewright.server.operator_api.documents import (
    CapabilityEntry,
    ContactEntry,
    DeviceDetail,
    DeviceEntry,
    FleetCounts,
    RunningEntry,
)
from edgewright.server.operator_api.site_views import show_site, show_suggestion
from edgewright.server.operator_api.views import deployment_entries
from edgewright.server.store import deployments, sites, suggestions
from edgewright.server.store.clients import Client
from edgewright.server.store.devices import Device

# As many as a site reports; all that are kept have a route of their own.
_ACTIONS_SHOWN = 100


def device_entry(row: Row) -> DeviceEntry:
    """Show one client in a list."""
    return DeviceEntry(
        **_summary(row),
        device_ids=list(row.device_ids),
        deployments=dict(Counter(one.truth for one in row.running)),
        running=[
            RunningEntry(
                deployment=one.deployment_id,
                application=one.application,
                version=one.version,
                state=one.truth,
            )
            for one in row.running
        ],
    )


async def device_detail(
    connection: AsyncConnection, client: Client, devices: Sequence[Device], heard: Heard
) -> DeviceDetail:
    """Show one client with all that is known of it in this transaction."""
    client_id = client.client_id
    row = await read_row(connection, client_id)
    row.look(heard.last(client), heard.now.timestamp(), heard.deaf, heard.cut.get(client_id))
    records = await deployments.every(connection, client_id=client_id)
    entries = await deployment_entries(connection, records)
    site = await sites.get(connection, client_id)
    suggestion = await suggestions.for_client(connection, client_id)
    return DeviceDetail(
        **_summary(row),
        devices=[
            CapabilityEntry(
                device_id=device.device_id,
                capabilities=msgspec.json.decode(device.document),
                created=device.created,
                updated=device.updated,
            )
            for device in devices
        ],
        deployments=[
            msgspec.structs.replace(entry, device_state=row.state.word)
            for entry in entries
            if entry.state != Truth.REMOVED
        ],
        suggested_policy=None if suggestion is None else show_suggestion(suggestion),
        site=None
        if site is None
        else show_site(site, await sites.actions(connection, client_id, limit=_ACTIONS_SHOWN)),
    )


def fleet_counts(counts: Counts) -> FleetCounts:
    """Show how many devices are how."""
    return FleetCounts(
        total=counts.total,
        states={str(word): number for word, number in counts.states.items()},
        said={str(word): number for word, number in counts.said.items()},
        contacts={str(word): number for word, number in counts.contacts.items()},
        applications={name: dict(versions) for name, versions in counts.applications.items()},
        approvals=counts.approvals,
        expiring=counts.expiring,
    )


def changeable(client: Client) -> dict[str, Any]:
    """Return of what a client's entity tag is made: what people change, and nothing that devices report."""
    return {"client_id": client.client_id, "state": client.state, "labels": own_labels(client)}


def _summary(row: Row) -> dict[str, Any]:
    client = row.client
    return {
        "client_id": client.client_id,
        "state": row.state.word,
        "state_since": moment(row.state.since),
        "state_until": moment(row.state.until),
        "said": row.state.said,
        "admission": client.state,
        "origin": client.origin,
        "created": client.created,
        "retired": client.retired,
        "svid_expires": client.svid_expires,
        "last_contact": row.last,
        "contact": _contact(row.found),
        "labels": dict(row.labels),
        "own_labels": own_labels(client),
        "approvals": row.waiting,
        "manifest_version": row.manifest_version,
    }


def _contact(found: ContactState | None) -> ContactEntry | None:
    if found is None:
        return None
    return ContactEntry(state=found.word, since=moment(found.since), until=moment(found.until), why=found.why)


def moment(seconds: float | None) -> datetime | None:
    """Return unix seconds as a moment in UTC; None for those beyond the calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return None
