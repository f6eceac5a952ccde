"""`/devices/{client_id}/repository/external`: a device's repository on a Git server of somebody else's.

What was typed stays on the page where it is refused, except secrets, which are asked for again. A secret for
a webhook is on the page that made it and on no other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Response, get, post
from msgspec import UNSET, UnsetType

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.errors import ConflictError, Fault, InvalidError, NotFoundError
from edgewright.server.fleet import membership
from edgewright.server.operator_api.external import (
    keep_external,
    load_external,
    look_now,
    make_webhook_secret,
    settle_rewritten,
)
from edgewright.server.operator_api.external_documents import (
    ExternalEntry,
    GivenExternal,
    GivenExternalCredentials,
)
from edgewright.server.operator_api.repositories import find_repository
from edgewright.server.repositories.access import DEFAULT_MINUTES, NEEDED, How
from edgewright.server.store.repositories import Kind
from edgewright.server.web.devices import device_page
from edgewright.server.web.forms import Form, is_number
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.words import Tone

KEEP: Final = "keep"
_WORDS: Final = {
    How.NONE: "None",
    How.BASIC: "Name and password",
    How.BEARER: "A token",
    How.CERTIFICATE: "A certificate",
    How.SSH: "An SSH key",
}
# What is shown again; the rest is secret.
_SHOWN: Final = ("url", "how", "username", "certificate", "known_hosts", "ca", "proxy", "minutes")
_CALLED: Final = {
    "url": "Address",
    "how": "Credentials",
    "username": "Name",
    "password": "Password",
    "token": "Token",
    "certificate": "Certificate",
    "key": "Key",
    "ssh_key": "SSH key",
    "known_hosts": "Known hosts",
    "ca": "Certificate authority",
    "proxy": "Proxy",
    "minutes": "Ask for news every",
}


@get("/devices/{client_id:str}/repository/external", role=Role.ADMIN)
async def show_form(request: ServerRequest, client_id: str) -> Response[Any]:
    """Show where a device's repository is, to be changed, or the form for one that is to be elsewhere."""
    before = await _before(request, client_id)
    return await _form(request, client_id, before, _values_of(before))


@post("/devices/{client_id:str}/repository/external", status_code=200, role=Role.ADMIN)
async def keep(request: ServerRequest, client_id: str) -> Response[Any]:
    """Keep a device's repository on another Git server, once it is tried that it can be used."""
    before = await _before(request, client_id)
    form = await Form.of(request)
    given = {name: form.text(name) for name in _SHOWN}
    try:
        await keep_external(request, client_id, _asked(form, before))
    except InvalidError as error:
        faults = [_placed(fault, given["how"]) for fault in error.faults]
        return await _form(request, client_id, before, given, faults, status=422)
    except ConflictError as error:
        return await _form(
            request, client_id, before, given, [Fault(field="", message=str(error))], status=409
        )
    return see_other(
        f"/devices/{client_id}#repository", f"The repository of {client_id} is at {given['url']}."
    )


@post("/devices/{client_id:str}/repository/look", status_code=303)
async def look(request: ServerRequest, client_id: str) -> Response[Any]:
    """Ask the Git server for news now."""
    looked = await look_now(request, client_id)
    told = "It could not be looked at: see below." if looked.problem else "The Git server was asked for news."
    return see_other(f"/devices/{client_id}#repository", told, Tone.BAD if looked.problem else Tone.GOOD)


@post("/devices/{client_id:str}/repository/restore", status_code=303)
async def restore(request: ServerRequest, client_id: str) -> Response[Any]:
    """Go on after somebody rewrote the branch `desired`."""
    how = (await Form.of(request)).text("how")
    if how not in {"join", "replace"}:
        raise InvalidError("nothing was done", Fault(field="how", message="expected join or replace"))
    try:
        await settle_rewritten(request, client_id, is_replaced=how == "replace")
    except ConflictError as error:
        fault = Fault(field="repository", message=str(error))
        return await device_page(request, client_id, faults=[fault], status=409)
    told = "The branch was replaced." if how == "replace" else "Both histories are joined."
    return see_other(f"/devices/{client_id}#repository", told)


@post("/devices/{client_id:str}/repository/webhook", status_code=200, role=Role.ADMIN)
async def make_webhook(request: ServerRequest, client_id: str) -> Response[Any]:
    """Make a secret with which the Git server tells of pushes, and show it this once."""
    return await device_page(request, client_id, webhook=await make_webhook_secret(request, client_id))


HANDLERS: Final = [show_form, keep, look, restore, make_webhook]


async def _before(request: ServerRequest, client_id: str) -> ExternalEntry | None:
    """Return the repository on another Git server that a device has already."""
    context = context_of(request)
    async with context.database.reading() as connection:
        await membership.client_called(connection, client_id)
    try:
        return await load_external(context, client_id)
    except NotFoundError:
        return None


async def _form(
    request: ServerRequest,
    client_id: str,
    before: ExternalEntry | None,
    given: Mapping[str, str],
    faults: Sequence[Fault] = (),
    *,
    status: int = 200,
) -> Response[Any]:
    present = await find_repository(context_of(request), client_id)
    values = {
        "client_id": client_id,
        "before": before,
        "is_hosted": present is not None and present.kind is Kind.HOSTED,
        "given": given,
        "faults": list(faults),
        "called": _CALLED,
        "ways": [(how.value, _WORDS[how]) for how in How],
        "kept": before and before.credentials != How.NONE and _WORDS[How(before.credentials)].lower(),
    }
    return page(request, "external.html", values, status=status)


def _asked(form: Form, before: ExternalEntry | None) -> GivenExternal:
    minutes = form.text("minutes")
    if not is_number(minutes):
        raise InvalidError("", Fault(field="minutes", message="expected a number of minutes"))
    return GivenExternal(
        url=form.text("url"),
        credentials=_credentials(form, before),
        ca=form.lines("ca") or None,
        proxy=form.text("proxy") or None,
        minutes=int(minutes),
    )


def _credentials(form: Form, before: ExternalEntry | None) -> GivenExternalCredentials | UnsetType:
    """Return the credentials of the way that was chosen; what stands in the fields of others is not sent."""
    how = form.text("how")
    if how == KEEP and before is not None:
        return UNSET
    if how not in set(How):
        raise InvalidError("", Fault(field="how", message="say how this server gets in"))
    members = {name: form.lines(name) or None for name in NEEDED[How(how)]}
    return GivenExternalCredentials(how=How(how), **members)


def _placed(fault: Fault, how: str) -> Fault:
    """Return a fault under the name of the field that a person sees."""
    field = fault.field.removeprefix("credentials.")
    if field == "credentials" or (how == KEEP and field not in {"url", "ca", "proxy", "minutes"}):
        field = "how"
    return Fault(field=field, message=fault.message)


def _values_of(before: ExternalEntry | None) -> dict[str, str]:
    if before is None:
        return dict.fromkeys(_SHOWN, "") | {"how": How.BASIC, "minutes": str(DEFAULT_MINUTES)}
    return dict.fromkeys(_SHOWN, "") | {
        "url": before.url,
        "how": How.NONE if before.credentials == How.NONE else KEEP,
        "username": before.username or "",
        "ca": before.ca or "",
        "proxy": before.proxy or "",
        "minutes": str(before.minutes),
    }
