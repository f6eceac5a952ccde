"""The catalogue: adding and removing application packages, and who uses which."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.description import ApplicationDescription
from edgewright.server.domain.packages import Package
from edgewright.server.domain.sources import Standing
from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.store import audit, packages, sources, usage
from edgewright.server.store.database import announce
from edgewright.server.store.packages import PackageRecord
from edgewright.server.store.usage import Deployed

# Descriptions that were read once; a catalogue is shown far more often than it changes.
_KEEP_READ = 1_000
_read: OrderedDict[str, ApplicationDescription] = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who uses one version of an application: how many deployments, the first of them, and assignments."""

    deployed: Deployed
    first: tuple[str, str] | None
    assignments: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nobody uses it."""
        return not (self.deployed.deployments or self.assignments)


def description_of(record: PackageRecord) -> ApplicationDescription:
    """Return the description of a package in the catalogue, read once for every content."""
    found = _read.get(record.digest)
    if found is None:
        source = f"{record.application_id} {record.version}"
        found = _read[record.digest] = ApplicationDescription.parse(record.description, source=source)
        while len(_read) > _KEEP_READ:
            _read.popitem(last=False)
    else:
        _read.move_to_end(record.digest)
    return found


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
        after={"digest": record.digest, "source": source},
    )
    announce(connection, "packages")
    return record, True


async def package_called(connection: AsyncConnection, application_id: str, version: str) -> PackageRecord:
    """Return one version of an application; raises `NotFoundError`."""
    record = await packages.get(connection, application_id, version)
    if record is None:
        raise NotFoundError(f"no package {application_id} {version} is known")
    return record


async def is_there(connection: AsyncConnection, application_id: str, version: str) -> bool:
    """Whether the catalogue has this version of an application."""
    return await packages.get(connection, application_id, version) is not None


async def users_of(connection: AsyncConnection, application_id: str, version: str) -> Users:
    """Return who uses a version of an application; `first` is a deployment's id and its client."""
    deployed = (await usage.versions(connection, application_id)).get(version, Deployed())
    assigned = await usage.assignments_using(connection, application_id)
    return Users(
        deployed=deployed,
        first=await usage.first(connection, application_id, version),
        assignments=tuple(name for _, used, name in assigned if used == version),
    )


async def remove_package(
    connection: AsyncConnection, application_id: str, version: str, *, actor: str, now: datetime
) -> None:
    """Forget a package; raises `ConflictError` while a deployment or an assignment wants it.

    Sources that offer it still are remembered as declined: looking through them does not bring it back.
    """
    record = await package_called(connection, application_id, version)
    users = await users_of(connection, application_id, version)
    advice = "move them to another version, or delete them, before"
    if users.assignments:
        raise ConflictError(
            f"{application_id} {version} is wanted by {len(users.assignments)} assignments, among them the"
            f" assignment '{users.assignments[0]}'; {advice}"
        )
    if users.first is not None:
        first, client = users.first
        raise ConflictError(
            f"{application_id} {version} is wanted by {users.deployed.deployments} deployments, among them"
            f" {first} on {client}; {advice}"
        )
    for one in await sources.listings_of_packages(connection, application_id, version):
        if one.standing is Standing.IMPORTED:
            await sources.set_state(connection, one.source_id, [one.place], Standing.DECLINED, now=now)
        elif one.standing is Standing.GONE:
            await sources.forget_listings(connection, one.source_id, [one.place])
    await packages.remove(connection, application_id, version)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="remove package",
        subject=f"{application_id} {version}",
        before={"digest": record.digest, "source": record.source},
    )
    announce(connection, "packages", "sources")
