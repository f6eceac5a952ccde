"""`/repositories` and `/devices/{client_id}/repository`: the Git repositories of devices."""

from functools import partial
from typing import Annotated, Any, Final

from litestar import Response, delete, get, post, put
from litestar.params import QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.catalogue.looking import in_thread
from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import repositories as fleet
from edgewright.server.listeners.bodies import read_body
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import (
    DEFAULT_LIMIT,
    Page,
    check_limit,
    make_cursor,
    read_cursor,
)
from edgewright.server.operator_api.queries import After, Limit
from edgewright.server.operator_api.repository_documents import (
    GivenRepository,
    NewSecret,
    RefusedCommit,
    RepositoryEntry,
    RepositorySecret,
    SecretWay,
    SignerEntry,
    TakenBundle,
    UnreadFile,
)
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.schema import GIT_BUNDLE
from edgewright.server.repositories import bundles
from edgewright.server.repositories.bare import Bare
from edgewright.server.repositories.places import bare_of, hosted_url, url_of
from edgewright.server.repositories.reading import adopted_of, faults_of
from edgewright.server.repositories.signing import SigningKeys
from edgewright.server.store import audit
from edgewright.server.store import repositories as store
from edgewright.server.store.database import announce, is_rehearsal
from edgewright.server.store.repositories import Kind, Repository, Way

PATH: Final = "/devices/{client_id:str}/repository"


@get("/repositories", summary="List the Git repositories of devices")
async def list_repositories(
    request: ServerRequest,
    *,
    with_problem: Annotated[
        bool, QueryParameter(name="problem", description="only those with a problem")
    ] = False,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[RepositoryEntry]:
    """Return all repositories by the name of their device; `problem` leaves out those that are fine."""
    return await repository_page(context_of(request), with_problem=with_problem, limit=limit, after=after)


@get(PATH, summary="Show the Git repository of a device")
async def show_repository(request: ServerRequest, client_id: str) -> Response[RepositoryEntry]:
    """Return where a device's repository is and how it stands; its tag is over where it is."""
    shown = await load_repository(context_of(request), client_id)
    return tagged(request, shown, of=_described(shown))


@put(
    PATH,
    status_code=200,
    summary="Host a Git repository for a device",
    body=GivenRepository,
    creates=True,
    dry_run=True,
)
async def put_repository(request: ServerRequest, client_id: str) -> Response[RepositoryEntry]:
    """Write what the device is to have into a repository hosted here from now on, and read its reports there.

    A device that uses the device API goes on doing so until it is told to change ('agent transport').
    """
    context = context_of(request)
    await read_json(request, GivenRepository)
    present = await find_repository(context, client_id)
    expect(request, present and _described(present))
    is_new = await host_repository(request, client_id)
    shown = await load_repository(context, client_id) if not is_rehearsal() else _planned(context, client_id)
    return tagged(request, shown, of=_described(shown), status=201 if is_new else 200)


@delete(PATH, status_code=204, summary="Remove the Git repository of a device", dry_run=True)
async def delete_repository(request: ServerRequest, client_id: str) -> None:
    """Keep no repository for a device any more: one hosted here is deleted with all that is in it.

    A device that used it is not reached until it changes to the device API.
    """
    expect(request, _described(await load_repository(context_of(request), client_id)))
    await drop_repository(request, client_id)


@post(
    f"{PATH}/credentials",
    status_code=201,
    summary="Make a password or token for a repository",
    body=NewSecret,
)
async def make_credentials(request: ServerRequest, client_id: str) -> RepositorySecret:
    """Make a secret that opens the device's repository, shown once; the one before opens nothing any more.

    A device that enrolled here needs none: it shows its certificate.
    """
    asked = await read_json(request, NewSecret)
    return await make_repository_secret(request, client_id, asked.way)


@delete(
    f"{PATH}/credentials/{{way:str}}",
    status_code=204,
    summary="Withdraw the password or token of a repository",
    dry_run=True,
)
async def withdraw_credentials(request: ServerRequest, client_id: str, way: SecretWay) -> None:
    """Have no secret of this kind (`basic` or `token`) open the repository any more."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await fleet.withdraw_secret(
            connection, client_id, Way(way), actor=operator_of(request), now=context.clock()
        )


@get(f"{PATH}/bundle", summary="Get what a device is to have as a Git bundle", media_type=GIT_BUNDLE)
async def get_bundle(request: ServerRequest, client_id: str, since: str | None = None) -> Response[bytes]:
    """Return a `git bundle` of `desired`, for 'agent bundle import' on a device without a link.

    `since` is a commit the device has: then the bundle has only what follows.
    """
    context = context_of(request)
    if since is not None and not _is_commit(since):
        raise InvalidError("there is no such bundle", Fault(field="since", message="expected 40 hex digits"))
    async with context.database.reading() as connection:
        await fleet.repository_of(connection, client_id)
    await context.in_step(client_id)
    body = await in_thread(partial(bundles.desired_bundle, _bare(context, client_id), since))
    disposition = f'attachment; filename="{client_id}.bundle"'
    return Response(
        content=body,
        media_type=GIT_BUNDLE,
        headers={"content-disposition": disposition, "cache-control": "no-store"},
    )


@post(
    f"{PATH}/current",
    status_code=200,
    summary="Read a Git bundle of what a device reports",
    body=GIT_BUNDLE,
)
async def post_current(request: ServerRequest, client_id: str, *, replace: bool = False) -> TakenBundle:
    """Take in the branch `current` of a bundle that 'agent bundle export' made on the device.

    It has to build on what was read before, unless it is to `replace` that.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        await fleet.hosted_of(connection, client_id)
    body = await read_body(request, limit=bundles.MOST_BYTES)
    take = partial(bundles.take_current, _bare(context, client_id), body, replace=replace)
    is_new = await in_thread(take)
    async with context.database.writing() as connection:
        await audit.note(
            connection,
            now=context.clock(),
            actor=operator_of(request),
            action="read bundle",
            subject=client_id,
            is_new=is_new,
        )
    if is_new:
        context.heard_of(client_id)
        await context.in_step(client_id)
    return TakenBundle(is_new=is_new, repository=await load_repository(context, client_id))


@get("/repositories/signers", summary="Show who signs what is written into repositories")
async def show_signer(request: ServerRequest) -> SignerEntry:
    """Return the present signing key, as the file that devices are given when they enrol."""
    return await _signer(context_of(request))


@post("/repositories/signers/rotate", status_code=200, summary="Replace the signing key", role=Role.ADMIN)
async def rotate_signer(request: ServerRequest) -> SignerEntry:
    """Make a new key; one more commit of the old key has every repository's device trust it.

    Files with the old key that were handed out and not used yet are worthless: hand out the new one.
    """
    context = context_of(request)
    keys = _keys(context)
    async with context.database.writing() as connection:
        before = keys.present()
        after = keys.replace()
        await audit.note(
            connection,
            now=context.clock(),
            actor=operator_of(request),
            action="replace signing key",
            subject="all repositories",
            before={"fingerprint": before.fingerprint},
            after={"fingerprint": after.fingerprint},
        )
        announce(connection, "repositories", "signers")
    return await _signer(context)


HANDLERS: Final = [
    list_repositories,
    show_signer,
    rotate_signer,
    show_repository,
    put_repository,
    delete_repository,
    make_credentials,
    withdraw_credentials,
    get_bundle,
    post_current,
]


async def repository_page(
    context: ServerContext, *, with_problem: bool, limit: int, after: str | None
) -> Page[RepositoryEntry]:
    """Return repositories by the name of their device, behind the cursor `after`."""
    check_limit(limit)
    behind = read_cursor(after) if after else None
    async with context.database.reading() as connection:
        found = await store.page(connection, after=behind, limit=limit + 1, with_problem=with_problem)
        total = await store.count(connection, with_problem=with_problem)
        items = [await _show(connection, context, one) for one in found[:limit]]
    following = make_cursor(items[-1].device) if len(found) > limit else None
    return Page(items=items, next=following, total=total)


async def load_repository(context: ServerContext, client_id: str) -> RepositoryEntry:
    """Return one repository as it is shown; raises `NotFoundError`."""
    async with context.database.reading() as connection:
        return await _show(connection, context, await fleet.repository_of(connection, client_id))


async def find_repository(context: ServerContext, client_id: str) -> RepositoryEntry | None:
    """Return one repository as it is shown, None if the device has none."""
    async with context.database.reading() as connection:
        found = await store.get(connection, client_id)
        return None if found is None else await _show(connection, context, found)


async def host_repository(request: ServerRequest, client_id: str) -> bool:
    """Host a repository for a device, and write it at once; return whether it is new."""
    context = context_of(request)
    hosted_url(context.git_url, client_id)
    async with context.database.writing() as connection:
        is_new = await fleet.host(connection, client_id, actor=operator_of(request), now=context.clock())
    if not is_rehearsal():
        _credentials_file(context, client_id).unlink(missing_ok=True)
        await context.in_step(client_id)
    return is_new


async def drop_repository(request: ServerRequest, client_id: str) -> None:
    """Forget a device's repository and delete what is kept of it here."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await fleet.remove(connection, client_id, actor=operator_of(request), now=context.clock())
    if not is_rehearsal():
        _credentials_file(context, client_id).unlink(missing_ok=True)
        # Whoever writes it at this moment ends first, and finds that there is none any more.
        await context.in_step(client_id)
        await in_thread(_bare(context, client_id).delete)


async def make_repository_secret(request: ServerRequest, client_id: str, way: SecretWay) -> RepositorySecret:
    """Make a secret that opens a device's repository."""
    context = context_of(request)
    async with context.database.writing() as connection:
        made = await fleet.make_secret(
            connection, client_id, Way(way), actor=operator_of(request), now=context.clock()
        )
        found = await fleet.hosted_of(connection, client_id)
    return RepositorySecret(
        device=client_id,
        url=url_of(found, context.git_url),
        way=way,
        username=made.username,
        secret=made.secret,
    )


async def _show(connection: AsyncConnection, context: ServerContext, found: Repository) -> RepositoryEntry:
    digests = await store.digests(connection, found.client_id)
    adopted = adopted_of(found.adopted)
    rejected = None if adopted is None else adopted.refused
    return RepositoryEntry(
        device=found.client_id,
        kind=Kind(found.kind),
        url=url_of(found, context.git_url),
        created=found.created,
        desired_commit=found.desired_commit,
        adopted_commit=None if adopted is None else adopted.commit,
        adopted_version=None if adopted is None else adopted.manifest_version,
        rejected=None
        if rejected is None
        else RefusedCommit(commit=rejected.commit, reason=rejected.reason, since=rejected.since),
        current_commit=found.current_commit,
        checked=found.checked,
        opened_by=[way.value for way in (Way.BASIC, Way.TOKEN) if way in digests],
        problem=found.problem,
        unread=[UnreadFile(path=path, message=text) for path, text in faults_of(found.unread).items()],
        refused=found.refused,
        signer=found.signer,
    )


def _planned(context: ServerContext, client_id: str) -> RepositoryEntry:
    """Return what a repository would be that is only tried to be made."""
    return RepositoryEntry(
        device=client_id,
        kind=Kind.HOSTED,
        url=hosted_url(context.git_url, client_id),
        created=context.clock(),
        desired_commit=None,
        adopted_commit=None,
        adopted_version=None,
        rejected=None,
        current_commit=None,
        checked=None,
        opened_by=[],
        problem=None,
        unread=[],
        refused=None,
        signer=None,
    )


def _described(shown: RepositoryEntry) -> dict[str, Any]:
    """Return what people say of a repository, without how it stands."""
    return {"kind": shown.kind, "url": shown.url}


async def _signer(context: ServerContext) -> SignerEntry:
    keys = _keys(context)
    key = keys.present()
    async with context.database.reading() as connection:
        known = await store.every(connection)
    behind = sum(one.signer not in {None, key.fingerprint} for one in known)
    return SignerEntry(fingerprint=key.fingerprint, signers=keys.signers.decode(), repositories=behind)


def _keys(context: ServerContext) -> SigningKeys:
    return SigningKeys(context.identity.folder, context.principal)


def _bare(context: ServerContext, client_id: str) -> Bare:
    return Bare(bare_of(context.repositories, client_id))


def _credentials_file(context: ServerContext, client_id: str) -> Any:
    return context.repositories / f"{client_id}.credentials"


def _is_commit(text: str) -> bool:
    return len(text) == 40 and all(letter in "0123456789abcdef" for letter in text)
