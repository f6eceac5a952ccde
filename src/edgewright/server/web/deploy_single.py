"""The deploy form for what is there already on one device: a deployment that belongs to no assignment.

Form and preview are those of assignments; what is decided is what the API decides for such a deployment.
"""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.values import Value
from edgewright.server.domain.assignments import PACKAGE, AssignmentSpec, Chosen, Devices, Origin, OriginKind
from edgewright.server.domain.fitting import Fit, Installed
from edgewright.server.errors import ConflictError
from edgewright.server.fleet import deploying
from edgewright.server.fleet.deploying import Change, Note, PreparedChange, load_choice
from edgewright.server.fleet.placing import Action, Plan, Planned
from edgewright.server.store import deployments
from edgewright.server.store.deployments import DeploymentRecord
from edgewright.server.web.deploy_form import Typed, typed_from


async def typed_of(connection: AsyncConnection, deployment_id: str) -> Typed:
    """Return the form that says what a deployment is; raises the errors of changing it."""
    record = await deploying.changeable(connection, deployment_id)
    number = (await deployments.revisions(connection, record.id))[0].number
    return typed_for(record, spec_of(record), seen=str(number))


def typed_for(record: DeploymentRecord, spec: AssignmentSpec, *, seen: str) -> Typed:
    """Return the form that says what `spec` says of a deployment."""
    typed = typed_from(record.application_id, spec)
    return replace(typed, deployment=record.id, name=record.name, seen=seen)


def spec_of(record: DeploymentRecord) -> AssignmentSpec:
    """Return what a deployment is, in the words of an assignment to its device alone."""
    return AssignmentSpec(
        version=record.version,
        profile=record.profile_id,
        target=Devices((record.client_id,)),
        parameters=load_choice(record.parameters),
    )


async def prepare(connection: AsyncConnection, deployment_id: str, spec: AssignmentSpec) -> PreparedChange:
    """Look at what making a deployment like `spec` would do; what `spec` does not say is the package's."""
    record = await deploying.changeable(connection, deployment_id)
    return await deploying.prepare_change(connection, record.id, _change(record, spec))


async def confirm(
    connection: AsyncConnection, deployment_id: str, spec: AssignmentSpec, *, seen: str, note: Note
) -> bool:
    """Do what the preview showed; return whether anything was changed.

    Raises `ConflictError` if the deployment is not the revision that was `seen` any more.
    """
    record = await deploying.changeable(connection, deployment_id)
    number = (await deployments.revisions(connection, record.id))[0].number
    if str(number) != seen:
        raise ConflictError(
            f"the deployment '{record.name}' was changed by somebody else while you looked;"
            " look at it again first"
        )
    changed = await deploying.change(
        connection, record.id, _change(record, spec), actor=note.actor, now=note.now, reason=note.reason
    )
    return changed != record


def plan_of(prepared: PreparedChange) -> Plan:
    """Return what the change does to its one device, as the preview shows it."""
    old, content = prepared.old, prepared.content
    action = Action.CHANGE if prepared.is_change else Action.UNCHANGED
    planned = Planned(
        client_id=old.client_id,
        action=action,
        before=Installed(
            deployment_id=old.id,
            device_id=old.device_id,
            version=old.version,
            profile_id=old.profile_id,
            choice=load_choice(old.parameters),
            values=prepared.before,
        ),
        after=Fit(
            device_id=old.device_id,
            profile_id=content.profile.id,
            choice=content.choice,
            values={
                name: Chosen(value, Origin(OriginKind.DEVICE) if name in content.choice else PACKAGE)
                for name, value in prepared.after.items()
            },
        ),
        labels={},
    )
    return Plan(package=content.package, devices=(planned,), counts={**dict.fromkeys(Action, 0), action: 1})


def _change(record: DeploymentRecord, spec: AssignmentSpec) -> Change:
    """Return the change to what `spec` says: chosen values that it does not say are chosen no more."""
    parameters: dict[str, Value | None] = dict.fromkeys(load_choice(record.parameters))
    return Change(version=spec.version, profile=spec.profile, parameters={**parameters, **spec.parameters})
