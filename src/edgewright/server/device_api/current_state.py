"""`PUT`, `DELETE` and `POST`: capabilities and deployment statuses (spec: sections 7, 8 and 12)."""

import logging
import re
from urllib.parse import unquote

from litestar import Response, delete, post, put

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.media_types import CAPABILITIES_PATH, DEPLOYMENTS_PATH
from edgewright.protocol.problem import FieldError, ProblemType
from edgewright.protocol.status import DeploymentStatus
from edgewright.server.bodies import read_body
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.device_api.access import still_admitted
from edgewright.server.fleet import reports
from edgewright.server.problems import ProblemError

log = logging.getLogger(__name__)

MAX_CAPABILITIES_BYTES = 1024 * 1024
MAX_STATUS_BYTES = 256 * 1024
_DEVICE_ID = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")


@put(CAPABILITIES_PATH + "/{device_path:path}", status_code=200)
async def put_capabilities(request: ServerRequest) -> Response[bytes]:
    """Take a device's first or changed capability file: `201` or `200` (spec: CAP-4, CAP-6, CAP-10)."""
    context = context_of(request)
    body = await read_body(request, limit=MAX_CAPABILITIES_BYTES)
    capabilities = DeviceCapabilities.parse(body, source="capabilities")
    device_id = _device_id(request)
    if capabilities.properties.id != device_id:
        raise _wrong_id(f"'{capabilities.properties.id}' differs from '{device_id}' in the path")
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
    body = await read_body(request, limit=MAX_STATUS_BYTES)
    status = DeploymentStatus.parse(body, source="status")
    async with context.database.writing() as connection:
        client_id = await still_admitted(request, connection)
        is_first, version = await reports.record_status(
            connection, client_id, deployment_id, status, body, now=context.clock()
        )
    warn_of_lost_versions(client_id, status.adopted_manifest_version, version)
    return Response(content=b"", status_code=201 if is_first else 200)


def warn_of_lost_versions(client_id: str, adopted: int, version: int) -> None:
    """Say in the log that a client has a manifest that was never made, as far as is known here."""
    if adopted > version:
        log.warning(
            "client %s reports manifest version %d, the newest made here is %d: if a backup was put back,"
            " stop the server and run 'edgewright server renumber'",
            client_id,
            adopted,
            version,
        )


def check_device_id(device_id: str) -> None:
    """Raise a `422` for what is no device id."""
    if not _DEVICE_ID.fullmatch(device_id):
        raise _wrong_id(f"'{device_id[:200]}' is not a device id")


def _device_id(request: ServerRequest) -> str:
    """Return the device id in the path, slashes plain or escaped, exactly as it was sent (spec: OP-23)."""
    raw: bytes = request.scope["raw_path"]
    device_id = unquote(raw.decode("ascii").removeprefix(f"{CAPABILITIES_PATH}/"))
    if not _DEVICE_ID.fullmatch(device_id):
        raise _wrong_id(f"'{device_id[:200]}' in the path is not a device id")
    return device_id


def _wrong_id(message: str) -> ProblemError:
    return ProblemError(
        ProblemType.SEMANTIC_ERROR, message, errors=(FieldError(field="properties.id", message=message),)
    )
