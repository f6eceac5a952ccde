"""`/whoami`, `/users`, `/tokens`: who may do what."""

from litestar import Response, delete, get, patch, post

from edgewright.server.accounts.signing_in import choose_password
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.passwords import make_password
from edgewright.server.domain.roles import Role
from edgewright.server.errors import ConflictError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.operator_api.access import actor_of, operator_of
from edgewright.server.operator_api.account_documents import (
    ChangedUser,
    CreatedToken,
    CreatedUser,
    GivenPassword,
    NewPassword,
    NewTokenRequest,
    NewUser,
    OwnPassword,
    SessionEntry,
    TokenEntry,
    UserEntry,
    WhoAmI,
)
from edgewright.server.operator_api.account_views import show_actor, show_sessions, show_token, show_user
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import moment_of, read_json
from edgewright.server.store import accounts


@get("/whoami", summary="Show who asks", even_temporary=True, any_scope=True)
async def show_whoami(request: ServerRequest) -> WhoAmI:
    """Return for whom this token or session speaks, and what it may do."""
    return show_actor(actor_of(request))


@post(
    "/whoami/password",
    status_code=204,
    summary="Change one's own password",
    body=OwnPassword,
    role=Role.VIEWER,
    even_temporary=True,
)
async def change_own_password(request: ServerRequest) -> None:
    """Choose another password, knowing the present one; all sessions end, tokens stay."""
    asked = await read_json(request, OwnPassword)
    if actor_of(request).user_id is None:
        raise ConflictError("this token belongs to no user, so there is no password to change")
    await choose_password(request, asked.password, asked.new)


@get("/whoami/sessions", summary="List one's own sessions")
async def list_sessions(
    request: ServerRequest, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[SessionEntry]:
    """Return the browsers in which who asks is signed in, the one used last first."""
    context, actor = context_of(request), actor_of(request)
    async with context.database.reading() as connection:
        known = [] if actor.user_id is None else await accounts.sessions_of(connection, actor.user_id)
    shown = show_sessions(known, actor, context.clock())
    return page_of(shown, lambda one: str(one.id), limit=limit, after=after)


@delete(
    "/whoami/sessions/{session_id:int}", status_code=204, summary="End one's own session", role=Role.VIEWER
)
async def end_session(request: ServerRequest, session_id: int) -> None:
    """Sign out in another browser."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await fleet.end_session(connection, session_id, actor=actor_of(request), now=context.clock())


@get("/users", summary="List users", role=Role.ADMIN)
async def list_users(
    request: ServerRequest,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[UserEntry]:
    """Return users by name; `q` is a part of the name."""
    async with context_of(request).database.reading() as connection:
        known = [show_user(user) for user in await accounts.every_user(connection)]
    shown = [
        user
        for user in known
        if (role is None or user.role is role)
        and (disabled is None or (user.state == "disabled") is disabled)
        and (q or "").strip().lower() in user.name
    ]
    return page_of(shown, lambda one: one.name, limit=limit, after=after)


@post("/users", status_code=201, summary="Add a user", body=NewUser, role=Role.ADMIN, dry_run=True)
async def create_user(request: ServerRequest) -> CreatedUser:
    """Make a user, who has to choose another password at the first sign-in."""
    context = context_of(request)
    asked = await read_json(request, NewUser)
    made = None if asked.password is not None else make_password()
    password = made or fleet.check_password(asked.password or "", asked.name)
    kept = await context.passwords.hash(password)
    async with context.database.writing() as connection:
        user = await fleet.add_user(
            connection,
            asked.name,
            asked.role,
            password=kept,
            is_temporary=True,
            actor=operator_of(request),
            now=context.clock(),
        )
    return CreatedUser(user=show_user(user), password=made)


@get("/users/{name:str}", summary="Show a user", role=Role.ADMIN)
async def get_user(request: ServerRequest, name: str) -> Response[UserEntry]:
    """Return one user."""
    async with context_of(request).database.reading() as connection:
        shown = show_user(await fleet.user_called(connection, name))
    return tagged(request, shown, of=[shown.role, shown.state])


@patch("/users/{name:str}", summary="Change a user", body=ChangedUser, role=Role.ADMIN, dry_run=True)
async def change_user(request: ServerRequest, name: str) -> UserEntry:
    """Give a user another role, lock it out (all its sessions end, its tokens stop), or let it in again."""
    context = context_of(request)
    asked = await read_json(request, ChangedUser)
    async with context.database.writing() as connection:
        present = show_user(await fleet.user_called(connection, name))
        expect(request, [present.role, present.state])
        user = await fleet.change_user(
            connection,
            name,
            role=asked.role,
            is_disabled=asked.disabled,
            actor=operator_of(request),
            now=context.clock(),
        )
    return show_user(user)


@post(
    "/users/{name:str}/password",
    status_code=200,
    summary="Give a user another password",
    body=NewPassword,
    role=Role.ADMIN,
)
async def reset_password(request: ServerRequest, name: str) -> GivenPassword:
    """Give a user a password for the next sign-in, where another has to be chosen; all its sessions end."""
    context, actor = context_of(request), actor_of(request)
    asked = await read_json(request, NewPassword)
    made = None if asked.password is not None else make_password()
    password = made or fleet.check_password(asked.password or "", name)
    kept = await context.passwords.hash(password)
    async with context.database.writing() as connection:
        user = await fleet.user_called(connection, name)
        if user.id == actor.user_id:
            raise ConflictError("change your own password at /whoami/password, by the present one")
        await fleet.set_password(
            connection, name, password=kept, is_temporary=True, actor=actor.name, now=context.clock()
        )
    return GivenPassword(password=made)


@delete("/users/{name:str}", status_code=204, summary="Remove a user", role=Role.ADMIN, dry_run=True)
async def remove_user(request: ServerRequest, name: str) -> None:
    """Forget a user with its sessions and tokens; what it did stays in the audit."""
    context = context_of(request)
    async with context.database.writing() as connection:
        present = show_user(await fleet.user_called(connection, name))
        expect(request, [present.role, present.state])
        await fleet.remove_user(connection, name, actor=operator_of(request), now=context.clock())


@get("/tokens", summary="List tokens")
async def list_tokens(
    request: ServerRequest,
    user: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[TokenEntry]:
    """Return one's own tokens, or those of all for an administrator; `user` names whose. Newest first."""
    context = context_of(request)
    async with context.database.reading() as connection:
        known = await fleet.tokens_of(connection, actor_of(request))
    shown = [show_token(one, context.clock()) for one in known if user is None or one.owner == user]
    return page_of(shown, lambda one: str(one.id), limit=limit, after=after)


@post("/tokens", status_code=201, summary="Make a token", body=NewTokenRequest, role=Role.VIEWER)
async def create_token(request: ServerRequest) -> CreatedToken:
    """Make a token that may no more than who asks, and is shown this once."""
    context, actor = context_of(request), actor_of(request)
    asked = await read_json(request, NewTokenRequest)
    async with context.database.writing() as connection:
        made = await fleet.add_token(
            connection,
            asked.name,
            role=asked.role or actor.role,
            scopes=tuple(asked.scopes),
            expires=moment_of(asked.expires, "expires"),
            actor=actor,
            now=context.clock(),
        )
    return CreatedToken(token=made.secret, about=show_token(made.token, context.clock()))


@get("/tokens/{token_id:int}", summary="Show a token")
async def get_token(request: ServerRequest, token_id: int) -> TokenEntry:
    """Return one token; the secret itself is not kept."""
    context = context_of(request)
    async with context.database.reading() as connection:
        token = await fleet.token_numbered(connection, token_id, actor=actor_of(request))
    return show_token(token, context.clock())


@delete("/tokens/{token_id:int}", status_code=204, summary="Revoke a token", role=Role.VIEWER)
async def revoke_token(request: ServerRequest, token_id: int) -> None:
    """Make a token worthless at once: one's own, or any for an administrator."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await fleet.revoke_token(connection, token_id, actor=actor_of(request), now=context.clock())


HANDLERS = [
    show_whoami,
    change_own_password,
    list_sessions,
    end_session,
    list_users,
    create_user,
    get_user,
    change_user,
    reset_password,
    remove_user,
    list_tokens,
    create_token,
    get_token,
    revoke_token,
]
