"""`/devices/{client_id}/repository/external`: repositories on Git servers of somebody else's."""

import secrets
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Response, get, post, put
from msgspec import UNSET

from edgewright.net.git.program import Git, GitError
from edgewright.protocol.errors import EdgewrightError
from edgewright.server.catalogue.looking import in_thread
from edgewright.server.context import ServerContext, ServerRequest, context_of
from edgewright.server.domain.hand_made import Accepted, Commit, Verdict
from edgewright.server.domain.roles import Role
from edgewright.server.errors import ConflictError, Fault, InvalidError, NotFoundError
from edgewright.server.fleet import membership
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.external_documents import (
    ExternalEntry,
    GivenExternal,
    JudgedCommit,
    JudgedCommits,
    ProposedCommit,
    ProposedCommits,
    RestoreBranch,
    WebhookSecret,
)
from edgewright.server.operator_api.requests import read_json
from edgewright.server.repositories.access import Access, How, checked, checked_url, shown_proxy
from edgewright.server.repositories.external import Externals
from edgewright.server.repositories.hosts import place_of
from edgewright.server.repositories.places import bare_of
from edgewright.server.repositories.proposals import File, Proposal, judge_all
from edgewright.server.repositories.remote import RemoteError
from edgewright.server.repositories.snapshots import read_snapshot
from edgewright.server.store import audit
from edgewright.server.store import repositories as store
from edgewright.server.store.database import is_rehearsal, rehearse
from edgewright.server.store.repositories import Kind, Repository

PATH: Final = "/devices/{client_id:str}/repository/external"
HOOKS: Final = "/git/hooks"
# Documents have at most 1 MiB each, and travel in base64.
_CHECK_BYTES: Final = 16 * 1024 * 1024


@get(PATH, summary="Show a repository on another Git server")
async def show_external(request: ServerRequest, client_id: str) -> Response[ExternalEntry]:
    """Return where the repository is and how it stands; its tag is over what people say of it."""
    shown = await load_external(context_of(request), client_id)
    return tagged(request, shown, of=_described(shown))


@put(
    PATH,
    status_code=200,
    summary="Keep a device's repository on another Git server",
    body=GivenExternal,
    creates=True,
    dry_run=True,
    role=Role.ADMIN,
)
async def put_external(request: ServerRequest, client_id: str) -> Response[ExternalEntry]:
    """Push what the device is to have to this Git server from now on, and read there what it reports.

    The access is tried first; where it does not work nothing is stored, and the answer says why.
    """
    asked = await read_json(request, GivenExternal)
    shown, is_first = await keep_external(request, client_id, asked)
    return tagged(request, shown, of=_described(shown), status=201 if is_first else 200)


@post(
    f"{PATH}/webhook",
    status_code=201,
    summary="Make a secret for the webhook of a repository",
    role=Role.ADMIN,
)
async def make_webhook(request: ServerRequest, client_id: str) -> WebhookSecret:
    """Make a new secret with which the Git server tells of pushes; the one before counts no more."""
    return await make_webhook_secret(request, client_id)


@post(f"{PATH}/look", status_code=200, summary="Look at a repository now")
async def look_at_external(request: ServerRequest, client_id: str) -> ExternalEntry:
    """Ask the Git server for news, take them in, and push what is to be pushed."""
    return await look_now(request, client_id)


@post(
    f"{PATH}/restore",
    status_code=200,
    summary="Go on after somebody rewrote a branch",
    body=RestoreBranch,
)
async def restore_external(request: ServerRequest, client_id: str) -> ExternalEntry:
    """Have what this server wrote be on `desired` again: joined with what is there, or in its place."""
    asked = await read_json(request, RestoreBranch)
    return await settle_rewritten(request, client_id, is_replaced=asked.replace)


@post(
    f"{PATH}/check",
    status_code=200,
    summary="Judge commits before they are pushed",
    body=ProposedCommits,
    role=Role.VIEWER,
)
async def check_commits(request: ServerRequest, client_id: str) -> JudgedCommits:
    """Say what would become of commits on `desired` that people made by hand; nothing is changed.

    They are judged as they are after a push: also whether an application takes a value, and whether a
    deployment is changed by itself or in its assignment.
    """
    context, asked = context_of(request), await read_json(request, ProposedCommits, limit=_CHECK_BYTES)
    await _external(context, client_id)
    git = Git(bare_of(context.repositories, client_id))
    try:
        is_known = git.is_there and await in_thread(partial(git.commit_of, asked.base)) is not None
        base = await in_thread(partial(read_snapshot, git, asked.base)) if is_known else None
    except GitError as error:
        raise ConflictError(f"commit {asked.base} cannot be read here: {error}") from error
    if base is None:
        raise ConflictError(
            f"commit {asked.base} is not known here, and so not what commits build on;"
            f" 'edgewright repository look {client_id}' asks the Git server for news"
        )
    proposals = [_proposal(one) for one in asked.commits]
    rehearse()
    verdicts: list[Verdict] = []
    async with context.database.writing() as connection:
        verdicts = await judge_all(connection, client_id, base, proposals, now=context.clock())
    return JudgedCommits(
        commits=[
            JudgedCommit(
                id=proposal.commit.id,
                is_fine=isinstance(verdict, Accepted),
                told=verdict.in_words() if isinstance(verdict, Accepted) else verdict.reason,
            )
            for proposal, verdict in zip(proposals, verdicts, strict=True)
        ]
    )


HANDLERS: Final = [
    show_external,
    put_external,
    make_webhook,
    look_at_external,
    restore_external,
    check_commits,
]


async def load_external(context: ServerContext, client_id: str) -> ExternalEntry:
    """Return a repository on another Git server as it is shown; raises `NotFoundError`."""
    return _show(context, await _external(context, client_id))


async def keep_external(
    request: ServerRequest, client_id: str, asked: GivenExternal
) -> tuple[ExternalEntry, bool]:
    """Keep a device's repository on another Git server; return it, and whether it was elsewhere before.

    Raises `InvalidError` with every fault; the access is tried before anything is stored.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        client = await membership.client_called(connection, client_id)
        before = await store.get(connection, client_id)
    if not client.is_accepted:
        raise ConflictError(f"device '{client_id}' is retired")
    is_first = before is None or before.kind != Kind.EXTERNAL
    expect(request, None if is_first or before is None else _described(_show(context, before)))
    externals = context.externals
    url = checked_url(asked.url)
    opened = None if is_first or before is None else before.url
    access = checked(url, _access(externals, client_id, asked, opened=opened))
    try:
        await externals.check(client_id, url, access)
    except RemoteError as error:
        raise InvalidError("the repository cannot be used", Fault(field="url", message=str(error))) from error
    now = context.clock()
    async with context.database.writing() as connection:
        if before is None:
            await store.add(connection, client_id, Kind.EXTERNAL, url, now)
        elif is_first or before.url != url:
            await store.move(connection, client_id, Kind.EXTERNAL, url)
        await audit.note(
            connection,
            now=now,
            actor=operator_of(request),
            action="set repository",
            subject=client_id,
            before=None if before is None else {"kind": before.kind, "url": before.url},
            after={"kind": Kind.EXTERNAL, "url": url, "credentials": access.how, "minutes": access.minutes},
        )
        # Inside the transaction, so that one without the other is never in force.
        if not is_rehearsal():
            externals.files.keep(client_id, access)
        made = await store.get(connection, client_id)
    assert made is not None  # noqa: S101 - just kept
    shown = _entry(made, access)
    if not is_rehearsal():
        externals.forget(client_id)
        await context.in_step(client_id)
        shown = _show(context, await _external(context, client_id))
    return shown, is_first


async def look_now(request: ServerRequest, client_id: str) -> ExternalEntry:
    """Have a repository looked at, and return how it stands after that."""
    context = context_of(request)
    await _external(context, client_id)
    await context.in_step(client_id)
    return _show(context, await _external(context, client_id))


async def make_webhook_secret(request: ServerRequest, client_id: str) -> WebhookSecret:
    """Make a new secret for the webhook of a repository; it is shown this once."""
    context = context_of(request)
    externals = context.externals
    await _external(context, client_id)
    secret = secrets.token_urlsafe(32)
    async with context.database.writing() as connection:
        await audit.note(
            connection,
            now=context.clock(),
            actor=operator_of(request),
            action="make webhook secret",
            subject=client_id,
        )
        access = externals.files.load(client_id)
        externals.files.keep(client_id, msgspec.structs.replace(access, webhook=secret))
    return WebhookSecret(url=f"{context.web_url}{HOOKS}/{client_id}", secret=secret)


async def settle_rewritten(request: ServerRequest, client_id: str, *, is_replaced: bool) -> ExternalEntry:
    """Go on after somebody rewrote the branch `desired`; raises `ConflictError` where nobody did."""
    context = context_of(request)
    await _external(context, client_id)
    try:
        await context.externals.settle_rewritten(
            client_id, is_replaced=is_replaced, actor=operator_of(request)
        )
    except RemoteError as error:
        raise ConflictError(str(error)) from error
    await context.in_step(client_id)
    return _show(context, await _external(context, client_id))


def _proposal(given: ProposedCommit) -> Proposal:
    files = {
        path: None if one is None else File(mode=one.mode, id=one.id, size=one.size, content=one.content)
        for path, one in given.files.items()
    }
    commit = Commit(id=given.id, name=given.name, email=given.email)
    return Proposal(commit=commit, files=files, refused=given.refused)


async def _external(context: ServerContext, client_id: str) -> Repository:
    async with context.database.reading() as connection:
        await membership.client_called(connection, client_id)
        found = await store.get(connection, client_id)
    if found is None or found.kind != Kind.EXTERNAL:
        raise NotFoundError(f"{client_id} has no repository on another Git server")
    return found


def _access(externals: Externals, client_id: str, asked: GivenExternal, *, opened: str | None) -> Access:
    """Return what opens the repository from now on: what was given, over what is kept.

    That was given for the address `opened` and is shown to no other server.
    """
    kept = Access() if opened is None else externals.files.load(client_id)
    given = asked.credentials
    if given is UNSET and opened is None:
        raise InvalidError(
            "the credentials cannot be used",
            Fault(field="credentials", message="are needed; none: how 'none'"),
        )
    if (
        given is UNSET
        and opened is not None
        and kept.how != How.NONE
        and place_of(asked.url) != place_of(opened)
    ):
        message = "are needed again: those that are kept were given for another server"
        raise InvalidError("the credentials cannot be used", Fault(field="credentials", message=message))
    if given is not UNSET:
        members: dict[str, Any] = {name: getattr(given, name) for name in given.__struct_fields__}
        kept = Access(**members, webhook=kept.webhook)
    proxy = kept.proxy if asked.proxy is not None and asked.proxy == shown_proxy(kept) else asked.proxy
    return msgspec.structs.replace(kept, ca=asked.ca, proxy=proxy, minutes=asked.minutes)


def _show(context: ServerContext, repository: Repository) -> ExternalEntry:
    try:
        access = context.externals.files.load(repository.client_id)
    except EdgewrightError:
        access = Access()  # `problem` says that it is gone
    is_rewritten = context.externals.is_rewritten(repository.client_id)
    return _entry(repository, access, is_rewritten=is_rewritten)


def _entry(repository: Repository, access: Access, *, is_rewritten: bool = False) -> ExternalEntry:
    return ExternalEntry(
        device=repository.client_id,
        url=repository.url or "",
        credentials=access.how,
        username=access.username,
        ca=access.ca,
        proxy=shown_proxy(access),
        minutes=access.minutes,
        has_webhook=access.webhook is not None,
        desired_commit=repository.pushed_commit,
        current_commit=repository.current_commit,
        checked=repository.checked,
        rewritten=is_rewritten,
        problem=repository.problem,
        refused=repository.refused,
    )


def _described(shown: ExternalEntry) -> dict[str, object]:
    """Return what people say of a repository, without how it stands."""
    return {
        name: getattr(shown, name) for name in ("url", "credentials", "username", "ca", "proxy", "minutes")
    }
