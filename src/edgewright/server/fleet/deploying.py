"""Deployments: creating, changing and deleting them, each with a new manifest in the same transaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.description import ApplicationDescription
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
from edgewright.server.fleet.publishing import next_version, publish
from edgewright.server.store import audit, clients, deployments, desired, devices, packages
from edgewright.server.store.deployments import DeploymentRecord
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
    parameters: Mapping[str, Value | None]


async def create(
    connection: AsyncConnection, wish: Wish, *, deployment_id: str, actor: str, now: datetime
) -> DeploymentRecord:
    """Deploy an application on a device; raises `InvalidError` or `ConflictError` (spec: AD-1)."""
    await _check_client(connection, wish.client_id)
    package = await _package(connection, wish.application, wish.version)
    name = default_name(wish.application, deployment_id) if wish.name is None else check_name(wish.name)
    await _check_name_is_free(connection, wish.client_id, name)
    known = await capabilities_of(connection, wish.client_id)
    device_id = choose_device(known, wish.device_id)
    description = ApplicationDescription.parse(package.description, source=wish.application)
    profile = choose_profile(description, candidates(known, device_id), wish.profile)
    record = DeploymentRecord(
        id=deployment_id,
        client_id=wish.client_id,
        device_id=device_id,
        application_id=wish.application,
        version=wish.version,
        profile_id=profile.id,
        name=name,
        parameters=_render_choice(wish.parameters),
        digest="",
        changed_version=await next_version(connection, wish.client_id),
        position=await deployments.next_position(connection),
        created=now,
        changed=now,
        deleted=None,
    )
    document = _document(record, description, package, wish.parameters)
    record = replace(record, digest=digest_of(document))
    await deployments.add(connection, record)
    await desired.put_document(connection, record.id, record.digest, document, now=now)
    await publish(connection, record.client_id, record.changed_version, now=now)
    await _note(connection, "create deployment", record, actor=actor, now=now)
    return record


async def change(
    connection: AsyncConnection, deployment_id: str, wish: Change, *, actor: str, now: datetime
) -> DeploymentRecord:
    """Give a deployment another version or other parameters; the id stays, the digest changes (spec: DS-9).

    What comes out the same as before is no change and makes no new manifest.
    """
    old = await deployment_called(connection, deployment_id)
    if old.deleted is not None:
        raise ConflictError(f"deployment {old.id} was deleted")
    present = await deployments.current_document(connection, old)
    assert present is not None  # noqa: S101 - documents of living deployments are never cleared away
    record, document = await _changed(connection, old, present, wish)
    if record == old and document == present:
        return old
    record = replace(record, changed=now)
    if document == present:
        await deployments.save(connection, record)
    else:
        version = await next_version(connection, record.client_id)
        record = replace(record, digest=digest_of(document), changed_version=version)
        await deployments.save(connection, record)
        await desired.put_document(connection, record.id, record.digest, document, now=now)
        await publish(connection, record.client_id, version, now=now)
    await _note(connection, "change deployment", record, actor=actor, now=now, before=old.digest)
    return record


async def _changed(
    connection: AsyncConnection, old: DeploymentRecord, present: bytes, wish: Change
) -> tuple[DeploymentRecord, bytes]:
    """Return what `old`, whose document is `present`, becomes by `wish`, and its document then."""
    version = wish.version or old.version
    package = await _package(connection, old.application_id, version)
    description = ApplicationDescription.parse(package.description, source=old.application_id)
    installed = ApplicationDeployment.parse(present, source="deployment").spec.parameters
    choice = changed_choice(
        description,
        load_choice(old.parameters),
        wish.parameters,
        {name: parameter.value for name, parameter in installed.items()},
    )
    profile_id = old.profile_id
    if version != old.version:
        profile_id = await _profile_of(connection, old, description)
    record = replace(old, version=version, profile_id=profile_id, parameters=_render_choice(choice))
    return record, _document(record, description, package, choice)


async def delete(
    connection: AsyncConnection, deployment_id: str, *, actor: str, now: datetime
) -> DeploymentRecord:
    """Take a deployment out of its device's manifest; the record stays to take the reports of its removal."""
    old = await deployment_called(connection, deployment_id)
    if old.deleted is not None:
        return old
    version = await next_version(connection, old.client_id)
    record = replace(old, deleted=now, changed=now, changed_version=version)
    await deployments.save(connection, record)
    await desired.supersede_documents(connection, record.id, now=now)
    await publish(connection, record.client_id, version, now=now)
    await _note(connection, "delete deployment", record, actor=actor, now=now)
    return record


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


def _render_choice(choice: Values) -> str:
    return json.dumps(dict(choice), sort_keys=True)


def _document(
    record: DeploymentRecord, description: ApplicationDescription, package: PackageRecord, choice: Values
) -> bytes:
    profile = description.profile(record.profile_id)
    assert profile is not None  # noqa: S101 - chosen from this very description
    deployment = render_deployment(
        description,
        profile,
        effective_values(description, profile, choice),
        deployment_id=record.id,
        device_id=record.device_id,
        name=record.name,
    )
    return render_document(deployment, profile.id, package.description)


async def _profile_of(
    connection: AsyncConnection, old: DeploymentRecord, description: ApplicationDescription
) -> str:
    """Return the profile for another version: the same one if it still exists, else one that fits."""
    known = candidates(await capabilities_of(connection, old.client_id), old.device_id)
    wanted = old.profile_id if description.profile(old.profile_id) else None
    return choose_profile(description, known, wanted).id


async def _check_client(connection: AsyncConnection, client_id: str) -> None:
    client = await clients.get(connection, client_id)
    if client is None:
        fault = Fault(field="device", message=f"no device '{client_id}' is known")
        raise InvalidError("the application cannot be placed", fault)
    if not client.is_accepted:
        raise ConflictError(f"device '{client_id}' is retired")


async def _package(connection: AsyncConnection, application_id: str, version: str) -> PackageRecord:
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
    for other in await deployments.every(connection, client_id=client_id):
        if other.deleted is None and other.name == name:
            raise ConflictError(f"device '{client_id}' has a deployment called '{name}' already: {other.id}")


async def _note(
    connection: AsyncConnection,
    action: str,
    record: DeploymentRecord,
    *,
    actor: str,
    now: datetime,
    before: str | None = None,
) -> None:
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action=action,
        subject=record.id,
        client=record.client_id,
        application=record.application_id,
        version=record.version,
        manifest_version=record.changed_version,
        digest=record.digest,
        before=before,
    )
