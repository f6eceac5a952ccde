"""Shows deployments and packages as the operator API's JSON: desired beside current, one word for both."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol import yaml
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.status import DeploymentStatus, StatusError
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet.deploying import load_choice
from edgewright.server.fleet.sites import holds_of
from edgewright.server.fleet.truths import hold_on, truth_of
from edgewright.server.operator_api.documents import (
    ComponentEntry,
    DeploymentEntry,
    Desired,
    DesiredComponent,
    ErrorEntry,
    PackageDetail,
    PackageEntry,
    ParameterValue,
    StatusEntry,
)
from edgewright.server.operator_api.site_views import show_hold
from edgewright.server.store import assignments, deployments, sites
from edgewright.server.store.deployments import DeploymentRecord, StatusRecord
from edgewright.server.store.packages import PackageRecord
from edgewright.server.store.sites import SiteSummary

# Up to so many deployments are asked for one by one; for more it is quicker to look at all.
_EACH = 5_000


async def deployment_entry(connection: AsyncConnection, record: DeploymentRecord) -> DeploymentEntry:
    """Show one deployment."""
    site = (await sites.summaries(connection, record.client_id)).get(record.client_id)
    names = await assignments.names(connection)
    return show_deployment(
        record,
        await deployments.current_document(connection, record),
        await deployments.last_status(connection, record.id),
        site,
        names.get(record.assignment_id or 0),
    )


async def deployment_entries(
    connection: AsyncConnection, records: Sequence[DeploymentRecord]
) -> list[DeploymentEntry]:
    """Show many deployments."""
    among = None if len(records) > _EACH else [record.id for record in records]
    statuses = await deployments.last_statuses(connection, among)
    documents = await deployments.current_documents(connection, among)
    owners = None if among is None else sorted({record.client_id for record in records})
    reported = await sites.of_clients(connection, owners)
    names = await assignments.names(connection)
    return [
        show_deployment(
            record,
            documents.get(record.id),
            statuses.get(record.id),
            reported.get(record.client_id),
            names.get(record.assignment_id or 0),
        )
        for record in records
    ]


def show_deployment(
    record: DeploymentRecord,
    document: bytes | None,
    status: StatusRecord | None,
    site: SiteSummary | None,
    assignment: str | None,
) -> DeploymentEntry:
    """Show one deployment: its record, its present document, its last report, its site's, its assignment."""
    hold = hold_on(record, status, holds_of(site))
    state = truth_of(record, status, hold)
    return DeploymentEntry(
        id=record.id,
        assignment=assignment,
        device=record.client_id,
        device_id=record.device_id,
        application=record.application_id,
        version=record.version,
        profile=record.profile_id,
        name=record.name,
        parameters=_plain_values(load_choice(record.parameters)),
        state=state,
        digest=record.digest,
        manifest_version=record.changed_version,
        created=record.created,
        changed=record.changed,
        deleted=record.deleted,
        desired=None if document is None or record.deleted else _show_desired(document),
        current=None if status is None else show_status(status),
        hold=show_hold(hold) if hold and state in {Truth.WAITING_FOR_APPROVAL, Truth.HELD} else None,
    )


async def truths(connection: AsyncConnection, records: Sequence[DeploymentRecord]) -> dict[str, Truth]:
    """Return how it stands with many deployments, by their ids."""
    statuses = await deployments.last_statuses(connection)
    reported = await sites.summaries(connection)
    return {
        record.id: truth_of(
            record,
            statuses.get(record.id),
            hold_on(record, statuses.get(record.id), holds_of(reported.get(record.client_id))),
        )
        for record in records
    }


def wish_in(record: DeploymentRecord) -> dict[str, Any]:
    """Return what people have said of a deployment, without what its device reports: what its tag is of."""
    return {
        "version": record.version,
        "profile": record.profile_id,
        "parameters": record.parameters,
        "digest": record.digest,
        "deleted": record.deleted,
    }


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
