"""`/deployments`: what runs where."""

import uuid
from collections.abc import Mapping

from litestar import delete, get, post, put

from edgewright.protocol.values import Value
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet import deploying
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import (
    ChangedDeployment,
    DeploymentEntry,
    NewDeployment,
    ParameterValue,
    StatusEntry,
)
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.views import deployment_entries, deployment_entry, show_status
from edgewright.server.store import deployments


@get("/deployments", summary="List deployments")
async def list_deployments(
    request: ServerRequest, device: str | None = None, removed: bool = False
) -> list[DeploymentEntry]:
    """Return all deployments, or those of one device (client id); removed ones only if asked for."""
    async with context_of(request).database.reading() as connection:
        records = await deployments.every(connection, client_id=device)
        entries = await deployment_entries(connection, records)
    return [entry for entry in entries if removed or entry.state != Truth.REMOVED]


@post("/deployments", status_code=201, summary="Deploy an application", body=NewDeployment)
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
async def show_deployment(request: ServerRequest, deployment_id: str) -> DeploymentEntry:
    """Return one deployment with desired beside current, removed ones as well."""
    async with context_of(request).database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        return await deployment_entry(connection, record)


@put("/deployments/{deployment_id:str}", summary="Change a deployment", body=ChangedDeployment)
async def change_deployment(request: ServerRequest, deployment_id: str) -> DeploymentEntry:
    """Give a deployment another version of its application or other parameters; its id stays."""
    context = context_of(request)
    asked = await read_json(request, ChangedDeployment)
    wish = deploying.Change(version=asked.version, parameters=_values(asked.parameters))
    async with context.database.writing() as connection:
        record = await deploying.change(
            connection, deployment_id, wish, actor=operator_of(request), now=context.clock()
        )
        return await deployment_entry(connection, record)


@delete("/deployments/{deployment_id:str}", status_code=200, summary="Delete a deployment")
async def delete_deployment(request: ServerRequest, deployment_id: str) -> DeploymentEntry:
    """Have a deployment removed from its device; it is shown until the device has said that it is gone."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await deploying.delete(
            connection, deployment_id, actor=operator_of(request), now=context.clock()
        )
        return await deployment_entry(connection, record)


@get("/deployments/{deployment_id:str}/history", summary="Show what was reported")
async def show_history(request: ServerRequest, deployment_id: str) -> list[StatusEntry]:
    """Return every report about a deployment, in the order received."""
    async with context_of(request).database.reading() as connection:
        record = await deploying.deployment_called(connection, deployment_id)
        return [show_status(status) for status in await deployments.history(connection, record.id)]


def _values(given: Mapping[str, ParameterValue]) -> dict[str, Value | None]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
