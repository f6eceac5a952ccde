"""`/devices`: clients, what they reported, and whether they are accepted."""

from litestar import Response, delete, get, post

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.fleet import membership
from edgewright.server.fleet.sites import KEEP_ACTIONS
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.device_views import device_detail, device_entries
from edgewright.server.operator_api.documents import DeviceDetail, DeviceEntry, SiteActionEntry
from edgewright.server.operator_api.site_views import show_actions
from edgewright.server.store import clients, devices, sites


@get("/devices", summary="List devices")
async def list_devices(request: ServerRequest) -> list[DeviceEntry]:
    """Return all clients by id, with how many deployments are in which state."""
    context = context_of(request)
    async with context.database.reading() as connection:
        known = await clients.every(connection)
        return await device_entries(connection, known, await devices.every(connection), context.heard)


@get("/devices/{client_id:str}", summary="Show a device")
async def show_device(request: ServerRequest, client_id: str) -> DeviceDetail:
    """Return one client: its capabilities, and its deployments with desired beside current."""
    context = context_of(request)
    async with context.database.reading() as connection:
        client = await membership.client_called(connection, client_id)
        reported = await devices.of_client(connection, client_id)
        return await device_detail(connection, client, reported, context.heard)


@post("/devices/{client_id:str}/accept", status_code=200, summary="Accept a device", creates=True)
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


@delete("/devices/{client_id:str}", status_code=204, summary="Retire a device")
async def retire_device(request: ServerRequest, client_id: str) -> None:
    """Take a client off the accepted list; its next request is refused. What is known of it stays."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.retire(connection, client_id, actor=operator_of(request), now=context.clock())


@get("/devices/{client_id:str}/audit", summary="Show what was done on site")
async def list_site_actions(request: ServerRequest, client_id: str) -> list[SiteActionEntry]:
    """Return what people did at the device itself, as it reported it, the newest first."""
    async with context_of(request).database.reading() as connection:
        await membership.client_called(connection, client_id)
        return show_actions(await sites.actions(connection, client_id, limit=KEEP_ACTIONS))
