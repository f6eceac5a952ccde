"""`/enrollments`: invitations, one-time tokens."""

from datetime import datetime, timedelta
from typing import Annotated

from litestar import delete, get, post
from litestar.params import QueryParameter

from edgewright.protocol.enrollment import EnrollmentToken, Transport
from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.errors import ConflictError
from edgewright.server.fleet import membership
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import (
    CreatedEnrollment,
    EnrollmentEntry,
    EnrollmentState,
    NewEnrollment,
)
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, contains, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.repositories.places import NO_LISTENER
from edgewright.server.store import enrollments
from edgewright.server.store.enrollments import Enrollment


@post("/enrollments", status_code=201, summary="Invite a device", body=NewEnrollment)
async def create_enrollment(request: ServerRequest) -> CreatedEnrollment:
    """Make a one-time token with which a device enrolls under the given name."""
    return await invite_device(request, await read_json(request, NewEnrollment))


@delete("/enrollments/{name:str}", status_code=204, summary="Withdraw an invitation", dry_run=True)
async def withdraw_enrollment(request: ServerRequest, name: str) -> None:
    """Make the open invitation of that name worthless. A device that used it already stays."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.withdraw_invitation(
            connection, name, actor=operator_of(request), now=context.clock()
        )


@get("/enrollments", summary="List invitations")
async def list_enrollments(
    request: ServerRequest,
    *,
    in_state: Annotated[EnrollmentState | None, QueryParameter(name="state")] = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[EnrollmentEntry]:
    """Return invitations, the newest first; tokens are not among what is kept.

    `q` is looked for in the names.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        known = await enrollments.every(connection)
    now = context.clock()
    found = [
        one
        for one in known
        if (in_state is None or _state(one, now) == in_state) and (q is None or contains(q, one.client_id))
    ]
    page = page_of(found, lambda one: str(one.id), limit=limit, after=after)
    return Page(items=[show_enrollment(one, now) for one in page.items], next=page.next, total=page.total)


def token_of(context: ServerContext, invitation: membership.Invitation, transport: Transport = "api") -> str:
    """Return the token that whoever is invited brings along, which says where to and whom to believe."""
    return EnrollmentToken(
        url=context.web_url,
        pin=context.identity.web_pin,
        secret=invitation.secret,
        transport=transport,
    ).render()


def show_enrollment(one: Enrollment, now: datetime) -> EnrollmentEntry:
    """Show an invitation, and what became of it."""
    return EnrollmentEntry(
        name=one.client_id, state=_state(one, now), created=one.created, expires=one.expires, used=one.used
    )


async def invite_device(request: ServerRequest, asked: NewEnrollment) -> CreatedEnrollment:
    """Make an invitation; raises `InvalidError`, and `ConflictError` where nothing listens for Git."""
    context = context_of(request)
    if asked.transport == "git" and context.git_url is None:
        raise ConflictError(NO_LISTENER)
    async with context.database.writing() as connection:
        invitation = await membership.invite(
            connection,
            asked.name,
            valid=timedelta(minutes=asked.valid_minutes),
            actor=operator_of(request),
            now=context.clock(),
        )
    return CreatedEnrollment(
        name=invitation.client_id,
        token=token_of(context, invitation, asked.transport),
        expires=invitation.expires,
    )


def _state(enrollment: Enrollment, now: datetime) -> EnrollmentState:
    if enrollment.used is not None:
        return EnrollmentState.USED
    if enrollment.withdrawn is not None:
        return EnrollmentState.WITHDRAWN
    return EnrollmentState.EXPIRED if now >= enrollment.expires else EnrollmentState.OPEN
