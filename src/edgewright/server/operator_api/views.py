"""Shows records as the operator API's JSON: desired beside current, and one word for both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol import yaml
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.status import DeploymentStatus, State, StatusError
from edgewright.server.domain.truth import Truth, truth
from edgewright.server.fleet.assignments import load_choice
from edgewright.server.operator_api.documents import (
    CapabilityEntry,
    ComponentEntry,
    DeploymentEntry,
    Desired,
    DesiredComponent,
    DeviceDetail,
    DeviceEntry,
    ErrorEntry,
    PackageDetail,
    PackageEntry,
    ParameterValue,
    StatusEntry,
)
from edgewright.server.store import deployments, desired
from edgewright.server.store.clients import Client
from edgewright.server.store.deployments import DeploymentRecord, StatusRecord
from edgewright.server.store.devices import Device
from edgewright.server.store.packages import PackageRecord


async def deployment_entry(connection: AsyncConnection, record: DeploymentRecord) -> DeploymentEntry:
    """Show one deployment."""
    return show_deployment(
        record,
        await deployments.current_document(connection, record),
        await deployments.last_status(connection, record.id),
    )


async def deployment_entries(
    connection: AsyncConnection, records: Sequence[DeploymentRecord]
) -> list[DeploymentEntry]:
    """Show many deployments."""
    statuses = await deployments.last_statuses(connection)
    documents = await deployments.current_documents(connection)
    return [show_deployment(record, documents.get(record.id), statuses.get(record.id)) for record in records]


def show_deployment(
    record: DeploymentRecord, document: bytes | None, status: StatusRecord | None
) -> DeploymentEntry:
    """Show one deployment: its record, its present document and its last report, where there are."""
    return DeploymentEntry(
        id=record.id,
        device=record.client_id,
        device_id=record.device_id,
        application=record.application_id,
        version=record.version,
        profile=record.profile_id,
        name=record.name,
        parameters=_plain_values(load_choice(record.parameters)),
        state=truth_of(record, status),
        digest=record.digest,
        manifest_version=record.changed_version,
        created=record.created,
        changed=record.changed,
        deleted=record.deleted,
        desired=None if document is None or record.deleted else _show_desired(document),
        current=None if status is None else show_status(status),
    )


def truth_of(record: DeploymentRecord, status: StatusRecord | None) -> Truth:
    """Return how it stands with a deployment (spec: ST-25)."""
    reported = None if status is None else (State(status.state), status.adopted_version)
    return truth(record.changed_version, reported, is_deleted=record.deleted is not None)


def show_status(status: StatusRecord) -> StatusEntry:
    """Show one report."""
    document = DeploymentStatus.parse(status.body, source="status")
    return StatusEntry(
        received=status.received,
        state=document.status.state,
        adopted_manifest_version=document.adopted_manifest_version,
        device_id=document.device_id,
        error=_show_error(document.status.error),
        components=[
            ComponentEntry(name=one.name, state=one.state, error=_show_error(one.error))
            for one in document.components
        ],
    )


async def device_entries(
    connection: AsyncConnection,
    clients: Sequence[Client],
    devices: Sequence[Device],
    contacts: Mapping[str, datetime],
) -> list[DeviceEntry]:
    """Show all clients with counts of their deployments; `contacts` are newer than what is kept."""
    versions = await desired.versions(connection)
    statuses = await deployments.last_statuses(connection)
    counts: dict[str, Counter[str]] = {}
    for record in await deployments.every(connection):
        counts.setdefault(record.client_id, Counter())[truth_of(record, statuses.get(record.id))] += 1
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
            last_contact=contacts.get(client.client_id, client.last_contact),
            manifest_version=versions.get(client.client_id, 0),
            device_ids=device_ids.get(client.client_id, []),
            deployments=_without_removed(counts.get(client.client_id, Counter())),
        )
        for client in clients
    ]


async def device_detail(
    connection: AsyncConnection,
    client: Client,
    devices: Sequence[Device],
    contacts: Mapping[str, datetime],
) -> DeviceDetail:
    """Show one client with all that is known of it."""
    records = await deployments.every(connection, client_id=client.client_id)
    entries = await deployment_entries(connection, records)
    return DeviceDetail(
        client_id=client.client_id,
        state=client.state,
        origin=client.origin,
        created=client.created,
        retired=client.retired,
        svid_expires=client.svid_expires,
        last_contact=contacts.get(client.client_id, client.last_contact),
        manifest_version=await desired.version(connection, client.client_id),
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
    )


def package_entry(record: PackageRecord) -> PackageEntry:
    """Show one package in a list."""
    return PackageEntry(
        id=record.application_id,
        version=record.version,
        name=record.name,
        digest=record.digest,
        source=record.source,
        imported=record.imported,
    )


def package_detail(record: PackageRecord, files: list[str]) -> PackageDetail:
    """Show one package with its description."""
    return PackageDetail(
        id=record.application_id,
        version=record.version,
        name=record.name,
        digest=record.digest,
        source=record.source,
        imported=record.imported,
        description=yaml.load(record.description, source=record.application_id),
        files=files,
    )


def _show_desired(document: bytes) -> Desired:
    spec = ApplicationDeployment.parse(document, source="deployment").spec
    return Desired(
        profile_type=spec.deployment_profile.type,
        components=[
            DesiredComponent(
                name=component.name,
                repository=component.properties.repository,
                revision=component.properties.revision,
            )
            for component in spec.deployment_profile.components
        ],
        parameters=_plain_values({name: one.value for name, one in spec.parameters.items()}),
    )


def _show_error(error: StatusError | None) -> ErrorEntry | None:
    if error is None or error.is_empty:
        return None
    return ErrorEntry(code=error.code, source=error.source, message=error.message)


def _plain_values(values: Mapping[str, Any]) -> dict[str, ParameterValue]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _without_removed(counts: Counter[str]) -> dict[str, int]:
    return {state: count for state, count in counts.items() if state != Truth.REMOVED}
