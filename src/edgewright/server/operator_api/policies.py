"""`/policy` and `/devices/{client_id}/policy`: what is suggested to sites, whose own files outrank it."""

from litestar import Response, delete, get, put
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.media_types import YAML
from edgewright.protocol.policy import MAX_BYTES
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import InvalidError, NotFoundError
from edgewright.server.fleet import membership
from edgewright.server.fleet.suggestions import suggest, withdraw
from edgewright.server.listeners.bodies import read_body
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import SuggestedPolicyEntry
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, page_of
from edgewright.server.operator_api.queries import After, Limit
from edgewright.server.operator_api.site_views import show_suggestion
from edgewright.server.store import suggestions
from edgewright.server.store.database import EVERYBODY


@get("/policies", summary="List suggested policies")
async def list_policies(
    request: ServerRequest, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[SuggestedPolicyEntry]:
    """Return all suggested policies, the one for all devices first."""
    async with context_of(request).database.reading() as connection:
        known = await suggestions.every(connection)
    page = page_of(known, lambda one: one.client_id, limit=limit, after=after)
    return Page(items=[show_suggestion(one) for one in page.items], next=page.next, total=page.total)


@get("/policy", summary="Show the policy suggested to all devices")
async def show_policy(request: ServerRequest) -> Response[SuggestedPolicyEntry]:
    """Return what is suggested to every device that has no suggestion of its own."""
    async with context_of(request).database.reading() as connection:
        found = await suggestions.get(connection, EVERYBODY)
    if found is None:
        raise NotFoundError("no policy is suggested to all devices")
    return tagged(request, show_suggestion(found))


@put(
    "/policy",
    status_code=200,
    summary="Suggest a policy to all devices",
    body=YAML,
    creates=True,
    dry_run=True,
)
async def suggest_policy(request: ServerRequest) -> Response[SuggestedPolicyEntry]:
    """Suggest the policy.yaml in the body to every device that has no suggestion of its own."""
    return await _suggest(request, None)


@delete("/policy", status_code=204, summary="Withdraw the policy suggested to all devices", dry_run=True)
async def withdraw_policy(request: ServerRequest) -> None:
    """Suggest nothing any more to devices that have no suggestion of their own."""
    await _withdraw(request, None)


@get("/devices/{client_id:str}/policy", summary="Show the policy suggested to a device")
async def show_device_policy(request: ServerRequest, client_id: str) -> Response[SuggestedPolicyEntry]:
    """Return what a device is served: its own suggestion, else that of all devices."""
    async with context_of(request).database.reading() as connection:
        await membership.client_called(connection, client_id)
        found = await suggestions.for_client(connection, client_id)
    if found is None:
        raise NotFoundError(f"no policy is suggested to {client_id}")
    return tagged(request, show_suggestion(found))


@put(
    "/devices/{client_id:str}/policy",
    status_code=200,
    summary="Suggest a policy to a device",
    body=YAML,
    creates=True,
    dry_run=True,
)
async def suggest_device_policy(request: ServerRequest, client_id: str) -> Response[SuggestedPolicyEntry]:
    """Suggest the policy.yaml in the body to one device, in place of the one for all."""
    return await _suggest(request, client_id)


@delete(
    "/devices/{client_id:str}/policy", status_code=204, summary="Withdraw a device's policy", dry_run=True
)
async def withdraw_device_policy(request: ServerRequest, client_id: str) -> None:
    """Withdraw a device's own suggestion; the one for all devices, if there is one, takes its place."""
    await _withdraw(request, client_id)


async def _suggest(request: ServerRequest, client_id: str | None) -> Response[SuggestedPolicyEntry]:
    context = context_of(request)
    body = await read_body(request, limit=MAX_BYTES)
    if not body.strip():
        raise InvalidError("the body is empty; DELETE withdraws a policy")
    async with context.database.writing() as connection:
        await _expect(request, connection, client_id)
        suggestion, is_first = await suggest(
            connection, client_id, body, actor=operator_of(request), now=context.clock()
        )
    return tagged(request, show_suggestion(suggestion), status=201 if is_first else 200)


async def _withdraw(request: ServerRequest, client_id: str | None) -> None:
    context = context_of(request)
    async with context.database.writing() as connection:
        await _expect(request, connection, client_id)
        await withdraw(connection, client_id, actor=operator_of(request), now=context.clock())


async def _expect(request: ServerRequest, connection: AsyncConnection, client_id: str | None) -> None:
    """Refuse to replace another suggestion than the caller saw (see `etags`).

    A device may be served the one for all devices; one of its own in its place is no change of that.
    """
    if client_id is None:
        found = await suggestions.get(connection, EVERYBODY)
    else:
        found = await suggestions.for_client(connection, client_id)
    expect(request, None if found is None else show_suggestion(found))
