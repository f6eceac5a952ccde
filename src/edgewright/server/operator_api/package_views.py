"""Shows applications and their versions: what they say of themselves, where they come from, who uses them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.sources import Standing
from edgewright.server.domain.versions import newest, newest_first
from edgewright.server.fleet.catalogue import description_of, users_of
from edgewright.server.fleet.suitability import Suited
from edgewright.server.operator_api.package_documents import (
    ApplicationEntry,
    DescribedPackage,
    PackageOffer,
    SuitedDevice,
)
from edgewright.server.operator_api.views import package_detail
from edgewright.server.store import packages, sources, usage
from edgewright.server.store.packages import PackageRecord
from edgewright.server.store.sources import ListingRecord
from edgewright.server.store.usage import Deployed


async def application_entries(connection: AsyncConnection) -> list[ApplicationEntry]:
    """Show all applications by name."""
    versions: dict[str, list[PackageRecord]] = {}
    for record in await packages.every(connection):
        versions.setdefault(record.application_id, []).append(record)
    deployed = await usage.applications(connection)
    assigned: dict[str, list[str]] = {}
    for application, _, name in await usage.assignments_using(connection):
        assigned.setdefault(application, []).append(name)
    entries = [
        show_application(records, deployed.get(application, Deployed()), assigned.get(application, ()))
        for application, records in versions.items()
    ]
    return sorted(entries, key=lambda entry: (entry.name.lower(), entry.id))


def show_application(
    records: Sequence[PackageRecord], deployed: Deployed, assignments: Sequence[str]
) -> ApplicationEntry:
    """Show one application, of which `records` are all versions."""
    ordered = newest_first(records, lambda record: record.version)
    chosen = newest(record.version for record in ordered)
    record = next(one for one in ordered if one.version == chosen)
    description = description_of(record)
    catalog = description.metadata.catalog
    entry = catalog.application
    return ApplicationEntry(
        id=record.application_id,
        name=record.name,
        tagline=entry.tagline if entry else None,
        organizations=[one.name for one in catalog.organization],
        tags=list(entry.tags) if entry else [],
        newest=chosen,
        versions=[one.version for one in ordered],
        icon=description.resources.get("icon"),
        deployments=deployed.deployments,
        devices=deployed.devices,
        assignments=list(assignments),
    )


async def described_package(connection: AsyncConnection, record: PackageRecord) -> DescribedPackage:
    """Show one version with all that is known of it."""
    application, version = record.application_id, record.version
    shown = package_detail(record, await packages.file_names(connection, application, version))
    names = {source.id: source.name for source in await sources.every(connection)}
    offers = await sources.listings_of_packages(connection, application, version)
    users = await users_of(connection, application, version)
    return DescribedPackage(
        id=shown.id,
        version=shown.version,
        name=shown.name,
        digest=shown.digest,
        source=shown.source,
        imported=shown.imported,
        description=shown.description,
        files=shown.files,
        offers=[
            PackageOffer(source=names[one.source_id], place=one.place, state=one.standing, since=one.since)
            for one in offers
        ],
        withdrawn=withdrawn_since(offers),
        deployments=users.deployed.deployments,
        devices=users.deployed.devices,
        assignments=list(users.assignments),
    )


def withdrawn_since(offers: Iterable[ListingRecord]) -> datetime | None:
    """Return since when no source offers a version any more, of all its `offers`."""
    known = list(offers)
    if not known or any(one.standing is not Standing.GONE for one in known):
        return None
    return max(one.since for one in known)


def show_suited(found: Suited) -> SuitedDevice:
    """Show whether a device is fit for an application."""
    return SuitedDevice(
        client_id=found.client_id,
        device_id=found.device_id,
        fits=found.profile is not None,
        profile=found.profile,
        reasons=[f"{profile}: {reason}" for profile, reasons in found.reasons.items() for reason in reasons],
    )
