"""`/deployments`, `/assignments` and one deployment: what is to run where, beside what is reported of it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import EdgewrightError
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.assignments import AssignmentSpec, Devices, Matching, render_spec
from edgewright.server.domain.roles import Role
from edgewright.server.domain.truth import Truth
from edgewright.server.domain.versions import newest
from edgewright.server.fleet import assignments as fleet
from edgewright.server.fleet import catalogue, deploying
from edgewright.server.fleet.placing import SMALL, Action, preview, spec_of
from edgewright.server.live.overview import Running
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.assignment_views import counts_of, show_assignment
from edgewright.server.operator_api.documents import StatusEntry
from edgewright.server.operator_api.paging import Page, contains, page_of
from edgewright.server.operator_api.views import deployment_entry, show_status
from edgewright.server.store import assignments, deployments, packages, rollouts
from edgewright.server.store.assignments import AssignmentRevision
from edgewright.server.store.deployments import DeploymentRevision
from edgewright.server.web.deploy import show_preview
from edgewright.server.web.pages import page, see_other

State = Annotated[str, QueryParameter(name="state")]
ROWS = 50
_REPORTS = 20
_MISFITS_SHOWN = 20


@get("/deployments")
async def show_all(
    request: ServerRequest, *, q: str = "", state_: State = "", after: str = ""
) -> Response[str]:
    """Show assignments with how they stand, and deployments of single devices.

    A deleted assignment is shown until the last device has said that it removed what it had of it.
    """
    context = context_of(request)
    rows = await context.rows()
    counts = counts_of(rows)
    async with context.database.reading() as connection:
        known = [
            record
            for record in await assignments.every(connection, deleted=True)
            if record.deleted is None or record.id in counts
        ]
        said = await assignments.newest_revisions(connection)
        for record in known:
            if record.id not in said:
                said[record.id] = (await assignments.revisions(connection, record.id))[0]
        latest = {one.assignment_id: one for one in reversed(await rollouts.every(connection))}
        is_empty = not known and not await packages.every(connection)
    shown = [
        {
            "entry": show_assignment(record, said[record.id], counts),
            "target": target_in_words(spec_of(said[record.id].spec)),
            "is_deleted": record.deleted is not None,
            "rollout": latest.get(record.id),
        }
        for record in known
        if (not q or contains(q, record.name, record.application_id))
        and (not state_ or counts.get(record.id, {}).get(state_))
    ]
    singles = [
        (row.client_id, one)
        for row in rows
        for one in row.running
        if one.assignment_id is None
        and (not q or contains(q, one.name, one.application, row.client_id))
        and (not state_ or one.truth.value == state_)
    ]
    totals = Counter(one.truth.value for row in rows for one in row.running)
    return page(
        request,
        "deployments.html",
        {
            "q": q,
            "state": state_,
            "assignments": shown,
            "absent": {row.client_id: row.state.word for row in rows if not row.is_believed},
            "singles": page_of(singles, _key, limit=ROWS, after=after or None),
            "totals": {truth.value: totals[truth.value] for truth in Truth if totals[truth.value]},
            "is_empty": is_empty,
        },
    )


@get("/assignments/{name:str}")
async def show_one(
    request: ServerRequest, name: str, *, state_: State = "", after: str = ""
) -> Response[str]:
    """Show an assignment: how it stands on which device, what it says, and what it was."""
    context = context_of(request)
    rows = await context.rows()
    async with context.database.reading() as connection:
        record = await assignments.last_named(connection, name)
        if record is None:
            record = await fleet.assignment_named(connection, name)
        revisions = await assignments.revisions(connection, record.id)
        spec = spec_of(revisions[0].spec)
        versions = await _versions(connection, record.application_id)
        misfits = None
        if len(rows) <= SMALL and record.deleted is None:
            misfits = await _misfits(connection, record, spec)
        found = await rollouts.of_assignment(connection, record.id)
        steps = await rollouts.counts(connection, [one.id for one in found[:1]])
    running = [
        (row, one)
        for row in rows
        for one in row.running
        if one.assignment_id == record.id and (not state_ or one.truth.value == state_)
    ]
    counts = counts_of(rows).get(record.id, {})
    best = newest([*versions, spec.version])
    return page(
        request,
        "assignment.html",
        {
            "record": record,
            "spec": spec,
            "target": target_in_words(spec),
            "state": state_,
            "counts": counts,
            "devices": page_of(
                running,
                lambda one: f"{one[0].client_id} {one[1].deployment_id}",
                limit=ROWS,
                after=after or None,
            ),
            "values": values_of(spec),
            "strategy": {
                key: json.dumps(value) if isinstance(value, list) else value
                for key, value in spec.strategy.items()
            },
            "revisions": [
                {
                    "revision": one,
                    "version": spec_of(one.spec).version,
                    "changes": changes_between(before, one),
                }
                for one, before in zip(revisions, [*revisions[1:], None], strict=True)
            ],
            "newer": best if best != spec.version else "",
            "misfits": misfits,
            "rollout": found[0] if found else None,
            "steps": {state.value: count for state, count in steps.get(found[0].id, {}).items()}
            if found
            else {},
        },
    )


@get("/assignments/{name:str}/revert/{number:int}", role=Role.OPERATOR)
async def show_revert(request: ServerRequest, name: str, number: int) -> Response[Any]:
    """Show what going back to an earlier revision would do."""
    async with context_of(request).database.reading() as connection:
        prepared = await fleet.prepare_revert(connection, name, number)
    return show_preview(request, prepared)


@post("/assignments/{name:str}/delete", status_code=303)
async def delete_one(request: ServerRequest, name: str) -> Response[Any]:
    """Delete an assignment, which removes its application from all its devices."""
    context = context_of(request)
    async with context.database.reading() as connection:
        prepared = await fleet.prepare_deletion(connection, name)
    async with context.database.writing() as connection:
        await fleet.delete(connection, prepared, actor=operator_of(request), now=context.clock())
    await context.settle()
    count = prepared.plan.counts[Action.REMOVE]
    told = (
        f"{name} is deleted."
        if not count
        else (f"{name} is deleted; it is being removed from {count} {'device' if count == 1 else 'devices'}.")
    )
    return see_other("/deployments", told)


@get("/deployments/{deployment_id:str}")
async def show_deployment(request: ServerRequest, deployment_id: str, after: str = "") -> Response[str]:
    """Show one deployment: what is wanted beside what was reported, and what it was."""
    context = context_of(request)
    rows = {row.client_id: row for row in await context.rows()}
    async with context.database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        entry = await deployment_entry(connection, record)
        revisions = await deployments.revisions(connection, record.id)
        reports = await deployments.history(connection, record.id)
        package = await packages.get(connection, record.application_id, record.version)
        versions = await _versions(connection, record.application_id)
    best = newest([*versions, record.version])
    asked = {}
    immutable: frozenset[str] = frozenset()
    if package is not None:
        description = catalogue.description_of(package)
        immutable = description.immutable_parameters
        sections = description.configuration.sections if description.configuration else ()
        asked = {one.parameter: one.name for section in sections for one in section.settings}
    listed = page_of(list(reversed(reports)), lambda one: str(one.id), limit=_REPORTS, after=after or None)
    return page(
        request,
        "deployment.html",
        {
            "one": entry,
            "row": rows.get(record.client_id),
            "components": _components(entry.desired.components if entry.desired else [], entry.current),
            "asked": asked,
            "newer": best if best != record.version else "",
            "immutable": immutable,
            "revisions": [
                {"revision": one, "changes": deployment_changes(before, one)}
                for one, before in zip(revisions, [*revisions[1:], None], strict=True)
            ],
            "reports": Page(
                items=[show_status(one) for one in listed.items], next=listed.next, total=listed.total
            ),
        },
    )


@post("/deployments/{deployment_id:str}/revert/{number:int}", status_code=303)
async def revert_deployment(request: ServerRequest, deployment_id: str, number: int) -> Response[Any]:
    """Give a deployment what it was in an earlier revision."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await deploying.revert(
            connection, deployment_id, number, actor=operator_of(request), now=context.clock()
        )
    return see_other(f"/deployments/{record.id}", f"{record.name} goes back to what revision {number} was.")


@post("/deployments/{deployment_id:str}/delete", status_code=303)
async def delete_deployment(request: ServerRequest, deployment_id: str) -> Response[Any]:
    """Have a deployment removed from its device."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await deploying.delete(
            connection, deployment_id, actor=operator_of(request), now=context.clock()
        )
    return see_other(f"/deployments/{record.id}", f"{record.name} is being removed from {record.client_id}.")


def target_in_words(spec: AssignmentSpec) -> str:
    """Return which devices an assignment is for."""
    match spec.target:
        case Devices(client_ids):
            if len(client_ids) > 3:
                return f"{', '.join(client_ids[:3])} and {len(client_ids) - 3} more"
            return ", ".join(client_ids) or "no device"
        case Matching(selector):
            return selector.text if selector.requirements else "all devices"


def values_of(spec: AssignmentSpec) -> list[tuple[str, str, dict[str, str]]]:
    """Return the layers that say something: kind, selector or device, and values by name."""
    found = [("all", "", spec.parameters)]
    found += [("group", group.selector.text, group.parameters) for group in spec.groups]
    found += [("device", name, values) for name, values in spec.devices.items()]
    return [
        (kind, name, {key: in_words(value) for key, value in values.items()})
        for kind, name, values in found
        if values
    ]


def in_words(value: Any) -> str:
    """Return a value for people."""
    if value is None:
        return "the package's default"
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value)) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else "empty"


def changes_between(
    before: AssignmentRevision | None, after: AssignmentRevision
) -> list[tuple[str, str | None, str | None]]:
    """Return what differs between two revisions, as rows of a comparison."""
    old = {} if before is None else _flat(spec_of(before.spec))
    return _differences(old, _flat(spec_of(after.spec)))


def deployment_changes(
    before: DeploymentRevision | None, after: DeploymentRevision
) -> list[tuple[str, str | None, str | None]]:
    """Return the same of a deployment."""
    return _differences({} if before is None else _said(before), _said(after))


def _said(revision: DeploymentRevision) -> dict[str, str]:
    if not revision.digest:
        return {}
    values = deploying.load_choice(revision.parameters)
    return {
        "version": revision.version,
        "profile": revision.profile_id,
        **{name: in_words(value) for name, value in values.items()},
    }


def _flat(spec: AssignmentSpec) -> dict[str, str]:
    """Return what an assignment says, one line for each thing."""
    flat = {"version": spec.version, "devices": target_in_words(spec)}
    if isinstance(spec.target, Devices) and len(spec.target.client_ids) > 3:
        flat["devices"] = ", ".join(spec.target.client_ids)
    if spec.profile:
        flat["profile"] = spec.profile
    for kind, name, values in values_of(spec):
        for key, value in values.items():
            flat[key if kind == "all" else f"{key} ({name})"] = value
    for key, value in render_spec(spec).get("strategy", {}).items():
        flat[f"rollout: {key}"] = in_words(value)
    return flat


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str | None, str | None]]:
    names = dict.fromkeys([*old, *new])
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


async def _misfits(connection: AsyncConnection, record: Any, spec: AssignmentSpec) -> list[tuple[str, str]]:
    """Return devices that are selected and do not fit, each with why."""
    try:
        plan = await preview(connection, record, record.application_id, spec)
    except EdgewrightError:
        # What was right when it was said need not be so now, such as a package that is gone.
        return []
    return [
        (one.client_id, "; ".join(reason.message for reason in one.misfit.reasons))
        for one in plan.of(Action.MISFIT)[:_MISFITS_SHOWN]
        if one.misfit
    ]


async def _versions(connection: AsyncConnection, application_id: str) -> list[str]:
    return [one.version for one in await packages.every(connection) if one.application_id == application_id]


def _components(wanted: Sequence[Any], current: StatusEntry | None) -> list[dict[str, Any]]:
    """Return every component, wanted or reported, with its revision, state and error."""
    reported = {one.name: one for one in (current.components if current else ())}
    names = dict.fromkeys([*(one.name for one in wanted), *reported])
    by_name = {one.name: one for one in wanted}
    return [{"name": name, "wanted": by_name.get(name), "reported": reported.get(name)} for name in names]


def _key(one: tuple[str, Running]) -> str:
    return f"{one[0]} {one[1].deployment_id}"


HANDLERS = [
    show_all,
    show_one,
    show_revert,
    delete_one,
    show_deployment,
    revert_deployment,
    delete_deployment,
]
