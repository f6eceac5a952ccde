"""`/deployments`: what runs where."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import QueryParameter
from msgspec.structs import replace as replace_member
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.values import Value
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet import deploying
from edgewright.server.fleet.assignments import assignment_named
from edgewright.server.live.finding import deployments_in
from edgewright.server.live.overview import Row
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.assignment_documents import DeploymentRevisionEntry, RevertBody
from edgewright.server.operator_api.assignment_views import show_deployment_revision
from edgewright.server.operator_api.documents import (
    ChangedDeployment,
    DeploymentEntry,
    NewDeployment,
    ParameterValue,
    StatusEntry,
)
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import (
    DEFAULT_LIMIT,
    Page,
    make_cursor,
    page_of,
    read_number,
)
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.views import (
    deployment_entries,
    deployment_entry,
    show_status,
    truths,
    wish_in,
)
from edgewright.server.store import deployments
from edgewright.server.store.deployments import DeploymentRecord


@get("/deployments", summary="List deployments")
async def list_deployments(
    request: ServerRequest,
    *,
    device: str | None = None,
    assignment: str | None = None,
    application: str | None = None,
    version: str | None = None,
    in_state: Annotated[Truth | None, QueryParameter(name="state")] = None,
    q: Search = None,
    removed: bool = False,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[DeploymentEntry]:
    """Return deployments by creation; removed ones only if asked for.

    `device` is a client id, `assignment` the name of one; `q` is looked for in names, applications and
    devices.
    """
    wanted = deployments.Filter(
        client_id=device,
        application_id=application,
        version=version,
        text=q,
        with_removed=removed or in_state is Truth.REMOVED,
    )
    context = context_of(request)
    async with context.database.reading() as connection:
        if assignment is not None:
            record = await assignment_named(connection, assignment)
            wanted = replace(wanted, assignment_id=record.id)
        rows = await context.rows()
        records = await _page(connection, wanted, in_state, rows, limit=limit, after=after)
        entries = await deployment_entries(connection, records.items)
    words = {row.client_id: row.state.word for row in rows}
    entries = [replace_member(one, device_state=words.get(one.device)) for one in entries]
    return Page(items=entries, next=records.next, total=records.total)


@post("/deployments", status_code=201, summary="Deploy an application", body=NewDeployment, dry_run=True)
async def create_deployment(request: ServerRequest) -> DeploymentEntry:
    """Deploy one version of an application on one device."""
    context = context_of(request)
    asked = await read_json(request, NewDeployment)
    wish = deploying.Wish(
        application=asked.application,
        version=asked.version,
        client_id=asked.device,
        device_id=asked.device_id,
        profile=asked.profile,
        name=asked.name,
        parameters={name: value for name, value in _values(asked.parameters).items() if value is not None},
    )
    async with context.database.writing() as connection:
        record = await deploying.create(
            connection,
            wish,
            deployment_id=str(uuid.uuid4()),
            actor=operator_of(request),
            now=context.clock(),
        )
        return await deployment_entry(connection, record)


@get("/deployments/{deployment_id:str}", summary="Show a deployment")
async def show_deployment(request: ServerRequest, deployment_id: str) -> Response[DeploymentEntry]:
    """Return one deployment with desired beside current, removed ones as well."""
    context = context_of(request)
    words = {row.client_id: row.state.word for row in await context.rows()}
    async with context.database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        entry = await deployment_entry(connection, record)
    shown = replace_member(entry, device_state=words.get(record.client_id))
    return tagged(request, shown, of=wish_in(record))


@put("/deployments/{deployment_id:str}", summary="Change a deployment", body=ChangedDeployment, dry_run=True)
async def change_deployment(request: ServerRequest, deployment_id: str) -> Response[DeploymentEntry]:
    """Give a deployment another version of its application or other parameters; its id stays."""
    context = context_of(request)
    asked = await read_json(request, ChangedDeployment)
    wish = deploying.Change(version=asked.version, parameters=_values(asked.parameters))
    async with context.database.writing() as connection:
        expect(request, wish_in(await deploying.deployment_called(connection, deployment_id)))
        record = await deploying.change(
            connection, deployment_id, wish, actor=operator_of(request), now=context.clock()
        )
        return tagged(request, await deployment_entry(connection, record), of=wish_in(record))


@delete("/deployments/{deployment_id:str}", status_code=200, summary="Delete a deployment", dry_run=True)
async def delete_deployment(request: ServerRequest, deployment_id: str) -> DeploymentEntry:
    """Have a deployment removed from its device; it is shown until the device has said that it is gone."""
    context = context_of(request)
    async with context.database.writing() as connection:
        expect(request, wish_in(await deploying.deployment_called(connection, deployment_id)))
        record = await deploying.delete(
            connection, deployment_id, actor=operator_of(request), now=context.clock()
        )
        return await deployment_entry(connection, record)


@get("/deployments/{deployment_id:str}/history", summary="Show what was reported")
async def show_history(
    request: ServerRequest, deployment_id: str, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[StatusEntry]:
    """Return the reports about a deployment, in the order received; the newest 1000 are kept."""
    async with context_of(request).database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        reports = await deployments.history(connection, record.id)
    page = page_of(reports, lambda one: str(one.id), limit=limit, after=after)
    return Page(items=[show_status(one) for one in page.items], next=page.next, total=page.total)


@get("/deployments/{deployment_id:str}/revisions", summary="Show what a deployment was")
async def list_revisions(
    request: ServerRequest, deployment_id: str, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[DeploymentRevisionEntry]:
    """Return every revision of a deployment, the newest first."""
    async with context_of(request).database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        known = await deployments.revisions(connection, record.id)
    shown = [show_deployment_revision(one) for one in known]
    return page_of(shown, lambda one: str(one.number), limit=limit, after=after)


@post(
    "/deployments/{deployment_id:str}/revert",
    status_code=200,
    summary="Go back to an earlier revision of a deployment",
    body=RevertBody,
    dry_run=True,
)
async def revert_deployment(request: ServerRequest, deployment_id: str) -> Response[DeploymentEntry]:
    """Give a deployment what it was in an earlier revision, as a new one; immutable values stay."""
    context = context_of(request)
    asked = await read_json(request, RevertBody)
    async with context.database.writing() as connection:
        expect(request, wish_in(await deploying.deployment_called(connection, deployment_id)))
        record = await deploying.revert(
            connection, deployment_id, asked.revision, actor=operator_of(request), now=context.clock()
        )
        return tagged(request, await deployment_entry(connection, record), of=wish_in(record))


async def _page(
    connection: AsyncConnection,
    wanted: deployments.Filter,
    state: Truth | None,
    rows: Sequence[Row],
    *,
    limit: int,
    after: str | None,
) -> Page[DeploymentRecord]:
    """Return one page of records; `rows` of the overview know which are in a state, but for removed ones.

    The cursor is a position, so that a deployment which has left the list since misplaces no page.
    """
    last = read_number(after) if after else 0
    if state is None:
        total = await deployments.count(connection, wanted)
        records = await deployments.matching(connection, wanted, after=last, limit=limit + 1)
    elif state is not Truth.REMOVED:
        of_state = deployments_in(rows, state, wanted)
        total = len(of_state)
        ids = [one for position, one in of_state if position > last][: limit + 1]
        records = await deployments.called(connection, ids)
    else:
        known = await deployments.matching(connection, wanted)
        found = await truths(connection, known)
        gone = [record for record in known if found[record.id] == state]
        total = len(gone)
        records = [record for record in gone if record.position > last][: limit + 1]
    more = len(records) > limit
    return Page(
        items=records[:limit],
        next=make_cursor(str(records[limit - 1].position)) if more else None,
        total=total,
    )


def _values(given: Mapping[str, ParameterValue]) -> dict[str, Value | None]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
