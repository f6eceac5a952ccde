"""`/enrollments`: invitations, one-time tokens."""

from datetime import datetime, timedelta

from litestar import get, post

from edgewright.protocol.enrollment import EnrollmentToken
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.fleet import membership
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import CreatedEnrollment, EnrollmentEntry, NewEnrollment
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
async def list_enrollments(request: ServerRequest) -> list[EnrollmentEntry]:
    """Return all invitations, the newest first; tokens are not among what is kept."""
    context = context_of(request)
    async with context.database.reading() as connection:
        known = await enrollments.every(connection)
    now = context.clock()
    return [
        EnrollmentEntry(
            name=one.client_id,
            state=_state(one, now),
            created=one.created,
            expires=one.expires,
            used=one.used,
        )
        for one in known
    ]


def _state(enrollment: Enrollment, now: datetime) -> str:
    if enrollment.used is not None:
        return "used"
    if enrollment.withdrawn is not None:
        return "withdrawn"
    return "expired" if now >= enrollment.expires else "open"
