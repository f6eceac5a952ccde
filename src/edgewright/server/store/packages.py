"""Application packages: the description and the files it names, as the author made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import package_files, packages


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """One version of one application; `digest` is over the description and its files."""

    application_id: str
    version: str
    name: str
    description: bytes
    digest: str
    source: str
    imported: datetime


async def get(connection: AsyncConnection, application_id: str, version: str) -> PackageRecord | None:
    """Return one version of an application."""
    return await one_of(
        connection,
        PackageRecord,
        select(packages).where(packages.c.application_id == application_id, packages.c.version == version),
    )


async def every(connection: AsyncConnection) -> list[PackageRecord]:
    """Return all packages by application id and the time they were imported."""
    return await all_of(
        connection, PackageRecord, select(packages).order_by(packages.c.application_id, packages.c.imported)
    )


async def versions(connection: AsyncConnection, application_id: str) -> list[PackageRecord]:
    """Return all versions of one application, in the order they were imported."""
    query = select(packages).where(packages.c.application_id == application_id).order_by(packages.c.imported)
    return await all_of(connection, PackageRecord, query)


async def add(connection: AsyncConnection, package: PackageRecord, files: Mapping[str, bytes]) -> None:
    """Keep a new package; `files` maps relative path to content."""
    await connection.execute(
        packages.insert().values(
            application_id=package.application_id,
            version=package.version,
            name=package.name,
            description=package.description,
            digest=package.digest,
            source=package.source,
            imported=package.imported,
        )
    )
    if files:
        await connection.execute(
            package_files.insert(),
            [
                {
                    "application_id": package.application_id,
                    "version": package.version,
                    "path": path,
                    "body": body,
                }
                for path, body in files.items()
            ],
        )


async def file_names(connection: AsyncConnection, application_id: str, version: str) -> list[str]:
    """Return the relative paths of the files that came with a package, sorted."""
    query = (
        select(package_files.c.path)
        .where(package_files.c.application_id == application_id, package_files.c.version == version)
        .order_by(package_files.c.path)
    )
    return list((await connection.scalars(query)).all())


async def file(connection: AsyncConnection, application_id: str, version: str, path: str) -> bytes | None:
    """Return the content of a file that came with a package."""
    found: bytes | None = await connection.scalar(
        select(package_files.c.body).where(
            package_files.c.application_id == application_id,
            package_files.c.version == version,
            package_files.c.path == path,
        )
    )
    return found


async def remove(connection: AsyncConnection, application_id: str, version: str) -> None:
    """Forget one version of an application and its files."""
    await connection.execute(
        delete(packages).where(packages.c.application_id == application_id, packages.c.version == version)
    )
