"""`/enrollments`: how devices come in. Invitations are made here, and seen to be used.

The token of an invitation is on the page that made it and on no other: only its digest is kept.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from litestar import Response, get, post

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import membership
from edgewright.server.guard import form_field
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import CreatedEnrollment
from edgewright.server.operator_api.enrollments import show_enrollment, token_of
from edgewright.server.operator_api.paging import Page, page_of
from edgewright.server.store import enrollments
from edgewright.server.web.pages import page, see_other

ROWS: Final = 50
_DAY_MINUTES: Final = 24 * 60
VALID: Final = (
    (60, "one hour"),
    (_DAY_MINUTES, "one day"),
    (7 * _DAY_MINUTES, "one week"),
    (30 * _DAY_MINUTES, "30 days"),
)


@get("/enrollments")
async def show_enrollments(request: ServerRequest, after: str | None = None) -> Response[str]:
    """Show all invitations, and the form for another."""
    return await _shown(request, after=after)


@post("/enrollments", status_code=200)
async def invite(request: ServerRequest) -> Response[Any]:
    """Make an invitation and show its token this once, as a page or as a file."""
    name = (await form_field(request, "name") or "").strip()
    minutes = await form_field(request, "valid_minutes") or str(_DAY_MINUTES)
    try:
        made = await _invite(request, name, minutes)
    except InvalidError as error:
        return await _shown(request, name=name, minutes=minutes, faults=error.faults, status=422)
    if await form_field(request, "as") == "file":
        return _file(made)
    return await _shown(request, made=made, minutes=minutes)


@post("/enrollments/{name:str}/withdraw", status_code=303)
async def withdraw(request: ServerRequest, name: str) -> Response[Any]:
    """Withdraw an invitation that nobody has used."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.withdraw_invitation(
            connection, name, actor=operator_of(request), now=context.clock()
        )
    return see_other("/enrollments", f"The invitation for {name} is withdrawn.")


HANDLERS = [show_enrollments, invite, withdraw]


async def _invite(request: ServerRequest, name: str, minutes: str) -> CreatedEnrollment:
    context = context_of(request)
    if not minutes.isdecimal() or len(minutes) > 6:
        fault = Fault(field="valid_minutes", message="expected a number of minutes")
        raise InvalidError("the invitation is not usable", fault)
    if not name:
        raise InvalidError(
            "the invitation is not usable", Fault(field="name", message="give the device a name")
        )
    async with context.database.writing() as connection:
        made = await membership.invite(
            connection,
            name,
            valid=timedelta(minutes=int(minutes)),
            actor=operator_of(request),
            now=context.clock(),
        )
    return CreatedEnrollment(name=made.client_id, token=token_of(context, made), expires=made.expires)


def _file(made: CreatedEnrollment) -> Response[bytes]:
    """Return the token as a file to carry to the device, which reads it from its standard input."""
    name = quote(f"enrolment-{made.name}.txt")
    return Response(
        content=f"{made.token}\n".encode(),
        media_type="text/plain; charset=utf-8",
        headers={
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )


async def _shown(
    request: ServerRequest,
    *,
    after: str | None = None,
    name: str = "",
    minutes: str = str(_DAY_MINUTES),
    made: CreatedEnrollment | None = None,
    faults: Sequence[Fault] = (),
    status: int = 200,
) -> Response[str]:
    context = context_of(request)
    now = context.clock()
    async with context.database.reading() as connection:
        known = await enrollments.every(connection)
    listed = page_of(known, lambda one: str(one.id), limit=ROWS, after=after)
    entries = Page(
        items=[show_enrollment(one, now) for one in listed.items], next=listed.next, total=listed.total
    )
    values = {
        "listed": entries,
        "made": made,
        "name": name,
        "minutes": minutes,
        "choices": VALID,
        "faults": faults,
    }
    return page(request, "enrollments.html", values, status=status)
