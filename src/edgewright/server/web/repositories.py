"""The Git repository of a device, as a part of the device's page.

What is wrong with it stands first. A secret is on the page that made it and on no other: only its digest is
kept.
"""

from typing import Any, Final

from litestar import Response, post

from edgewright.server.context import ServerRequest
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.guard import form_field
from edgewright.server.operator_api.repositories import (
    drop_repository,
    host_repository,
    make_repository_secret,
)
from edgewright.server.web.devices import device_page
from edgewright.server.web.pages import see_other


@post("/devices/{client_id:str}/repository", status_code=303)
async def host(request: ServerRequest, client_id: str) -> Response[Any]:
    """Host a repository for a device."""
    try:
        await host_repository(request, client_id)
    except ConflictError as error:
        fault = Fault(field="repository", message=str(error))
        return await device_page(request, client_id, faults=[fault], status=409)
    return see_other(f"/devices/{client_id}#repository", f"{client_id} has a Git repository.")


@post("/devices/{client_id:str}/repository/remove", status_code=303)
async def remove(request: ServerRequest, client_id: str) -> Response[Any]:
    """Keep no repository for a device any more."""
    await drop_repository(request, client_id)
    return see_other(f"/devices/{client_id}", f"{client_id} has no Git repository any more.")


@post("/devices/{client_id:str}/repository/credentials", status_code=200)
async def make_secret(request: ServerRequest, client_id: str) -> Response[Any]:
    """Make a password or a token, and show it this once."""
    way = await form_field(request, "way")
    if way not in {"basic", "token"}:
        raise InvalidError("there is no such secret", Fault(field="way", message="expected basic or token"))
    made = await make_repository_secret(request, client_id, "basic" if way == "basic" else "token")
    return await device_page(request, client_id, secret=made)


HANDLERS: Final = [host, remove, make_secret]
