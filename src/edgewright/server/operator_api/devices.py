"""`/devices`: clients, what they reported, and whether they are accepted."""

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.labels import Selector
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import labels, membership
from edgewright.server.fleet.sites import KEEP_ACTIONS
from edgewright.server.live.finding import Wanted, count
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.device_views import (
    changeable,
    device_detail,
    device_entry,
    fleet_counts,
)
from edgewright.server.operator_api.documents import (
    ChangedDevice,
    ChangedLabels,
    DeviceDetail,
    DeviceEntry,
    FleetCounts,
    LabelsChanged,
    SiteActionEntry,
)
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.site_views import show_actions
from edgewright.server.store import devices, sites


@get("/devices", summary="List devices")
async def list_devices(
    request: ServerRequest,
    *,
    in_state: Annotated[str | None, QueryParameter(name="state")] = None,
    said: str | None = None,
    contact: str | None = None,
    selector: str | None = None,
    application: str | None = None,
    version: str | None = None,
    q: Search = None,
    sort: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[DeviceEntry]:
    """Return the clients that all given filters let through.

    `state`, `said` and `contact` take words, with commas between several of them; `selector` goes by
    labels, such as `site=berlin, line in (1, 2)`; `application` and `version` by what is deployed; `q` by a
    part of a name, a device id or a label. `sort` is `name`, `state`, `heard` or `certificate`, with a `-`
    before it the other way round.
    """
    wanted = Wanted.parse(
        state=in_state,
        said=said,
        contact=contact,
        selector=selector,
        application=application,
        version=version,
        q=q,
        sort=sort,
    )
    found = wanted.find(await context_of(request).rows())
    page = page_of(found, lambda row: row.client_id, limit=limit, after=after)
    return Page(items=[device_entry(row) for row in page.items], next=page.next, total=page.total)


@get("/fleet", summary="Count devices by how they are")
async def show_fleet(request: ServerRequest, selector: str | None = None) -> FleetCounts:
    """Return how many devices are how: all of them, or those that `selector` selects."""
    context = context_of(request)
    found = Wanted.parse(selector=selector).find(await context.rows())
    return fleet_counts(count(found, context.clock()))


@get("/devices/{client_id:str}", summary="Show a device")
async def show_device(request: ServerRequest, client_id: str) -> Response[DeviceDetail]:
    """Return one client: its capabilities, and its deployments with desired beside current.

    The entity tag is of what people change: its labels, and whether it is accepted.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        client = await membership.client_called(connection, client_id)
        reported = await devices.of_client(connection, client_id)
        detail = await device_detail(connection, client, reported, context.heard)
    return tagged(request, detail, of=changeable(client))


@patch("/devices/{client_id:str}", summary="Label a device", body=ChangedDevice, dry_run=True)
async def change_device(request: ServerRequest, client_id: str) -> Response[DeviceDetail]:
    """Give a device labels, or take them away (null); labels not named stay."""
    context = context_of(request)
    asked = await read_json(request, ChangedDevice)
    async with context.database.writing() as connection:
        client = await membership.client_called(connection, client_id)
        expect(request, changeable(client))
        client = await labels.set_labels(
            connection, client_id, asked.labels, actor=operator_of(request), now=context.clock()
        )
        reported = await devices.of_client(connection, client_id)
        detail = await device_detail(connection, client, reported, context.heard)
    return tagged(request, detail, of=changeable(client))


@post("/devices/labels", status_code=200, summary="Label many devices", body=ChangedLabels, dry_run=True)
async def label_devices(request: ServerRequest) -> LabelsChanged:
    """Give labels to the devices named, or to all accepted ones that a selector selects; all or none."""
    context = context_of(request)
    asked = await read_json(request, ChangedLabels)
    if (asked.devices is None) == (asked.selector is None):
        fault = Fault(field="devices", message="expected either 'devices' or 'selector'")
        raise InvalidError("it is not clear which devices are meant", fault)
    async with context.database.writing() as connection:
        meant = (
            await labels.selected(connection, Selector.parse(asked.selector))
            if asked.selector is not None
            else list(dict.fromkeys(asked.devices or ()))
        )
        changed = await labels.label_many(
            connection, meant, asked.labels, actor=operator_of(request), now=context.clock()
        )
    return LabelsChanged(devices=len(meant), changed=changed)


@post(
    "/devices/{client_id:str}/accept", status_code=200, summary="Accept a device", creates=True, dry_run=True
)
async def accept_device(request: ServerRequest, client_id: str) -> Response[DeviceDetail]:
    """Accept a client whose certificate another authority issues, or a known one: `201` or `200`."""
    context = context_of(request)
    async with context.database.writing() as connection:
        is_new = await membership.accept(
            connection, client_id, actor=operator_of(request), now=context.clock()
        )
        client = await membership.client_called(connection, client_id)
        reported = await devices.of_client(connection, client_id)
        detail = await device_detail(connection, client, reported, context.heard)
    return Response(content=detail, status_code=201 if is_new else 200)


@delete("/devices/{client_id:str}", status_code=204, summary="Retire a device", dry_run=True)
async def retire_device(request: ServerRequest, client_id: str) -> None:
    """Take a client off the accepted list; its next request is refused. What is known of it stays."""
    context = context_of(request)
    async with context.database.writing() as connection:
        expect(request, changeable(await membership.client_called(connection, client_id)))
        await membership.retire(connection, client_id, actor=operator_of(request), now=context.clock())


@get("/devices/{client_id:str}/audit", summary="Show what was done on site")
async def list_site_actions(
    request: ServerRequest, client_id: str, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[SiteActionEntry]:
    """Return what people did at the device itself, as it reported it, the newest first."""
    async with context_of(request).database.reading() as connection:
        await membership.client_called(connection, client_id)
        actions = await sites.actions(connection, client_id, limit=KEEP_ACTIONS)
    page = page_of(actions, lambda one: f"{one.number} {one.at.timestamp()}", limit=limit, after=after)
    return Page(items=show_actions(page.items), next=page.next, total=page.total)
