"""`/enrollments`: invitations, one-time tokens."""

from datetime import datetime, timedelta
from typing import Annotated

from litestar import get, post
from litestar.params import QueryParameter

from edgewright.protocol.enrollment import EnrollmentToken
from edgewright.server.context import ServerRequest, context_of
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
from edgewright.server.store import enrollments
from edgewright.server.store.enrollments import Enrollment


@post("/enrollments", status_code=201, summary="Invite a device", body=NewEnrollment)
async def create_enrollment(request: ServerRequest) -> CreatedEnrollment:
    """Make a one-time token with which a device enrolls under the given name."""
    context = context_of(request)
    asked = await read_json(request, NewEnrollment)
    async with context.database.writing() as connection:
        invitation = await membership.invite(
            connection,
            asked.name,
            valid=timedelta(minutes=asked.valid_minutes),
            actor=operator_of(request),
            now=context.clock(),
        )
    token = EnrollmentToken(url=context.web_url, pin=context.identity.web_pin, secret=invitation.secret)
    return CreatedEnrollment(name=invitation.client_id, token=token.render(), expires=invitation.expires)


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
    return Page(items=[_entry(one, now) for one in page.items], next=page.next, total=page.total)


def _entry(one: Enrollment, now: datetime) -> EnrollmentEntry:
    return EnrollmentEntry(
        name=one.client_id, state=_state(one, now), created=one.created, expires=one.expires, used=one.used
    )


def _state(enrollment: Enrollment, now: datetime) -> EnrollmentState:
    if enrollment.used is not None:
        return EnrollmentState.USED
    if enrollment.withdrawn is not None:
        return EnrollmentState.WITHDRAWN
    return EnrollmentState.EXPIRED if now >= enrollment.expires else EnrollmentState.OPEN
