"""What clients report: capabilities and deployment statuses, each only within the caller's scope (spec:
API-7).
"""

import logging
import re
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.problem import FieldError, ProblemType
from edgewright.protocol.status import DeploymentStatus
from edgewright.server.domain.devices import children_of, gateways_of
from edgewright.server.problems import ProblemError
from edgewright.server.store import audit, deployments, desired, devices
from edgewright.server.store.database import announce

log = logging.getLogger(__name__)

MAX_CAPABILITIES_BYTES = 1024 * 1024
MAX_STATUS_BYTES = 256 * 1024
_DEVICE_ID = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
# Reports kept per deployment: enough to see years of changes, and a bound on a device that never stops
# reporting.
KEEP_STATUSES = 1000
# A client cannot fill the server's disk with devices it makes up (spec: API-9).
MOST_DEVICES = 1000


async def put_capabilities(
    connection: AsyncConnection, client_id: str, device_id: str, document: bytes, *, now: datetime
) -> bool:
    """Keep a device's capability file as sent; return whether it is its first (spec: CAP-4, API-8).

    Raises a `404` for a child none of whose gateways was reported (spec: GW-3).
    """
    gateways = gateways_of(device_id)
    known = await devices.ids_of_client(connection, client_id)
    if gateways and set(known).isdisjoint(gateways):
        raise ProblemError(
            ProblemType.GATEWAY_NOT_FOUND, f"none of {', '.join(gateways)} was reported before '{device_id}'"
        )
    if device_id not in known and len(known) >= MOST_DEVICES:
        raise ProblemError(
            ProblemType.NOT_AUTHORIZED, f"a client may report at most {MOST_DEVICES} devices here"
        )
    is_first = await devices.put(connection, client_id, device_id, document, now=now)
    announce(connection, "devices", f"device:{client_id}")
    if is_first:
        await audit.note(
            connection, now=now, actor=f"client {client_id}", action="report device", subject=device_id
        )
    return is_first


async def remove_device(
    connection: AsyncConnection, client_id: str, device_id: str, *, now: datetime
) -> None:
    """Forget a device and its children; deployments stay until a person removes them (spec: OP-22)."""
    known = await devices.ids_of_client(connection, client_id)
    if device_id not in known:
        raise ProblemError(ProblemType.DEVICE_NOT_FOUND, f"'{device_id}' was not reported by this client")
    gone = [device_id, *children_of(device_id, known)]
    await devices.remove(connection, client_id, gone)
    announce(connection, "devices", f"device:{client_id}")
    await audit.note(
        connection, now=now, actor=f"client {client_id}", action="remove device", subject=device_id, gone=gone
    )


async def record_status(
    connection: AsyncConnection,
    client_id: str,
    deployment_id: str,
    status: DeploymentStatus,
    body: bytes,
    *,
    now: datetime,
) -> tuple[bool, int]:
    """Append a report; return whether it is the deployment's first (spec: ST-4), and the version served now.

    Deleted deployments still take reports, as their removal is reported. Another client's deployment
    and one that never was get the same `422`.
    """
    deployment = await deployments.get(connection, deployment_id.lower())
    if deployment is None or deployment.client_id != client_id:
        raise _wrong_deployment(f"no deployment {deployment_id} is assigned to this client")
    if status.deployment_id.lower() != deployment.id:
        raise _wrong_deployment(f"differs from {deployment_id} in the path")
    is_first = await deployments.last_status(connection, deployment.id) is None
    await deployments.add_status(
        connection,
        deployment_id=deployment.id,
        received=now,
        state=status.status.state,
        adopted_version=status.adopted_manifest_version,
        body=body,
        keep=KEEP_STATUSES,
    )
    announce(connection, "devices", f"device:{client_id}", "deployments")
    return is_first, await desired.version(connection, client_id)


def _wrong_deployment(message: str) -> ProblemError:
    return ProblemError(
        ProblemType.SEMANTIC_ERROR, message, errors=(FieldError(field="deploymentId", message=message),)
    )


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
        raise wrong_device_id(f"'{device_id[:200]}' is not a device id")


def wrong_device_id(message: str) -> ProblemError:
    """Return the refusal of a device id, a `422`."""
    return ProblemError(
        ProblemType.SEMANTIC_ERROR, message, errors=(FieldError(field="properties.id", message=message),)
    )
