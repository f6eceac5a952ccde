"""`/repositories`: how the Git repositories of devices stand; and each as a part of its device's page.

What is wrong with one stands first. A secret is on the page that made it and on no other: only its digest is
kept.
"""

from typing import Any, Final

from litestar import Response, get, post

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.listeners.guard import form_field
from edgewright.server.operator_api.repositories import (
    drop_repository,
    host_repository,
    make_repository_secret,
    repository_page,
)
from edgewright.server.operator_api.repository_documents import RepositoryEntry
from edgewright.server.store import repositories as store
from edgewright.server.web.devices import device_page
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.words import Tone

ROWS: Final = 50


@get("/repositories")
async def list_repositories(
    request: ServerRequest, show: str = "", after: str | None = None
) -> Response[str]:
    """Show all repositories, or those with a problem."""
    context = context_of(request)
    with_problem = show == "problem"
    listed = await repository_page(context, with_problem=with_problem, limit=ROWS, after=after)
    async with context.database.reading() as connection:
        total = await store.count(connection)
        wrong = await store.count(connection, with_problem=True)
    values = {
        "listed": listed,
        "standing": standing,
        "hosts_repositories": context.git_url is not None,
        "chips": [
            ("All", "/repositories", total, not with_problem),
            ("With a problem", "/repositories?show=problem", wrong, with_problem),
        ],
    }
    return page(request, "repositories.html", values)


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


HANDLERS: Final = [list_repositories, host, remove, make_secret]


def standing(entry: RepositoryEntry) -> tuple[Tone, str, str]:
    """Return how a repository stands, and why it does where that is not well: what needs a person first."""
    if entry.problem:
        return Tone.BAD, "Cannot be kept", entry.problem
    if entry.rejected:
        return Tone.BAD, "Not taken up by the device", entry.rejected.reason
    if entry.unread:
        return (
            Tone.WAIT,
            "Not all could be read",
            "; ".join(f"{one.path}: {one.message}" for one in entry.unread),
        )
    if entry.refused:
        return Tone.WAIT, "A commit by hand was refused", entry.refused
    if entry.desired_commit is None:
        return Tone.QUIET, "Nothing written yet", ""
    if entry.adopted_commit != entry.desired_commit:
        return Tone.BUSY, "Not taken up yet", ""
    return Tone.GOOD, "In step", ""
