"""`PUT`, `DELETE` and `POST`: capabilities and deployment statuses (spec: sections 7, 8 and 12)."""

from urllib.parse import unquote

from litestar import Response, delete, post, put

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.media_types import CAPABILITIES_PATH, DEPLOYMENTS_PATH
from edgewright.protocol.status import DeploymentStatus
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.device_api.access import still_admitted
from edgewright.server.fleet import reports
from edgewright.server.listeners.bodies import read_body


@put(CAPABILITIES_PATH + "/{device_path:path}", status_code=200)
async def put_capabilities(request: ServerRequest) -> Response[bytes]:
    """Take a device's first or changed capability file: `201` or `200` (spec: CAP-4, CAP-6, CAP-10)."""
    context = context_of(request)
    body = await read_body(request, limit=reports.MAX_CAPABILITIES_BYTES)
    capabilities = DeviceCapabilities.parse(body, source="capabilities")
    device_id = _device_id(request)
    if capabilities.properties.id != device_id:
        raise reports.wrong_device_id(
            f"'{capabilities.properties.id}' differs from '{device_id}' in the path"
        )
    async with context.database.writing() as connection:
        client_id = await still_admitted(request, connection)
        is_first = await reports.put_capabilities(connection, client_id, device_id, body, now=context.clock())
    return Response(content=b"", status_code=201 if is_first else 200)


@delete(CAPABILITIES_PATH + "/{device_path:path}", status_code=204)
async def delete_capabilities(request: ServerRequest) -> None:
    """Forget a device that is no longer available (spec: CAP-5)."""
    context = context_of(request)
    async with context.database.writing() as connection:
        client_id = await still_admitted(request, connection)
        await reports.remove_device(connection, client_id, _device_id(request), now=context.clock())


@post(DEPLOYMENTS_PATH + "/{deployment_id:str}/status", status_code=200)
async def post_status(request: ServerRequest, deployment_id: str) -> Response[bytes]:
    """Take a report about one deployment: `201` for its first, `200` after (spec: ST-4)."""
    context = context_of(request)
    body = await read_body(request, limit=reports.MAX_STATUS_BYTES)
    status = DeploymentStatus.parse(body, source="status")
    async with context.database.writing() as connection:
        client_id = await still_admitted(request, connection)
        is_first, version = await reports.record_status(
            connection, client_id, deployment_id, status, body, now=context.clock()
        )
    reports.warn_of_lost_versions(client_id, status.adopted_manifest_version, version)
    return Response(content=b"", status_code=201 if is_first else 200)


def _device_id(request: ServerRequest) -> str:
    """Return the device id in the path, slashes plain or escaped, exactly as it was sent (spec: OP-23)."""
    raw: bytes = request.scope["raw_path"]
    device_id = unquote(raw.decode("ascii").removeprefix(f"{CAPABILITIES_PATH}/"))
    reports.check_device_id(device_id)
    return device_id
