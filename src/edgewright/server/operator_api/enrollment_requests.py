"""`/enrollments/requests`: devices that ask to be let in without a token."""

from datetime import datetime
from typing import Annotated

from litestar import Response, get, post
from litestar.params import QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.enrollment import in_groups
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.admission import RequestState
from edgewright.server.fleet import admission
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import RequestApproval, RequestEntry, RequestRejection
from edgewright.server.operator_api.etags import tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, contains, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.store.enrollment_requests import EnrollmentAsked


@get("/enrollments/requests", summary="List devices that ask to be let in")
async def list_requests(
    request: ServerRequest,
    *,
    in_state: Annotated[
        RequestState | None, QueryParameter(name="state", description="only in this state")
    ] = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[RequestEntry]:
    """Return requests, the oldest first, for seven days after a device asked last or a person decided.

    `q` is looked for in fingerprints, names, host names and addresses.
    """
    context = context_of(request)
    now = context.clock()
    async with context.database.reading() as connection:
        known = await admission.listed(connection, state=in_state, now=now)
        found = [one for one in known if q is None or _has(one, q)]
        page = page_of(found, lambda one: one.fingerprint, limit=limit, after=after)
        items = [await show_request(connection, one, now) for one in page.items]
    return Page(items=items, next=page.next, total=page.total)


@get("/enrollments/requests/{request_id:str}", summary="Show a device that asks to be let in")
async def get_request(request: ServerRequest, request_id: str) -> Response[RequestEntry]:
    """Return one request, and what became of it."""
    context = context_of(request)
    now = context.clock()
    async with context.database.reading() as connection:
        found = await admission.called(connection, request_id, now=now)
        return tagged(request, await show_request(connection, found, now))


@post(
    "/enrollments/requests/{request_id:str}/approve",
    status_code=200,
    summary="Let a device in that asks",
    body=RequestApproval,
    answers={409: "it was decided already, or the name is taken and `replace` is not set"},
    dry_run=True,
)
async def approve_request(request: ServerRequest, request_id: str) -> RequestEntry:
    """Make the key of this fingerprint a device's, after its fingerprint was compared on the device.

    A name that is taken, or was that of a retired device, needs `replace`: its key is locked out then.
    """
    context = context_of(request)
    asked = await read_json(request, RequestApproval)
    now = context.clock()
    async with context.database.writing() as connection:
        found = await admission.approve(
            connection,
            request_id,
            name=asked.name,
            is_replacing=asked.replace,
            settings=context.settings,
            authority=context.identity.authority,
            actor=operator_of(request),
            now=now,
        )
        return await show_request(connection, found, now)


@post(
    "/enrollments/requests/{request_id:str}/reject",
    status_code=200,
    summary="Keep a device out that asks",
    body=RequestRejection,
    answers={409: "it was decided already"},
    dry_run=True,
)
async def reject_request(request: ServerRequest, request_id: str) -> RequestEntry:
    """Turn a request down; the device is told the reason and ends. It may ask anew with another key."""
    context = context_of(request)
    asked = await read_json(request, RequestRejection)
    now = context.clock()
    async with context.database.writing() as connection:
        found = await admission.reject(
            connection, request_id, reason=asked.reason, actor=operator_of(request), now=now
        )
        return await show_request(connection, found, now)


HANDLERS = [list_requests, get_request, approve_request, reject_request]


async def show_request(connection: AsyncConnection, one: EnrollmentAsked, now: datetime) -> RequestEntry:
    """Show a request, and whether the name it wishes is to be had."""
    taken = None
    if one.is_waiting:
        taken = await admission.why_taken(connection, one.name, key_digest=one.key_digest, now=now)
    return RequestEntry(
        id=one.fingerprint,
        fingerprint=in_groups(one.fingerprint),
        key_digest=one.key_digest,
        name=one.name,
        hostname=one.hostname,
        agent_version=one.version,
        address=one.address,
        state=one.state,
        asked=one.created,
        seen=one.seen,
        taken=taken,
        decided=one.decided,
        by=one.actor,
        client_id=one.client_id,
        reason=one.reason,
    )


def _has(one: EnrollmentAsked, text: str) -> bool:
    return contains(text, one.name, one.hostname, one.address, one.fingerprint, in_groups(one.fingerprint))
