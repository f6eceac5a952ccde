"""Deployments: creating, changing and deleting them, each with a new manifest in the same transaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.description import DescriptionProfile
from edgewright.protocol.digests import digest_of
from edgewright.protocol.values import Value
from edgewright.server.domain.parameters import changed_choice, effective_values
from edgewright.server.domain.placement import candidates, choose_device, choose_profile
from edgewright.server.domain.rendering import (
    check_name,
    default_name,
    render_deployment,
    render_document,
)
from edgewright.server.errors import ConflictError, Fault, InvalidError, NotFoundError
from edgewright.server.fleet.catalogue import description_of
from edgewright.server.fleet.publishing import next_version, publish
from edgewright.server.store import assignments, audit, clients, deployments, desired, devices, packages
from edgewright.server.store.database import announce
from edgewright.server.store.deployments import DeploymentRecord, DeploymentRevision
from edgewright.server.store.packages import PackageRecord

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator asks to have deployed; None leaves the choice to the server."""

    application: str
    version: str
    client_id: str
    device_id: str | None = None
    profile: str | None = None
    name: str | None = None
    parameters: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the operator asks to change; a parameter that is None goes back to the default."""

    version: str | None = None
    profile: str | None = None
    parameters: Mapping[str, Value | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a deployment consists of, decided and checked: a profile of a package, and the chosen values."""

    package: PackageRecord
    profile: DescriptionProfile
    choice: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChange:
    """A change of a single deployment that was looked at and can be made.

    `number` is the revision that `old` is; `before` and `after` are the values the device has and is to have.
    """

    old: DeploymentRecord
    number: int
    content: Content
    before: Values
    after: Values
    is_change: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who changes a deployment, when and why; it goes into its revisions and into the audit."""

    actor: str
    now: datetime
    reason: str = ""


async def create(
    connection: AsyncConnection, wish: Wish, *, deployment_id: str, actor: str, now: datetime
) -> DeploymentRecord:
    """Deploy an application on a device; raises `InvalidError` or `ConflictError` (spec: AD-1)."""
    await _check_client(connection, wish.client_id)
    package = await package_of(connection, wish.application, wish.version)
    name = default_name(wish.application, deployment_id) if wish.name is None else check_name(wish.name)
    await _check_name_is_free(connection, wish.client_id, name)
    known = await capabilities_of(connection, wish.client_id)
    device_id = choose_device(known, wish.device_id)
    profile = choose_profile(description_of(package), candidates(known, device_id), wish.profile)
    return await put_new(
        connection,
        Content(package=package, profile=profile, choice=wish.parameters),
        Note(actor=actor, now=now),
        deployment_id=deployment_id,
        client_id=wish.client_id,
        device_id=device_id,
        name=name,
    )


async def change(
    connection: AsyncConnection,
    deployment_id: str,
    wish: Change,
    *,
    actor: str,
    now: datetime,
    reason: str = "",
) -> DeploymentRecord:
    """Give a deployment another version or other parameters; the id stays, the digest changes (spec: DS-9).

    What comes out the same as before is no change and makes no new manifest. Raises `ConflictError` for
    one that is deleted or belongs to an assignment.
    """
    old = await changeable(connection, deployment_id)
    content = await _changed(connection, old, wish)
    return await put_changed(connection, old, content, Note(actor=actor, now=now, reason=reason))


async def prepare_change(connection: AsyncConnection, deployment_id: str, wish: Change) -> PreparedChange:
    """Look at what `change` would do, by the same decisions and with the same errors; nothing is changed."""
    old = await changeable(connection, deployment_id)
    present = await _present_document(connection, old)
    content = await _changed(connection, old, wish)
    record, document = _become(old, content)
    return PreparedChange(
        old=old,
        number=(await deployments.revisions(connection, old.id))[0].number,
        content=content,
        before=_values_in(present),
        after=_values_in(document),
        is_change=(record, document) != (old, present),
    )


async def changeable(connection: AsyncConnection, deployment_id: str) -> DeploymentRecord:
    """Return a deployment that can be changed by itself; raises the errors of `change`."""
    record = await deployment_called(connection, deployment_id)
    if record.deleted is not None:
        raise ConflictError(f"deployment {record.id} was deleted; deploy {record.application_id} anew")
    await _check_is_single(connection, record)
    return record


async def revert(
    connection: AsyncConnection, deployment_id: str, number: int, *, actor: str, now: datetime
) -> DeploymentRecord:
    """Give a deployment what it was in an earlier revision, as a new revision (spec: DS-7).

    Raises `NotFoundError` for a revision that never was and for one that said to remove it, and the errors
    of `change`: an immutable value stays, and the package has to be there still.
    """
    old = await deployment_called(connection, deployment_id)
    known: dict[int, DeploymentRevision] = {
        one.number: one for one in await deployments.revisions(connection, old.id) if one.digest
    }
    if number not in known:
        numbers = ", ".join(map(str, sorted(known)))
        raise NotFoundError(f"deployment {old.id} has no revision {number}; it can go back to {numbers}")
    then = known[number]
    present, past = load_choice(old.parameters), load_choice(then.parameters)
    parameters: dict[str, Value | None] = {**dict.fromkeys(present), **past}
    wish = Change(version=then.version, profile=then.profile_id, parameters=parameters)
    reason = f"back to revision {number}"
    return await change(connection, deployment_id, wish, actor=actor, now=now, reason=reason)


async def delete(
    connection: AsyncConnection, deployment_id: str, *, actor: str, now: datetime
) -> DeploymentRecord:
    """Take a deployment out of its device's manifest; the record stays to take the reports of its removal.

    Raises `ConflictError` for one that belongs to an assignment, which would bring it back.
    """
    old = await deployment_called(connection, deployment_id)
    if old.deleted is not None:
        return old
    await _check_is_single(connection, old)
    return await put_deleted(connection, old, Note(actor=actor, now=now))


async def put_new(
    connection: AsyncConnection,
    content: Content,
    note: Note,
    *,
    deployment_id: str,
    client_id: str,
    device_id: str,
    name: str,
    assignment_id: int | None = None,
) -> DeploymentRecord:
    """Serve a new deployment; raises `InvalidError` for values that are not as the application wants them."""
    record = DeploymentRecord(
        id=deployment_id,
        client_id=client_id,
        device_id=device_id,
        application_id=content.package.application_id,
        version=content.package.version,
        profile_id=content.profile.id,
        name=name,
        parameters=render_choice(content.choice),
        digest="",
        changed_version=await next_version(connection, client_id),
        position=await deployments.next_position(connection),
        created=note.now,
        changed=note.now,
        deleted=None,
        assignment_id=assignment_id,
    )
    document = _document(record, content)
    record = replace(record, digest=digest_of(document))
    await deployments.add(connection, record)
    await desired.put_document(connection, record.id, record.digest, document, now=note.now)
    await publish(connection, record.client_id, record.changed_version, now=note.now)
    await _note(connection, "create deployment", record, note)
    return record


async def put_changed(
    connection: AsyncConnection, old: DeploymentRecord, content: Content, note: Note
) -> DeploymentRecord:
    """Serve a deployment with other content; the same content is no change, the same document no manifest."""
    present = await _present_document(connection, old)
    record, document = _become(old, content)
    if record == old and document == present:
        return old
    record = replace(record, changed=note.now)
    if document == present:
        await deployments.save(connection, record)
    else:
        version = await next_version(connection, record.client_id)
        record = replace(record, digest=digest_of(document), changed_version=version)
        await deployments.save(connection, record)
        await desired.put_document(connection, record.id, record.digest, document, now=note.now)
        await publish(connection, record.client_id, version, now=note.now)
    await _note(connection, "change deployment", record, note, before=old)
    return record


async def put_again(connection: AsyncConnection, old: DeploymentRecord, note: Note) -> DeploymentRecord:
    """Serve the same once more, as a document of its own: a device tries nothing twice that failed."""
    package = await package_of(connection, old.application_id, old.version)
    profile = description_of(package).profile(old.profile_id)
    assert profile is not None  # noqa: S101 - chosen from this very description
    content = Content(package=package, profile=profile, choice=load_choice(old.parameters))
    version = await next_version(connection, old.client_id)
    record = replace(old, changed=note.now, changed_version=version, attempt=old.attempt + 1)
    document = _document(record, content)
    record = replace(record, digest=digest_of(document))
    await deployments.save(connection, record)
    await desired.put_document(connection, record.id, record.digest, document, now=note.now)
    await publish(connection, record.client_id, version, now=note.now)
    await _note(connection, "retry deployment", record, note, before=old)
    return record


async def put_deleted(connection: AsyncConnection, old: DeploymentRecord, note: Note) -> DeploymentRecord:
    """Serve a deployment no more."""
    version = await next_version(connection, old.client_id)
    record = replace(old, deleted=note.now, changed=note.now, changed_version=version)
    await deployments.save(connection, record)
    await desired.supersede_documents(connection, record.id, now=note.now)
    await publish(connection, record.client_id, version, now=note.now)
    await _note(connection, "delete deployment", record, note, before=old)
    return record


async def _changed(connection: AsyncConnection, old: DeploymentRecord, wish: Change) -> Content:
    """Return what `old` becomes by `wish`."""
    version = wish.version or old.version
    package = await package_of(connection, old.application_id, version)
    description = description_of(package)
    installed = _values_in(await _present_document(connection, old))
    choice = changed_choice(description, load_choice(old.parameters), wish.parameters, installed)
    profile_id = wish.profile or old.profile_id
    profile = description.profile(profile_id)
    if profile is None or version != old.version or profile_id != old.profile_id:
        known = candidates(await capabilities_of(connection, old.client_id), old.device_id)
        wanted = profile_id if profile is not None or wish.profile else None
        profile = choose_profile(description, known, wanted)
    return Content(package=package, profile=profile, choice=choice)


async def deployment_called(connection: AsyncConnection, deployment_id: str) -> DeploymentRecord:
    """Return the deployment of that id, deleted ones as well; raises `NotFoundError`."""
    record = await deployments.get(connection, deployment_id)
    if record is None:
        raise NotFoundError(f"no deployment {deployment_id} is known")
    return record


def load_choice(text: str) -> dict[str, Value]:
    """Return the operator's choice as it was kept; arrays come back as tuples."""
    plain: dict[str, Value | list[str | bool | int | float]] = json.loads(text)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}


async def capabilities_of(connection: AsyncConnection, client_id: str) -> dict[str, DeviceCapabilities]:
    """Return what each device of a client last reported, by device id."""
    return {
        device.device_id: DeviceCapabilities.parse(device.document, source=device.device_id)
        for device in await devices.of_client(connection, client_id)
    }


def render_choice(choice: Values) -> str:
    """Return the operator's choice as it is kept."""
    return json.dumps(dict(choice), sort_keys=True)


async def _present_document(connection: AsyncConnection, record: DeploymentRecord) -> bytes:
    document = await deployments.current_document(connection, record)
    assert document is not None  # noqa: S101 - documents of living deployments are never cleared away
    return document


def _values_in(document: bytes) -> dict[str, Value]:
    """Return the values that a document tells the device."""
    parameters = ApplicationDeployment.parse(document, source="deployment").spec.parameters
    return {name: parameter.value for name, parameter in parameters.items()}


def _become(old: DeploymentRecord, content: Content) -> tuple[DeploymentRecord, bytes]:
    """Return what a deployment is with other content: its record, but for digest and times, and document."""
    record = replace(
        old,
        version=content.package.version,
        profile_id=content.profile.id,
        parameters=render_choice(content.choice),
    )
    if record != old:
        record = replace(record, attempt=0)
    return record, _document(record, content)


def _document(record: DeploymentRecord, content: Content) -> bytes:
    description = description_of(content.package)
    deployment = render_deployment(
        description,
        content.profile,
        effective_values(description, content.profile, content.choice),
        deployment_id=record.id,
        device_id=record.device_id,
        name=record.name,
        attempt=record.attempt,
    )
    return render_document(deployment, content.profile.id, content.package.description)


async def _check_is_single(connection: AsyncConnection, record: DeploymentRecord) -> None:
    """Raise `ConflictError` for a deployment that an assignment would put right again."""
    if record.assignment_id is None:
        return
    assignment = await assignments.get(connection, record.assignment_id)
    assert assignment is not None  # noqa: S101 - assignments are marked, never deleted
    if assignment.deleted is not None:
        raise ConflictError(
            f"deployment {record.id} is being removed with its assignment '{assignment.name}'"
        )
    raise ConflictError(
        f"deployment {record.id} belongs to the assignment '{assignment.name}': change it there, with values"
        f" of its own under devices.{record.client_id}, or take the device out of its target"
    )


async def _check_client(connection: AsyncConnection, client_id: str) -> None:
    client = await clients.get(connection, client_id)
    if client is None:
        fault = Fault(field="device", message=f"no device '{client_id}' is known")
        raise InvalidError("the application cannot be placed", fault)
    if not client.is_accepted:
        raise ConflictError(f"device '{client_id}' is retired")


async def package_of(connection: AsyncConnection, application_id: str, version: str) -> PackageRecord:
    """Return a package to deploy; raises `InvalidError` naming the versions there are."""
    package = await packages.get(connection, application_id, version)
    if package is not None:
        return package
    versions = [
        one.version for one in await packages.every(connection) if one.application_id == application_id
    ]
    if versions:
        fault = Fault(
            field="version", message=f"{application_id} is here as {', '.join(versions)}, not as {version}"
        )
    else:
        fault = Fault(field="application", message=f"no package '{application_id}' is known")
    raise InvalidError("there is no such package", fault)


async def _check_name_is_free(connection: AsyncConnection, client_id: str, name: str) -> None:
    taken = await deployments.names_on(connection, client_id)
    if name in taken:
        raise ConflictError(f"device '{client_id}' has a deployment called '{name}' already: {taken[name]}")


async def _note(
    connection: AsyncConnection,
    action: str,
    record: DeploymentRecord,
    note: Note,
    *,
    before: DeploymentRecord | None = None,
) -> None:
    """Write down what became of a deployment, and tell who watches."""
    announce(connection, "deployments", f"device:{record.client_id}")
    revision = await deployments.add_revision(connection, record, actor=note.actor, reason=note.reason)
    await audit.note(
        connection,
        now=note.now,
        actor=note.actor,
        action=action,
        subject=record.id,
        client=record.client_id,
        application=record.application_id,
        version=record.version,
        manifest_version=record.changed_version,
        digest=record.digest,
        before=None if before is None else _content_of(before),
        after=None if record.deleted else _content_of(record),
        revision=revision,
        reason=note.reason,
    )


def _content_of(record: DeploymentRecord) -> dict[str, object]:
    """Return what people compare: version, profile, chosen values, and the digest of the document."""
    return {
        "version": record.version,
        "profile": record.profile_id,
        "parameters": json.loads(record.parameters),
        "digest": record.digest,
    }
