"""Placing: what a revision of an assignment means for which device, and making one device have it.

`preview` says beforehand what `bring` will do. Both decide by the same function from the same tables, so
that nothing happens that was not shown, and bringing what is there already does nothing.
"""

import asyncio
import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.values import Value
from edgewright.server.domain.assignments import AssignmentSpec, Devices, Matching, Origin, parse_spec
from edgewright.server.domain.fitting import Fit, Fitter, Installed, Machine, Misfit, check_values
from edgewright.server.domain.labels import labels_of
from edgewright.server.domain.parameters import effective_values
from edgewright.server.domain.rendering import default_name
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet.catalogue import description_of
from edgewright.server.fleet.deploying import (
    Content,
    Note,
    load_choice,
    package_of,
    put_changed,
    put_deleted,
    put_new,
)
from edgewright.server.store import assignments, deployments, packages
from edgewright.server.store.assignments import AssignmentRecord
from edgewright.server.store.clients import ClientState
from edgewright.server.store.database import announce
from edgewright.server.store.deployments import DeploymentRecord
from edgewright.server.store.packages import PackageRecord
from edgewright.server.store.tables import clients, devices

# What is decided about more devices than this is decided in a thread, beside what others wait for.
SMALL: Final = 200
# A database takes only so many values in one list, and who reads more rows at once lets others wait.
_FEW: Final = 500
_AT_ONCE: Final = 1_000
_KNOWN_REPORTS: Final = 20_000
_MOST_FAULTS: Final = 50


class MisfitError(InvalidError):
    """A device cannot have what the assignment says; `faults` says why."""


class Action(StrEnum):
    """What a revision of an assignment does to one device; `misfit` leaves the device as it is."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    UNCHANGED = "unchanged"
    MISFIT = "misfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """One value of one device: before and after, None where there is none; `origin` of the one after."""

    name: str
    before: Value | None
    after: Value | None
    origin: Origin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What becomes of one client; `before` is what it has of the assignment now, if anything.

    `after` is None where it is removed, and where it does not fit, for `misfit`.
    """

    client_id: str
    action: Action
    before: Installed | None
    after: Fit | None
    misfit: Misfit | None = None
    labels: Mapping[str, str]

    def parameter_changes(self) -> list[ParameterChange]:
        """Return which values change, by name."""
        before = self.before.values if self.before else {}
        after = self.after.values if self.after else {}
        changes = (
            ParameterChange(
                name=name,
                before=before.get(name),
                after=after[name].value if name in after else None,
                origin=after[name].origin if name in after else None,
            )
            for name in sorted({*before, *after})
        )
        return [one for one in changes if one.before != one.after or type(one.before) is not type(one.after)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a revision does to every device it concerns, by client id; `counts` is how many of each action.

    `package` is None for one that only removes.
    """

    package: PackageRecord | None
    devices: tuple[Planned, ...]
    counts: Mapping[Action, int]

    def of(self, *actions: Action) -> list[Planned]:
        """Return the devices to which one of these happens."""
        return [one for one in self.devices if one.action in actions]


@dataclass(slots=True)
class _Scene:
    """What there is: clients (id, state, labels), their documents by client id, and present deployments."""

    clients: Sequence[Any]
    documents: dict[str, list[tuple[str, bytes]]]
    present: dict[str, DeploymentRecord]
    descriptions: dict[str, ApplicationDescription]
    _values: dict[tuple[str, str, str], dict[str, Value]] = field(default_factory=dict)

    def labels(self, client_id: str, given: str) -> dict[str, str]:
        """Return the labels of a client, of which `given` are the operators', as JSON."""
        reported = (
            (device_id, _capabilities(device_id, document).labels)
            for device_id, document in self.documents.get(client_id, ())
        )
        return labels_of(reported, json.loads(given))

    def installed(self, client_id: str) -> Installed | None:
        """Return what a client has of the assignment now."""
        record = self.present.get(client_id)
        if record is None:
            return None
        choice = load_choice(record.parameters)
        key = (record.version, record.profile_id, record.parameters)
        if key not in self._values:
            self._values[key] = self._effective(record, choice)
        return Installed(
            deployment_id=record.id,
            device_id=record.device_id,
            version=record.version,
            profile_id=record.profile_id,
            choice=choice,
            values=self._values[key],
        )

    def _effective(self, record: DeploymentRecord, choice: dict[str, Value]) -> dict[str, Value]:
        description = self.descriptions.get(record.version)
        profile = description.profile(record.profile_id) if description else None
        if description is None or profile is None:
            return choice
        return effective_values(description, profile, choice)


async def wanted(
    connection: AsyncConnection, record: AssignmentRecord, spec: AssignmentSpec
) -> dict[str, Fit | Misfit]:
    """Return for every selected client, by id, how it gets the application or why it cannot (spec: MAT-2)."""
    plan = await preview(connection, record, record.application_id, spec)
    return {one.client_id: found for one in plan.devices if (found := one.after or one.misfit) is not None}


async def preview(
    connection: AsyncConnection,
    record: AssignmentRecord | None,
    application_id: str,
    spec: AssignmentSpec,
) -> Plan:
    """Return what `spec` would do to every device it concerns; `record` is None for a new assignment.

    Raises `InvalidError` for a package, profile, device or value that cannot be, on whichever device.
    A device that does not fit is no error.
    """
    package = await check(connection, application_id, spec)
    scene = await _scene(connection, application_id, record, _concerned(spec))
    fitter = Fitter(description_of(package), spec)
    if len(scene.clients) <= SMALL:
        planned = _decide(scene, fitter)
    else:
        planned = await asyncio.to_thread(_decide, scene, fitter)
    _check_values_fit(planned)
    return _plan(package, planned)


async def preview_removal(connection: AsyncConnection, record: AssignmentRecord) -> Plan:
    """Return what removing an assignment from all its devices would do."""
    scene = await _scene(connection, record.application_id, record, [])
    planned = (
        Planned(
            client_id=client_id,
            action=Action.REMOVE,
            before=scene.installed(client_id),
            after=None,
            labels=scene.labels(client_id, given),
        )
        for client_id, _state, given in scene.clients
    )
    return _plan(None, tuple(planned))


async def plan_for(
    connection: AsyncConnection,
    record: AssignmentRecord,
    revision: int,
    client_ids: Sequence[str] | None = None,
) -> tuple[Planned, ...]:
    """Return what a revision does to these clients, or to all, as far as it concerns them.

    Nothing where its package is gone: what is there stays.
    """
    kept = await assignments.revision(connection, record.id, revision)
    assert kept is not None  # noqa: S101 - revisions are never cleared away
    spec = spec_of(kept.spec)
    package = await packages.get(connection, record.application_id, spec.version)
    if package is None:
        return ()
    if client_ids is None:
        scene = await _scene(connection, record.application_id, record, _concerned(spec))
    else:
        scene = await _scene(connection, record.application_id, record, client_ids, only=client_ids)
    fitter = Fitter(description_of(package), spec)
    if len(scene.clients) <= SMALL:
        return _decide(scene, fitter)
    return await asyncio.to_thread(_decide, scene, fitter)


async def check(connection: AsyncConnection, application_id: str, spec: AssignmentSpec) -> PackageRecord:
    """Return the package that `spec` is about; raises `InvalidError` with all that is wrong with `spec`.

    Nothing here depends on what devices report.
    """
    package = await package_of(connection, application_id, spec.version)
    description = description_of(package)
    faults: list[Fault] = []
    if spec.profile is not None and description.profile(spec.profile) is None:
        known = ", ".join(profile.id for profile in description.deployment_profiles)
        faults.append(Fault(field="profile", message=f"'{spec.profile}' is none of {known}"))
    named = {name: f"devices.{name}" for name in spec.devices}
    if isinstance(spec.target, Devices):
        named |= {name: f"target.devices[{index}]" for index, name in enumerate(spec.target.client_ids)}
    for name in await _unknown(connection, named):
        faults.append(Fault(field=named[name], message=f"no device '{name}' is known"))
    faults += check_values(description, spec)
    if faults:
        raise InvalidError("the assignment cannot be used", *_shortened(faults))
    return package


async def bring(
    connection: AsyncConnection,
    assignment: AssignmentRecord,
    revision: int,
    client_id: str,
    *,
    actor: str,
    now: datetime,
) -> DeploymentRecord | None:
    """Make one client have what a revision of an assignment says; return its deployment, None if it has none.

    Doing it again changes nothing. Raises `MisfitError` where the client cannot have it; what it had then
    stays as it was. A client that the revision does not select loses what it had of the assignment.
    """
    kept = await assignments.revision(connection, assignment.id, revision)
    assert kept is not None  # noqa: S101 - revisions are never cleared away
    spec = spec_of(kept.spec)
    scene = await _scene(connection, assignment.application_id, assignment, [client_id], only=[client_id])
    old = scene.present.get(client_id)
    package = await packages.get(connection, assignment.application_id, spec.version)
    reason = f"{assignment.name}, revision {revision}"
    note = Note(actor=actor, now=now, reason=reason)
    if package is None and not _is_empty(spec):
        package = await package_of(connection, assignment.application_id, spec.version)
    planned = (
        _decide(scene, _fitter(assignment.application_id, package.description, kept.spec)) if package else ()
    )
    announce(connection, f"assignment:{assignment.name}")
    for one in planned:
        if one.misfit is not None:
            message = f"{assignment.name} revision {revision} does not fit {client_id}"
            raise MisfitError(message, *one.misfit.reasons)
        if one.after is not None:
            assert package is not None  # noqa: S101 - nothing is planned without one
            return await _put(connection, assignment, package, one, old=old, note=note)
    if old is not None:
        await put_deleted(connection, old, note)
    return None


async def _put(
    connection: AsyncConnection,
    assignment: AssignmentRecord,
    package: PackageRecord,
    planned: Planned,
    *,
    old: DeploymentRecord | None,
    note: Note,
) -> DeploymentRecord:
    fit = planned.after
    assert fit is not None  # noqa: S101 - the caller looked
    profile = description_of(package).profile(fit.profile_id)
    assert profile is not None  # noqa: S101 - chosen from this very description
    content = Content(package=package, profile=profile, choice=fit.choice)
    if old is not None and old.device_id == fit.device_id:
        return await put_changed(connection, old, content, note)
    if old is not None:
        await put_deleted(connection, old, note)
    deployment_id = str(uuid.uuid4())
    taken = await deployments.names_on(connection, planned.client_id)
    name = assignment.name
    return await put_new(
        connection,
        content,
        note,
        deployment_id=deployment_id,
        client_id=planned.client_id,
        device_id=fit.device_id,
        name=default_name(name, deployment_id) if name in taken else name,
        assignment_id=assignment.id,
    )


@lru_cache(maxsize=64)
def spec_of(text: str) -> AssignmentSpec:
    """Return what a revision says, as it was kept."""
    return parse_spec(json.loads(text))


@lru_cache(maxsize=16)
def _fitter(application_id: str, description: bytes, spec: str) -> Fitter:
    return Fitter(ApplicationDescription.parse(description, source=application_id), spec_of(spec))


@lru_cache(maxsize=_KNOWN_REPORTS)
def _capabilities(device_id: str, document: bytes) -> DeviceCapabilities:
    """Return what a device reported; people who look again and again look at the same reports."""
    return DeviceCapabilities.parse(document, source=device_id)


def _plan(package: PackageRecord | None, planned: tuple[Planned, ...]) -> Plan:
    counts = dict.fromkeys(Action, 0)
    for one in planned:
        counts[one.action] += 1
    return Plan(package=package, devices=planned, counts=counts)


def _decide(scene: _Scene, fitter: Fitter) -> tuple[Planned, ...]:
    """Return what becomes of every client of the scene that it concerns."""
    return tuple(_planned(scene, fitter))


def _planned(scene: _Scene, fitter: Fitter) -> Iterator[Planned]:
    for client_id, state, given in scene.clients:
        before = scene.installed(client_id)
        documents = scene.documents.get(client_id, [])
        labels = scene.labels(client_id, given)
        if not fitter.selects(client_id, labels):
            if before is not None:
                yield Planned(
                    client_id=client_id, action=Action.REMOVE, before=before, after=None, labels=labels
                )
            continue
        is_accepted = state == ClientState.ACCEPTED
        if not is_accepted and before is None and isinstance(fitter.spec.target, Matching):
            continue
        machine = Machine(
            client_id=client_id,
            is_accepted=is_accepted,
            labels=labels,
            devices={device_id: _capabilities(device_id, document) for device_id, document in documents},
        )
        found = fitter.judge(machine, before)
        if isinstance(found, Misfit):
            yield Planned(
                client_id=client_id,
                action=Action.MISFIT,
                before=before,
                after=None,
                misfit=found,
                labels=labels,
            )
        else:
            action = _action(fitter.spec.version, before, found)
            yield Planned(client_id=client_id, action=action, before=before, after=found, labels=labels)


def _action(version: str, before: Installed | None, after: Fit) -> Action:
    if before is None:
        return Action.CREATE
    is_same = (before.version, before.profile_id, before.device_id, dict(before.choice)) == (
        version,
        after.profile_id,
        after.device_id,
        dict(after.choice),
    )
    return Action.UNCHANGED if is_same else Action.CHANGE


def _concerned(spec: AssignmentSpec) -> Collection[str] | None:
    """Return the clients that `spec` can select, None for all."""
    return spec.target.client_ids if isinstance(spec.target, Devices) else None


def _is_empty(spec: AssignmentSpec) -> bool:
    return isinstance(spec.target, Devices) and not spec.target.client_ids


async def _scene(
    connection: AsyncConnection,
    application_id: str,
    record: AssignmentRecord | None,
    concerned: Collection[str] | None,
    *,
    only: Sequence[str] | None = None,
) -> _Scene:
    """Read what there is of these clients (None: of all) and of those that have the assignment now.

    With `only` nothing of other clients.
    """
    present: dict[str, DeploymentRecord] = {}
    if record is not None:
        found = await deployments.of_assignment(connection, record.id, only)
        present = {one.client_id: one for one in found}
    ids = None if concerned is None else {*concerned, *present}
    found_clients = await _rows(
        connection, (clients.c.client_id, clients.c.state, clients.c.labels), clients.c.client_id, ids
    )
    documents: dict[str, list[tuple[str, bytes]]] = {}
    for client_id, device_id, document in await _rows(
        connection, (devices.c.client_id, devices.c.device_id, devices.c.document), devices.c.client_id, ids
    ):
        documents.setdefault(client_id, []).append((device_id, document))
    descriptions: dict[str, ApplicationDescription] = {}
    for version in {one.version for one in present.values()}:
        package = await packages.get(connection, application_id, version)
        if package is not None:
            descriptions[version] = description_of(package)
    return _Scene(found_clients, documents, present, descriptions)


async def _rows(
    connection: AsyncConnection,
    columns: Sequence[ColumnElement[Any]],
    key: ColumnElement[str],
    ids: Collection[str] | None,
) -> list[Any]:
    """Return the rows of all clients, or of these, by client id."""
    rows: list[Any] = []
    if ids is not None:
        remaining = iter(sorted(ids))
        while some := list(islice(remaining, _FEW)):
            rows += (await connection.execute(select(*columns).where(key.in_(some)).order_by(key))).all()
        return rows
    last = ""
    while True:
        page = select(key).where(key > last).distinct().order_by(key).limit(_AT_ONCE)
        until = (await connection.scalars(page)).all()
        if not until:
            return rows
        query = select(*columns).where(key > last, key <= until[-1]).order_by(key)
        rows += (await connection.execute(query)).all()
        last = until[-1]


async def _unknown(connection: AsyncConnection, names: Collection[str]) -> list[str]:
    """Return which of these are no client ids."""
    known = {row[0] for row in await _rows(connection, (clients.c.client_id,), clients.c.client_id, names)}
    return [name for name in names if name not in known]


def _check_values_fit(planned: Sequence[Planned]) -> None:
    """Raise `InvalidError` for values that some devices cannot have, each fault once with these devices."""
    devices_of: dict[tuple[str, str], list[str]] = {}
    for one in planned:
        if one.misfit is not None and one.misfit.is_about_values:
            for reason in one.misfit.reasons:
                devices_of.setdefault((reason.field, reason.message), []).append(one.client_id)
    if devices_of:
        faults = [
            Fault(field=path, message=f"{message} (on {_some(names)})")
            for (path, message), names in devices_of.items()
        ]
        raise InvalidError("the assignment cannot be used", *_shortened(faults))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _shortened(faults: Sequence[Fault]) -> list[Fault]:
    """Return the first faults, and how many there are beyond them."""
    rest = len(faults) - _MOST_FAULTS
    if rest <= 0:
        return list(faults)
    return [*faults[:_MOST_FAULTS], Fault(field="", message=f"and {rest} more faults like these")]
