"""`/sources`: where packages are looked for, what is on offer there, and looking through it."""

from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import QueryParameter
from msgspec import UNSET, UnsetType

from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.domain.sources import Credentials, Kind, SourceSpec, Standing, checked
from edgewright.server.errors import ForbiddenError
from edgewright.server.fleet import sources as fleet
from edgewright.server.operator_api.access import actor_of, operator_of
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, contains, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.source_documents import (
    GivenCredentials,
    GivenSource,
    NewSource,
    OfferEntry,
    SourceEntry,
    TakeAgain,
)
from edgewright.server.operator_api.source_views import (
    show_offer,
    source_entries,
    source_entry,
    trouble_entries,
)
from edgewright.server.store import sources
from edgewright.server.store.database import is_rehearsal
from edgewright.server.store.sources import SourceRecord


@get("/sources", summary="List sources of packages")
async def list_sources(
    request: ServerRequest, q: Search = None, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[SourceEntry]:
    """Return where packages are looked for, by name, and how that went; `q` is in its name or location."""
    context = context_of(request)
    async with context.database.reading() as connection:
        entries = await source_entries(connection, context.looks, now=context.clock())
    found = [one for one in entries if q is None or contains(q, one.name, one.location)]
    return page_of(found, lambda entry: entry.name, limit=limit, after=after)


@post("/sources", status_code=201, summary="Add a source of packages", body=NewSource, dry_run=True)
async def create_source(request: ServerRequest) -> Response[SourceEntry]:
    """Add a source, and look through it at once."""
    asked = await read_json(request, NewSource)
    made = await put_source(request, asked.name, asked, before=None)
    return tagged(request, made, of=_described(made), status=201)


@get("/sources/{name:str}", summary="Show a source of packages")
async def show_source(request: ServerRequest, name: str) -> Response[SourceEntry]:
    """Return one source; its tag is over what people say of it."""
    shown = await load_source(context_of(request), name)
    return tagged(request, shown, of=_described(shown))


@put(
    "/sources/{name:str}",
    status_code=200,
    summary="Make or change a source of packages",
    body=GivenSource,
    creates=True,
    dry_run=True,
)
async def replace_source(request: ServerRequest, name: str) -> Response[SourceEntry]:
    """Make the source as said, whether there is one of that name or not, and look through it."""
    asked = await read_json(request, GivenSource)
    async with context_of(request).database.reading() as connection:
        before = await sources.named(connection, name)
    if before is not None:
        expect(request, _described(await load_source(context_of(request), name)))
    made = await put_source(request, name, asked, before=before)
    return tagged(request, made, of=_described(made), status=201 if before is None else 200)


@delete("/sources/{name:str}", status_code=204, summary="Remove a source of packages", dry_run=True)
async def delete_source(request: ServerRequest, name: str) -> None:
    """Forget a source; the packages that came from it stay."""
    expect(request, _described(await load_source(context_of(request), name)))
    await drop_source(request, name)


@post("/sources/{name:str}/look", status_code=202, summary="Look through a source now")
async def look_through(request: ServerRequest, name: str) -> SourceEntry:
    """Begin to look through a source, unless somebody does already; `status` tells how far it is."""
    await begin_look(request, name)
    return await load_source(context_of(request), name)


@get("/sources/{name:str}/offers", summary="List what a source has on offer")
async def list_offers(
    request: ServerRequest,
    name: str,
    standing: Annotated[Standing | None, QueryParameter(name="state")] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[OfferEntry]:
    """Return what a source has on offer and what became of it, by place; `state` leaves all others out."""
    async with context_of(request).database.reading() as connection:
        source = await fleet.source_called(connection, name)
        states = [] if standing is None else [standing]
        found = await sources.listings_of(connection, source.id, states=states)
    return page_of(
        [show_offer(one, name) for one in found], lambda entry: entry.place, limit=limit, after=after
    )


@post("/sources/{name:str}/take", status_code=202, summary="Import a removed package again", body=TakeAgain)
async def take_again(request: ServerRequest, name: str) -> SourceEntry:
    """Import again what a person removed from the catalogue, by looking through the source."""
    asked = await read_json(request, TakeAgain)
    await take_place(request, name, asked.place)
    return await load_source(context_of(request), name)


@get("/package-problems", summary="List packages that are not as they should be")
async def list_problems(
    request: ServerRequest, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[OfferEntry]:
    """Return what is `bad` or `changed` in any source, until it is mended there."""
    async with context_of(request).database.reading() as connection:
        entries = await trouble_entries(connection)
    return page_of(entries, lambda entry: f"{entry.source} {entry.place}", limit=limit, after=after)


async def load_source(context: ServerContext, name: str) -> SourceEntry:
    """Return one source as it is shown; raises `NotFoundError`."""
    async with context.database.reading() as connection:
        record = await fleet.source_called(connection, name)
        return await source_entry(connection, record, context.looks, now=context.clock())


async def put_source(
    request: ServerRequest, name: str, asked: GivenSource, *, before: SourceRecord | None
) -> SourceEntry:
    """Make a source, or change the one that was there `before`, and look through it.

    Credentials, and folders on the server's disk, are for administrators.
    """
    context = context_of(request)
    credentials = _credentials(asked.credentials)
    spec = checked(_spec(name, asked), credentials)
    _check_rights(request, spec, asked.credentials, before)
    secret, username = _keep(context, asked.credentials, credentials, before, spec.kind)
    actor, now = operator_of(request), context.clock()
    try:
        async with context.database.writing() as connection:
            if before is None:
                record = await fleet.add_source(
                    connection, spec, username=username, secret=secret, actor=actor, now=now
                )
            else:
                record = await fleet.change_source(
                    connection, name, spec, username=username, secret=secret, actor=actor, now=now
                )
            shown = await source_entry(connection, record, context.looks, now=now)
    except BaseException:
        if before is None or secret != before.secret:
            context.looks.credentials.forget(secret)
        raise
    if is_rehearsal():
        if before is None or secret != before.secret:
            context.looks.credentials.forget(secret)
        return shown
    if before is not None and secret != before.secret:
        context.looks.credentials.forget(before.secret)
    await context.looks.stop(record.id)
    context.looks.start(record)
    return await load_source(context, name)


async def drop_source(request: ServerRequest, name: str) -> None:
    """Forget a source and its credentials."""
    context = context_of(request)
    async with context.database.reading() as connection:
        record = await fleet.source_called(connection, name)
    if record.secret is not None or record.kind == Kind.FOLDER:
        _check_admin(request)
    if not is_rehearsal():
        await context.looks.stop(record.id)
    async with context.database.writing() as connection:
        await fleet.remove_source(connection, name, actor=operator_of(request), now=context.clock())
    if not is_rehearsal():
        context.looks.credentials.forget(record.secret)


async def begin_look(request: ServerRequest, name: str) -> None:
    """Begin to look through a source, unless somebody does already."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await fleet.source_called(connection, name)
        await fleet.note_look(connection, record, actor=operator_of(request), now=context.clock())
    context.looks.start(record)


async def take_place(request: ServerRequest, name: str, place: str) -> None:
    """Import again what a person removed."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await fleet.take_again(
            connection, name, place, actor=operator_of(request), now=context.clock()
        )
    await context.looks.stop(record.id)
    context.looks.start(record)


def _keep(
    context: ServerContext,
    asked: GivenCredentials | UnsetType | None,
    credentials: Credentials | None,
    before: SourceRecord | None,
    kind: Kind,
) -> tuple[str | None, str | None]:
    """Return the file of the credentials from now on, and the user name in it."""
    if asked is UNSET and kind is Kind.REGISTRY:
        return (None, None) if before is None else (before.secret, before.username)
    if credentials is None:
        return None, None
    return context.looks.credentials.keep(credentials), credentials.username


def _check_rights(
    request: ServerRequest,
    spec: SourceSpec,
    asked: GivenCredentials | UnsetType | None,
    before: SourceRecord | None,
) -> None:
    """Refuse what is for administrators.

    Where credentials are kept, sending them to another place would give them away.
    """
    has_credentials = before is not None and before.secret is not None
    is_moved = before is not None and (before.location, before.plain_http, before.ca) != (
        spec.location,
        spec.plain_http,
        spec.ca,
    )
    is_folder = spec.kind is Kind.FOLDER and (before is None or before.kind != Kind.FOLDER or is_moved)
    gives = isinstance(asked, GivenCredentials) or (asked is None and has_credentials)
    if gives or is_folder or (has_credentials and is_moved):
        _check_admin(request)


def _check_admin(request: ServerRequest) -> None:
    if not actor_of(request).role.covers(Role.ADMIN):
        raise ForbiddenError(
            "credentials of a source, and folders on the server's disk, are for administrators"
        )


def _spec(name: str, asked: GivenSource) -> SourceSpec:
    return SourceSpec(
        name=name,
        kind=asked.kind,
        location=asked.location,
        repositories=asked.repositories,
        every_minutes=asked.every_minutes,
        plain_http=asked.plain_http,
        ca=asked.ca,
        prune=asked.prune,
    )


def _credentials(asked: GivenCredentials | UnsetType | None) -> Credentials | None:
    if not isinstance(asked, GivenCredentials):
        return None
    return Credentials(
        username=asked.username or None, password=asked.password or None, token=asked.token or None
    )


def _described(entry: SourceEntry) -> object:
    """Return what people say of a source, without how looking through it goes."""
    return {
        name: getattr(entry, name) for name in entry.__struct_fields__ if name not in {"status", "offers"}
    }
