"""The catalogue: adding and removing application packages."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.packages import Package
from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.store import assignments, audit, deployments, packages
from edgewright.server.store.packages import PackageRecord


async def add_package(
    connection: AsyncConnection, package: Package, *, source: str, actor: str, now: datetime
) -> tuple[PackageRecord, bool]:
    """Keep a package; return its record and whether it is new. The same content again changes nothing.

    Raises `ConflictError` for other content under a version that is known: versions do not change.
    """
    about = package.description.metadata
    known = await packages.get(connection, package.description.id, about.version)
    if known is not None:
        if known.digest != package.digest:
            raise ConflictError(
                f"{known.application_id} {known.version} is here already with other content;"
                " give the changed package a new version"
            )
        return known, False
    record = PackageRecord(
        application_id=package.description.id,
        version=about.version,
        name=about.name,
        description=package.text,
        digest=package.digest,
        source=source,
        imported=now,
    )
    await packages.add(connection, record, package.files)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="import package",
        subject=f"{record.application_id} {record.version}",
        digest=record.digest,
        source=source,
    )
    return record, True


async def package_called(connection: AsyncConnection, application_id: str, version: str) -> PackageRecord:
    """Return one version of an application; raises `NotFoundError`."""
    record = await packages.get(connection, application_id, version)
    if record is None:
        raise NotFoundError(f"no package {application_id} {version} is known")
    return record


async def remove_package(
    connection: AsyncConnection, application_id: str, version: str, *, actor: str, now: datetime
) -> None:
    """Forget a package; raises `ConflictError` while a deployment or an assignment wants it."""
    await package_called(connection, application_id, version)
    users = await deployments.using_package(connection, application_id, version)
    if users:
        raise ConflictError(
            f"{application_id} {version} is wanted by {len(users)} deployments, the first is {users[0]}"
        )
    wanting = await assignments.using_package(connection, application_id, version)
    if wanting:
        raise ConflictError(f"{application_id} {version} is wanted by the assignment '{wanting[0]}'")
    await packages.remove(connection, application_id, version)
    await audit.note(
        connection, now=now, actor=actor, action="remove package", subject=f"{application_id} {version}"
    )
