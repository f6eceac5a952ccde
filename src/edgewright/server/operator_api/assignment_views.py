"""Shows assignments as the operator API's JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.values import Value
from edgewright.server.fleet.deploying import load_choice
from edgewright.server.fleet.placing import Action, Plan, Planned
from edgewright.server.live.overview import Row
from edgewright.server.operator_api.assignment_documents import (
    AssignmentDetail,
    AssignmentEntry,
    DeploymentRevisionEntry,
    OriginEntry,
    ParameterChangeEntry,
    PlannedEntry,
    RevisionEntry,
)
from edgewright.server.operator_api.documents import ParameterValue
from edgewright.server.store import assignments
from edgewright.server.store.assignments import AssignmentRecord, AssignmentRevision
from edgewright.server.store.deployments import DeploymentRevision

Counts = Mapping[int, Mapping[str, int]]


def counts_of(rows: Sequence[Row]) -> Counts:
    """Return how many deployments are in which state, by the id of their assignment."""
    counts: dict[int, Counter[str]] = {}
    for row in rows:
        for one in row.running:
            if one.assignment_id is not None:
                counts.setdefault(one.assignment_id, Counter())[one.truth.value] += 1
    return counts


def show_assignment(record: AssignmentRecord, newest: AssignmentRevision, counts: Counts) -> AssignmentEntry:
    """Show one assignment in a list."""
    spec = json.loads(newest.spec)
    return AssignmentEntry(
        name=record.name,
        application=record.application_id,
        version=spec["version"],
        target=spec["target"],
        revision=record.revision,
        created=record.created,
        changed=record.changed,
        by=newest.actor,
        deployments=dict(sorted(counts.get(record.id, {}).items())),
    )


async def assignment_detail(
    connection: AsyncConnection, record: AssignmentRecord, counts: Counts
) -> AssignmentDetail:
    """Show one assignment with all it says."""
    newest = await assignments.revision(connection, record.id, record.revision)
    assert newest is not None  # noqa: S101 - revisions are never cleared away
    entry = show_assignment(record, newest, counts)
    return AssignmentDetail(
        name=entry.name,
        application=entry.application,
        version=entry.version,
        target=entry.target,
        revision=entry.revision,
        created=entry.created,
        changed=entry.changed,
        by=entry.by,
        deployments=entry.deployments,
        spec=json.loads(newest.spec),
        reason=newest.reason,
        deleted=record.deleted,
    )


def show_revision(revision: AssignmentRevision) -> RevisionEntry:
    """Show what an assignment once said."""
    return RevisionEntry(
        number=revision.number,
        created=revision.created,
        by=revision.actor,
        reason=revision.reason,
        spec=json.loads(revision.spec),
    )


def show_deployment_revision(revision: DeploymentRevision) -> DeploymentRevisionEntry:
    """Show what a deployment once was."""
    return DeploymentRevisionEntry(
        number=revision.number,
        created=revision.created,
        by=revision.actor,
        reason=revision.reason,
        version=revision.version,
        profile=revision.profile_id,
        parameters={name: plain(value) for name, value in load_choice(revision.parameters).items()},
        digest=revision.digest,
        manifest_version=revision.changed_version,
        is_removal=not revision.digest,
    )


def wish_in(record: AssignmentRecord) -> dict[str, object]:
    """Return what people have said of an assignment: what its tag is of."""
    return {"id": record.id, "revision": record.revision}


def show_planned(plan: Plan, planned: Planned) -> PlannedEntry:
    """Show what would become of one device."""
    before, after = planned.before, planned.after
    keeps = planned.action is Action.MISFIT
    return PlannedEntry(
        device=planned.client_id,
        action=planned.action,
        device_id=after.device_id if after else before.device_id if before else None,
        deployment=before.deployment_id if before else None,
        version_before=before.version if before else None,
        version_after=plan.package.version if after and plan.package else None,
        profile_before=before.profile_id if before else None,
        profile_after=after.profile_id if after else None,
        parameters=[]
        if keeps
        else [
            ParameterChangeEntry(
                name=one.name,
                before=plain(one.before),
                after=plain(one.after),
                origin=None
                if one.origin is None
                else OriginEntry(kind=one.origin.kind, path=one.origin.path, name=one.origin.name),
            )
            for one in planned.parameter_changes()
        ],
        reasons=[fault.message for fault in planned.misfit.reasons] if planned.misfit else [],
    )


def plain(value: Value | None) -> ParameterValue:
    """Return a value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value
