"""`/assignments`: an application for many devices, with values for all, for groups and for single ones."""

from typing import Annotated, Any

from litestar import Response, delete, get, post, put
from litestar.params import QueryParameter

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.assignments import AssignmentSpec, parse_spec
from edgewright.server.domain.roles import Role
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import assignments as fleet
from edgewright.server.fleet.assignments import Prepared
from edgewright.server.fleet.placing import Action
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.assignment_documents import (
    AssignmentBody,
    AssignmentDetail,
    AssignmentEntry,
    Preview,
    RevertBody,
    RevisionEntry,
)
from edgewright.server.operator_api.assignment_views import (
    assignment_detail,
    counts_of,
    show_assignment,
    show_planned,
    show_revision,
    wish_in,
)
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, contains, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json, read_plain
from edgewright.server.store import assignments
from edgewright.server.store.assignments import AssignmentRecord
from edgewright.server.store.database import is_rehearsal

# Values for each of ten thousand devices fit in.
MAX_ASSIGNMENT_BYTES = 8 * 1024 * 1024


@get("/assignments", summary="List assignments")
async def list_assignments(
    request: ServerRequest,
    *,
    application: str | None = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[AssignmentEntry]:
    """Return assignments by name; `application` is an id, `q` is looked for in names and applications."""
    context = context_of(request)
    counts = counts_of(await context.rows())
    async with context.database.reading() as connection:
        known = await assignments.every(connection)
        newest = await assignments.newest_revisions(connection)
    found = [
        show_assignment(record, newest[record.id], counts)
        for record in known
        if (application is None or record.application_id == application)
        and (q is None or contains(q, record.name, record.application_id))
    ]
    return page_of(found, lambda one: one.name, limit=limit, after=after)


@get("/assignments/{name:str}", summary="Show an assignment")
async def show_one(request: ServerRequest, name: str) -> Response[AssignmentDetail]:
    """Return one assignment: what it says, and how many of its deployments are in which state."""
    context = context_of(request)
    async with context.database.reading() as connection:
        record = await fleet.assignment_named(connection, name)
    return await _shown(request, record)


@put(
    "/assignments/{name:str}",
    status_code=200,
    summary="Make or change an assignment",
    body=AssignmentBody,
    creates=True,
    dry_run=True,
)
async def put_assignment(request: ServerRequest, name: str) -> Response[AssignmentDetail]:
    """Say what an assignment wants from now on, and begin to roll it out.

    `201` for a new one. What says the same as before changes nothing.
    """
    application, reason, spec = await _read(request)
    async with context_of(request).database.reading() as connection:
        prepared = await fleet.prepare(connection, name, application, spec, reason=reason)
    return await _put(request, prepared)


@post(
    "/assignments/{name:str}/preview",
    status_code=200,
    summary="Show what an assignment would do",
    body=AssignmentBody,
    role=Role.VIEWER,
)
async def preview_assignment(
    request: ServerRequest,
    name: str,
    *,
    action: Annotated[
        Action | None, QueryParameter(description="only devices to which this would happen")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Preview:
    """Return what `PUT` with the same body would do to every device; nothing is changed."""
    application, reason, spec = await _read(request)
    async with context_of(request).database.reading() as connection:
        prepared = await fleet.prepare(connection, name, application, spec, reason=reason)
    return _preview(prepared, action, limit=limit, after=after)


@get("/assignments/{name:str}/revisions", summary="Show what an assignment was")
async def list_revisions(
    request: ServerRequest, name: str, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[RevisionEntry]:
    """Return every revision of an assignment, the newest first."""
    async with context_of(request).database.reading() as connection:
        record = await fleet.assignment_named(connection, name)
        known = await assignments.revisions(connection, record.id)
    return page_of(
        [show_revision(one) for one in known], lambda one: str(one.number), limit=limit, after=after
    )


@post(
    "/assignments/{name:str}/revert",
    status_code=200,
    summary="Go back to an earlier revision",
    body=RevertBody,
    dry_run=True,
)
async def revert_assignment(request: ServerRequest, name: str) -> Response[AssignmentDetail]:
    """Have an assignment say what it said in an earlier revision, as a new one, and begin to roll it out."""
    asked = await read_json(request, RevertBody)
    async with context_of(request).database.reading() as connection:
        prepared = await fleet.prepare_revert(connection, name, asked.revision)
    return await _put(request, prepared)


@delete("/assignments/{name:str}", status_code=200, summary="Delete an assignment", dry_run=True)
async def delete_assignment(request: ServerRequest, name: str) -> AssignmentDetail:
    """Begin to remove what an assignment brought from all its devices; its name is free at once."""
    context = context_of(request)
    async with context.database.reading() as connection:
        prepared = await fleet.prepare_deletion(connection, name)
    counts = counts_of(await context.rows())
    async with context.database.writing() as connection:
        expect(request, wish_in(await fleet.assignment_named(connection, name)))
        record = await fleet.delete(connection, prepared, actor=operator_of(request), now=context.clock())
        if is_rehearsal():
            return await assignment_detail(connection, record, counts)
    await context.settle()
    counts = counts_of(await context.rows())
    async with context.database.reading() as connection:
        return await assignment_detail(connection, record, counts)


async def _read(request: ServerRequest) -> tuple[str, str, AssignmentSpec]:
    """Return application, reason and specification of a request."""
    plain = await read_plain(request, limit=MAX_ASSIGNMENT_BYTES)
    if not isinstance(plain, dict):
        raise InvalidError("the request is not as expected", Fault(field="", message="expected an object"))
    said = dict(plain)
    application, reason = said.pop("application", None), said.pop("reason", "")
    faults = []
    if not isinstance(application, str):
        faults.append(Fault(field="application", message="expected the id of an application"))
    if not isinstance(reason, str):
        faults.append(Fault(field="reason", message="expected a text"))
    if faults:
        raise InvalidError("the request is not as expected", *faults)
    return str(application), reason, parse_spec(said)


async def _put(request: ServerRequest, prepared: Prepared) -> Response[AssignmentDetail]:
    context = context_of(request)
    counts = counts_of(await context.rows())
    async with context.database.writing() as connection:
        present = await assignments.named(connection, prepared.name)
        expect(request, None if present is None else wish_in(present))
        record = await fleet.put(connection, prepared, actor=operator_of(request), now=context.clock())
        if is_rehearsal():
            # Nobody else will ever see it: it is shown from within, and nothing is waited for.
            detail = await assignment_detail(connection, record, counts)
            return tagged(request, detail, of=wish_in(record), status=201 if present is None else 200)
    await context.settle()
    return await _shown(request, record, status=201 if present is None else 200)


async def _shown(request: ServerRequest, record: AssignmentRecord, *, status: int = 200) -> Response[Any]:
    context = context_of(request)
    counts = counts_of(await context.rows())
    async with context.database.reading() as connection:
        detail = await assignment_detail(connection, record, counts)
    return tagged(request, detail, of=wish_in(record), status=status)


def _preview(prepared: Prepared, action: Action | None, *, limit: int, after: str | None) -> Preview:
    plan = prepared.plan
    chosen = plan.devices if action is None else plan.of(action)
    page = page_of(chosen, lambda one: one.client_id, limit=limit, after=after)
    return Preview(
        counts=dict(plan.counts),
        devices=Page(items=[show_planned(plan, one) for one in page.items], next=page.next, total=page.total),
    )


HANDLERS = [
    list_assignments,
    show_one,
    put_assignment,
    preview_assignment,
    list_revisions,
    revert_assignment,
    delete_assignment,
]
