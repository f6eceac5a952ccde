"""`/sources`: where packages are looked for, how that goes, and what is wrong with some of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from litestar import Response, get, post
from msgspec import UNSET, UnsetType

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.domain.sources import Kind, Standing
from edgewright.server.errors import ConflictError, Fault, ForbiddenError, InvalidError
from edgewright.server.fleet import sources as fleet
from edgewright.server.listeners.guard import read_form
from edgewright.server.operator_api.access import actor_of
from edgewright.server.operator_api.paging import page_of
from edgewright.server.operator_api.source_documents import GivenCredentials, GivenSource, SourceEntry
from edgewright.server.operator_api.source_views import show_offer, source_entries, trouble_entries
from edgewright.server.operator_api.sources import (
    begin_look,
    drop_source,
    load_source,
    put_source,
    take_place,
)
from edgewright.server.store import sources
from edgewright.server.web.forms import is_number
from edgewright.server.web.pages import page, see_other

OFFERS: Final = 100
SCHEDULES: Final = (
    ("15", "Every 15 minutes"),
    ("60", "Every hour"),
    ("360", "Every 6 hours"),
    ("1440", "Every day"),
    ("10080", "Every week"),
    ("", "Only when somebody asks"),
)
_EMPTY: Final = {
    "name": "",
    "kind": "registry",
    "location": "",
    "folder": "",
    "repositories": "",
    "every_minutes": "60",
    "plain_http": "",
    "ca": "",
    "access": "none",
    "username": "",
    "prune": "",
}


@get("/sources")
async def list_sources(request: ServerRequest) -> Response[Any]:
    """Show all sources, and below them everything that is not as it should be."""
    context = context_of(request)
    async with context.database.reading() as connection:
        entries = await source_entries(connection, context.looks, now=context.clock())
        troubles = await trouble_entries(connection)
    return page(request, "sources.html", {"sources": entries, "troubles": troubles})


@get("/sources/new")
async def show_new(request: ServerRequest) -> Response[Any]:
    """Show the form for a new source."""
    return _form(request, None, _EMPTY)


@post("/sources/new", status_code=200)
async def make(request: ServerRequest) -> Response[Any]:
    """Make a source."""
    given = await _given(request)
    async with context_of(request).database.reading() as connection:
        is_taken = await sources.named(connection, given["name"]) is not None
    if is_taken:
        fault = Fault(field="name", message="is the name of another source")
        return _form(request, None, given, [fault])
    return await _put(request, None, given)


@get("/sources/{name:str}")
async def show_source(
    request: ServerRequest, name: str, show: str = "", after: str | None = None
) -> Response[Any]:
    """Show one source, how looking through it goes, and what it has on offer."""
    shown = await load_source(context_of(request), name)
    wanted = [Standing(show)] if show in set(Standing) else []
    async with context_of(request).database.reading() as connection:
        record = await fleet.source_called(connection, name)
        found = await sources.listings_of(connection, record.id, states=wanted)
    offers = [show_offer(one, name) for one in found]
    values = {
        "source": shown,
        "page": page_of(offers, lambda one: one.place, limit=OFFERS, after=after),
        "show": show,
        "states": [state.value for state in Standing],
        "schedule": _schedule(shown.every_minutes),
        "may_change": _may_change(request, shown),
    }
    return page(request, "source.html", values)


@get("/sources/{name:str}/edit")
async def show_edit(request: ServerRequest, name: str) -> Response[Any]:
    """Show the form with what is known of a source; its credentials stay where they are."""
    shown = await load_source(context_of(request), name)
    return _form(request, shown, _values_of(shown))


@post("/sources/{name:str}/edit", status_code=200)
async def change(request: ServerRequest, name: str) -> Response[Any]:
    """Change a source."""
    shown = await load_source(context_of(request), name)
    return await _put(request, shown, {**await _given(request), "name": name})


@post("/sources/{name:str}/look", status_code=303)
async def look(request: ServerRequest, name: str) -> Response[Any]:
    """Look through a source now."""
    await begin_look(request, name)
    return see_other(f"/sources/{quote(name)}")


@post("/sources/{name:str}/take", status_code=303)
async def take(request: ServerRequest, name: str) -> Response[Any]:
    """Import again what a person removed."""
    form = await read_form(request)
    await take_place(request, name, str(form.get("place") or ""))
    return see_other(f"/sources/{quote(name)}", "It is imported again.")


@post("/sources/{name:str}/remove", status_code=303)
async def remove(request: ServerRequest, name: str) -> Response[Any]:
    """Forget a source."""
    await drop_source(request, name)
    return see_other("/sources", f"The source {name} is removed; the packages that came from it stay.")


HANDLERS = [list_sources, show_new, make, show_source, show_edit, change, look, take, remove]


async def _put(request: ServerRequest, before: SourceEntry | None, given: Mapping[str, str]) -> Response[Any]:
    """Make or change a source; what is wrong is shown beside the fields, with all that was typed."""
    try:
        asked = _asked(given)
        record = None
        if before is not None:
            async with context_of(request).database.reading() as connection:
                record = await fleet.source_called(connection, before.name)
        made = await put_source(request, given["name"], asked, before=record)
    except InvalidError as error:
        return _form(request, before, given, [_placed(fault, given) for fault in error.faults])
    except (ForbiddenError, ConflictError) as error:
        return _form(request, before, given, [Fault(field="", message=str(error))])
    told = f"The source {made.name} is being looked through." if before is None else "Changed."
    return see_other(f"/sources/{quote(made.name)}", told)


def _form(
    request: ServerRequest,
    before: SourceEntry | None,
    given: Mapping[str, str],
    faults: Sequence[Fault] = (),
) -> Response[Any]:
    values = {
        "before": before,
        "given": given,
        "faults": list(faults),
        "schedules": _schedules(given["every_minutes"]),
        "is_admin": actor_of(request).role.covers(Role.ADMIN),
    }
    return page(request, "source_form.html", values, status=422 if faults else 200)


async def _given(request: ServerRequest) -> dict[str, str]:
    """Return what was typed, every field of the form."""
    form = await read_form(request)
    names = [*_EMPTY, "password", "token"]
    return {name: str(form.get(name) or "") for name in names}


def _asked(given: Mapping[str, str]) -> GivenSource:
    kind = Kind.FOLDER if given["kind"] == Kind.FOLDER else Kind.REGISTRY
    is_registry = kind is Kind.REGISTRY
    return GivenSource(
        kind=kind,
        location=given["location"] if is_registry else given["folder"],
        repositories=tuple(given["repositories"].replace(",", " ").split()) if is_registry else (),
        every_minutes=_minutes(given["every_minutes"]),
        plain_http=is_registry and bool(given["plain_http"]),
        ca=given["ca"].strip() or None if is_registry else None,
        credentials=_credentials(given) if is_registry else None,
        prune=bool(given["prune"]),
    )


def _minutes(text: str) -> int | None:
    if not text:
        return None
    if not is_number(text):
        raise InvalidError("", Fault(field="every_minutes", message="expected a number of minutes"))
    return int(text)


def _credentials(given: Mapping[str, str]) -> GivenCredentials | UnsetType | None:
    match given["access"]:
        case "password":
            return GivenCredentials(username=given["username"], password=given["password"])
        case "token":
            return GivenCredentials(token=given["token"])
        case "keep":
            return UNSET
    return None


def _placed(fault: Fault, given: Mapping[str, str]) -> Fault:
    """Return a fault under the name of the field that a person sees."""
    field = fault.field.partition("[")[0]
    if field == "location" and given["kind"] == Kind.FOLDER:
        field = "folder"
    if field.startswith("credentials"):
        field = "token" if given["access"] == "token" else "username"
    return Fault(field=field, message=fault.message)


def _values_of(shown: SourceEntry) -> dict[str, str]:
    is_registry = shown.kind is Kind.REGISTRY
    return {
        "name": shown.name,
        "kind": shown.kind.value,
        "location": shown.location if is_registry else "",
        "folder": "" if is_registry else shown.location,
        "repositories": "\n".join(shown.repositories),
        "every_minutes": "" if shown.every_minutes is None else str(shown.every_minutes),
        "plain_http": "true" if shown.plain_http else "",
        "ca": shown.ca or "",
        "access": "none" if shown.credentials == "none" else "keep",
        "username": shown.username or "",
        "prune": "true" if shown.prune else "",
    }


def _schedules(present: str) -> list[tuple[str, str]]:
    """Return the schedules to choose from, the present one among them."""
    if present in dict(SCHEDULES) or not is_number(present):
        return list(SCHEDULES)
    return [(present, _schedule(int(present))), *SCHEDULES]


def _schedule(minutes: int | None) -> str:
    known = dict(SCHEDULES).get("" if minutes is None else str(minutes))
    return known or f"Every {minutes} minutes"


def _may_change(request: ServerRequest, shown: SourceEntry) -> bool:
    """Whether the person may change and remove it: with credentials, or on the disk, administrators alone."""
    needed = Role.OPERATOR if shown.credentials == "none" and shown.kind is Kind.REGISTRY else Role.ADMIN
    return actor_of(request).role.covers(needed)
