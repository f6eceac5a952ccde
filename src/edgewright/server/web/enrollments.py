"""`/enrollments`: how devices come in. Those that ask are let in or turned down here, others are invited.

The token of an invitation is on the page that made it and on no other: only its digest is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from litestar import Response, get, post

from edgewright.protocol.enrollment import Transport
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.fleet import admission, membership
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import CreatedEnrollment, NewEnrollment
from edgewright.server.operator_api.enrollment_requests import show_request
from edgewright.server.operator_api.enrollments import invite_device, show_enrollment
from edgewright.server.operator_api.paging import Page, page_of
from edgewright.server.store import enrollments
from edgewright.server.web.forms import Form
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.words import Tone

ROWS: Final = 50
DECIDED: Final = 10
_DAY_MINUTES: Final = 24 * 60
VALID: Final = (
    (60, "one hour"),
    (_DAY_MINUTES, "one day"),
    (7 * _DAY_MINUTES, "one week"),
    (30 * _DAY_MINUTES, "30 days"),
)
TRANSPORTS: Final = {"api": "The device API", "git": "A Git repository hosted here"}


@get("/enrollments")
async def show_enrollments(request: ServerRequest, after: str | None = None) -> Response[str]:
    """Show all invitations, and the form for another."""
    return await _shown(request, after=after)


@post("/enrollments", status_code=200)
async def invite(request: ServerRequest) -> Response[Any]:
    """Make an invitation and show its token this once, as a page or as a file."""
    form = await Form.of(request)
    typed = _Typed(
        name=form.text("name"),
        minutes=form.text("valid_minutes") or str(_DAY_MINUTES),
        transport=form.text("transport") or "api",
    )
    try:
        made = await _invite(request, typed)
    except InvalidError as error:
        return await _shown(request, typed=typed, faults=error.faults, status=422)
    except ConflictError as error:
        fault = Fault(field="", message=str(error))
        return await _shown(request, typed=typed, faults=[fault], status=409)
    if form.text("as") == "file":
        return _file(made)
    return await _shown(request, made=made, typed=replace(typed, name=""))


@post("/enrollments/{name:str}/withdraw", status_code=303)
async def withdraw(request: ServerRequest, name: str) -> Response[Any]:
    """Withdraw an invitation that nobody has used."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.withdraw_invitation(
            connection, name, actor=operator_of(request), now=context.clock()
        )
    return see_other("/enrollments", f"The invitation for {name} is withdrawn.")


@post("/enrollments/requests/{request_id:str}/approve", status_code=303)
async def approve(request: ServerRequest, request_id: str) -> Response[Any]:
    """Let a device in that asks."""
    context = context_of(request)
    form = await Form.of(request)
    name = form.text("name")
    try:
        if not name:
            raise InvalidError(
                "a device cannot be called so", Fault(field="", message="give the device a name")
            )
        async with context.database.writing() as connection:
            found = await admission.approve(
                connection,
                request_id,
                name=name,
                is_replacing=bool(form.text("replace")),
                settings=context.settings,
                authority=context.identity.authority,
                actor=operator_of(request),
                now=context.clock(),
            )
    except (InvalidError, ConflictError) as error:
        return see_other("/enrollments", _told(f"{name} was not let in", error), Tone.BAD)
    return see_other(
        "/enrollments", f"{found.client_id} is let in: it gets its certificate when it asks again."
    )


@post("/enrollments/requests/{request_id:str}/reject", status_code=303)
async def reject(request: ServerRequest, request_id: str) -> Response[Any]:
    """Turn a device down that asks."""
    context = context_of(request)
    form = await Form.of(request)
    try:
        async with context.database.writing() as connection:
            found = await admission.reject(
                connection,
                request_id,
                reason=form.text("reason"),
                actor=operator_of(request),
                now=context.clock(),
            )
    except (InvalidError, ConflictError) as error:
        return see_other("/enrollments", _told("The device was not turned down", error), Tone.BAD)
    return see_other("/enrollments", f"{found.name} is turned down, and told so when it asks again.")


HANDLERS = [show_enrollments, invite, withdraw, approve, reject]


def _told(what: str, error: InvalidError | ConflictError) -> str:
    """Return what was not done and why, as a message on the page that is gone back to."""
    why = (
        "; ".join(fault.message for fault in error.faults) if isinstance(error, InvalidError) else str(error)
    )
    return f"{what}: {why}."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Typed:
    """What stands in the form of an invitation."""

    name: str = ""
    minutes: str = str(_DAY_MINUTES)
    transport: str = "api"


_EMPTY: Final = _Typed()


async def _invite(request: ServerRequest, typed: _Typed) -> CreatedEnrollment:
    faults = []
    if not typed.minutes.isdecimal() or len(typed.minutes) > 6:
        faults.append(Fault(field="valid_minutes", message="expected a number of minutes"))
    if not typed.name:
        faults.append(Fault(field="name", message="give the device a name"))
    if typed.transport not in TRANSPORTS:
        faults.append(Fault(field="transport", message=f"expected {' or '.join(TRANSPORTS)}"))
    if faults:
        raise InvalidError("the invitation is not usable", *faults)
    way: Transport = "git" if typed.transport == "git" else "api"
    return await invite_device(
        request, NewEnrollment(name=typed.name, valid_minutes=int(typed.minutes), transport=way)
    )


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
    typed: _Typed = _EMPTY,
    made: CreatedEnrollment | None = None,
    faults: Sequence[Fault] = (),
    status: int = 200,
) -> Response[str]:
    context = context_of(request)
    now = context.clock()
    async with context.database.reading() as connection:
        known = await enrollments.every(connection)
        asked = await admission.listed(connection, now=now)
        # Those that wait come first, then what was decided, the newest before the older.
        decided = sorted(
            (one for one in asked if one.decided), key=lambda one: one.decided or now, reverse=True
        )
        waiting = [one for one in asked if one.is_waiting]
        queue = [await show_request(connection, one, now) for one in (waiting + decided[:DECIDED])]
    listed = page_of(known, lambda one: str(one.id), limit=ROWS, after=after)
    entries = Page(
        items=[show_enrollment(one, now) for one in listed.items], next=listed.next, total=listed.total
    )
    values = {
        "listed": entries,
        "made": made,
        "typed": typed,
        "choices": VALID,
        "transports": list(TRANSPORTS.items()) if context.git_url is not None else [],
        "faults": faults,
        "queue": queue,
        "waiting": len(waiting),
        "asking": f"edgewright agent enroll --server {context.web_url} --name NAME"
        f" --pin {context.identity.web_pin}",
    }
    return page(request, "enrollments.html", values, status=status)
