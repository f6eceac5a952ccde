"""`/account`, `/users`, `/tokens`: one's own account, who else there is, and what programs come with.

What is shown once is part of the answer to the form and of nothing else: no address, cookie or log has it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from litestar import Response, get, post

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.passwords import make_password
from edgewright.server.domain.roles import READ, SCOPES, Role
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.operator_api.access import actor_of
from edgewright.server.operator_api.account_documents import CreatedToken, CreatedUser
from edgewright.server.operator_api.account_views import show_sessions, show_token, show_user
from edgewright.server.operator_api.paging import page_of
from edgewright.server.store import accounts
from edgewright.server.web.forms import Form
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.words import Tone

# How long a token may be good for, in days; an empty choice is for ever.
TERMS = (
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("day", "until a day I choose"),
    ("", "for ever"),
)
ROLES = (
    (Role.VIEWER, "Viewer: sees everything"),
    (Role.OPERATOR, "Operator: also changes what runs where"),
    (Role.ADMIN, "Administrator: also says who may do what"),
)
_USERS_SHOWN = 100


# --- One's own account --------------------------------------------------------------------------------


@get("/account")
async def show_account(request: ServerRequest) -> Response[Any]:
    """Show who is signed in, and where else."""
    context, actor = context_of(request), actor_of(request)
    user, sessions = None, []
    if actor.user_id is not None:
        async with context.database.reading() as connection:
            user = await accounts.user_numbered(connection, actor.user_id)
            sessions = await accounts.sessions_of(connection, actor.user_id)
    shown = show_sessions(sessions, actor, context.clock())
    values = {"user": None if user is None else show_user(user), "sessions": shown}
    return page(request, "account.html", values)


@post("/account/sessions/{session_id:int}/end", status_code=303, role=Role.VIEWER)
async def end_session(request: ServerRequest, session_id: int) -> Response[None]:
    """Sign out in another browser."""
    context, actor = context_of(request), actor_of(request)
    async with context.database.writing() as connection:
        await fleet.end_session(connection, session_id, actor=actor, now=context.clock())
    if session_id == actor.session_id:
        return see_other("/login")
    return see_other("/account", "That session has ended.")


# --- Users --------------------------------------------------------------------------------------------


@get("/users", role=Role.ADMIN)
async def show_users(request: ServerRequest, q: str = "", after: str | None = None) -> Response[Any]:
    """Show who there is, and the form for one more."""
    return await _users(request, q=q, after=after)


@post("/users", status_code=200, role=Role.ADMIN)
async def add_user(request: ServerRequest) -> Response[Any]:
    """Make a user and show the password for the first sign-in, this once."""
    context, form = context_of(request), await Form.of(request)
    password = make_password()
    kept = await context.passwords.hash(password)
    try:
        async with context.database.writing() as connection:
            user = await fleet.add_user(
                connection,
                form.text("name"),
                _role(form.text("role")),
                password=kept,
                is_temporary=True,
                actor=actor_of(request).name,
                now=context.clock(),
            )
    except InvalidError as error:
        return await _users(request, form=form, faults=error.faults)
    except ConflictError as error:
        return await _users(request, form=form, faults=(Fault(field="name", message=str(error)),))
    return await _users(request, made=CreatedUser(user=show_user(user), password=password))


@get("/users/{name:str}", role=Role.ADMIN)
async def show_one_user(request: ServerRequest, name: str) -> Response[Any]:
    """Show one user, and what can be changed about it."""
    return await _user(request, name)


@post("/users/{name:str}/role", status_code=303, role=Role.ADMIN)
async def change_role(request: ServerRequest, name: str) -> Response[Any]:
    """Say what a user may do."""
    form = await Form.of(request)
    role = _role(form.text("role"))
    return await _change(request, name, f"{name} is {role} from now on.", role=role)


@post("/users/{name:str}/disable", status_code=303, role=Role.ADMIN)
async def disable_user(request: ServerRequest, name: str) -> Response[Any]:
    """Lock a user out."""
    return await _change(request, name, f"{name} is locked out.", is_disabled=True)


@post("/users/{name:str}/enable", status_code=303, role=Role.ADMIN)
async def enable_user(request: ServerRequest, name: str) -> Response[Any]:
    """Let a user in again."""
    return await _change(request, name, f"{name} may sign in again.", is_disabled=False)


@post("/users/{name:str}/password", status_code=200, role=Role.ADMIN)
async def reset_password(request: ServerRequest, name: str) -> Response[Any]:
    """Give a user a password for the next sign-in and show it, this once."""
    context, actor = context_of(request), actor_of(request)
    async with context.database.reading() as connection:
        user = await fleet.user_called(connection, name)
    if user.id == actor.user_id:
        return see_other("/account/password")
    password = make_password()
    kept = await context.passwords.hash(password)
    async with context.database.writing() as connection:
        await fleet.set_password(
            connection, name, password=kept, is_temporary=True, actor=actor.name, now=context.clock()
        )
    return await _user(request, name, password=password)


@post("/users/{name:str}/remove", status_code=303, role=Role.ADMIN)
async def remove_user(request: ServerRequest, name: str) -> Response[Any]:
    """Forget a user with its sessions and tokens."""
    context, actor = context_of(request), actor_of(request)
    try:
        async with context.database.writing() as connection:
            await fleet.remove_user(connection, name, actor=actor.name, now=context.clock())
    except ConflictError as error:
        return see_other(f"/users/{name}", _sentence(error), Tone.BAD)
    return see_other("/login" if name == actor.name else "/users", f"{name} was removed.")


async def _users(
    request: ServerRequest,
    *,
    q: str = "",
    after: str | None = None,
    form: Form | None = None,
    faults: Sequence[Fault] = (),
    made: CreatedUser | None = None,
) -> Response[Any]:
    async with context_of(request).database.reading() as connection:
        known = [show_user(user) for user in await accounts.every_user(connection)]
    wanted = [user for user in known if q.strip().lower() in user.name]
    values = {
        "users": page_of(wanted, lambda one: one.name, limit=_USERS_SHOWN, after=after),
        "q": q,
        "roles": ROLES,
        "typed": form or Form({}),
        "faults": faults,
        "made": made,
    }
    return page(request, "users.html", values, status=422 if faults else 200)


async def _user(request: ServerRequest, name: str, *, password: str | None = None) -> Response[Any]:
    context = context_of(request)
    async with context.database.reading() as connection:
        user = await fleet.user_called(connection, name)
        sessions = await accounts.sessions_of(connection, user.id)
        tokens = [one for one in await accounts.every_token(connection) if one.user_id == user.id]
    now = context.clock()
    values = {
        "user": show_user(user),
        "sessions": show_sessions(sessions, actor_of(request), now),
        "tokens": [show_token(token, now) for token in tokens],
        "roles": ROLES,
        "password": password,
        "is_self": user.id == actor_of(request).user_id,
    }
    return page(request, "user.html", values)


async def _change(
    request: ServerRequest,
    name: str,
    told: str,
    *,
    role: Role | None = None,
    is_disabled: bool | None = None,
) -> Response[None]:
    context, actor = context_of(request), actor_of(request)
    try:
        async with context.database.writing() as connection:
            await fleet.change_user(
                connection, name, role=role, is_disabled=is_disabled, actor=actor.name, now=context.clock()
            )
    except ConflictError as error:
        return see_other(f"/users/{name}", _sentence(error), Tone.BAD)
    return see_other(f"/users/{name}", told)


# --- Tokens -------------------------------------------------------------------------------------------


@get("/tokens")
async def show_tokens(request: ServerRequest, after: str | None = None) -> Response[Any]:
    """Show the tokens one may know of, and the form for one more."""
    return await _tokens(request, after=after)


@post("/tokens", status_code=200, role=Role.VIEWER)
async def add_token(request: ServerRequest) -> Response[Any]:
    """Make a token and show it, this once."""
    context, actor, form = context_of(request), actor_of(request), await Form.of(request)
    now = context.clock()
    try:
        async with context.database.writing() as connection:
            new = await fleet.add_token(
                connection,
                form.text("name"),
                role=_role(form.text("role")),
                scopes=tuple(form.every("scopes")),
                expires=_expires(form, now),
                actor=actor,
                now=now,
            )
    except InvalidError as error:
        return await _tokens(request, form=form, faults=error.faults)
    return await _tokens(request, made=CreatedToken(token=new.secret, about=show_token(new.token, now)))


@post("/tokens/{token_id:int}/revoke", status_code=303, role=Role.VIEWER)
async def revoke_token(request: ServerRequest, token_id: int) -> Response[None]:
    """Make a token worthless."""
    context, actor = context_of(request), actor_of(request)
    async with context.database.writing() as connection:
        token = await fleet.token_numbered(connection, token_id, actor=actor)
        await fleet.revoke_token(connection, token_id, actor=actor, now=context.clock())
    return see_other("/tokens", f"The token {token.name} opens nothing any more.")


async def _tokens(
    request: ServerRequest,
    *,
    after: str | None = None,
    form: Form | None = None,
    faults: Sequence[Fault] = (),
    made: CreatedToken | None = None,
) -> Response[Any]:
    context, actor = context_of(request), actor_of(request)
    now = context.clock()
    async with context.database.reading() as connection:
        known = [show_token(token, now) for token in await fleet.tokens_of(connection, actor)]
    values = {
        "tokens": page_of(known, lambda one: str(one.id), limit=_USERS_SHOWN, after=after),
        "roles": [(role, text) for role, text in ROLES if actor.may(role)],
        "terms": TERMS,
        "read": READ,
        "areas": [scope for scope in SCOPES if scope != READ],
        "typed": form or Form({"role": [Role.VIEWER], "term": ["90"]}),
        "faults": faults,
        "made": made,
        "tomorrow": (now + timedelta(days=1)).date().isoformat(),
    }
    return page(request, "tokens.html", values, status=422 if faults else 200)


def _expires(form: Form, now: datetime) -> datetime | None:
    """Return when a token ends: after so many days, or at the end of a day (UTC), or never."""
    term = form.text("term")
    if not term:
        return None
    if term != "day":
        if term not in dict(TERMS):
            raise InvalidError("", Fault(field="term", message="is none of the choices"))
        return now + timedelta(days=int(term))
    try:
        day = datetime.fromisoformat(form.text("day")).date()
    except ValueError as error:
        message = "expected a day, as in 2027-01-31"
        raise InvalidError("", Fault(field="day", message=message)) from error
    end = datetime.combine(day, time.max, tzinfo=UTC)
    if end <= now:
        raise InvalidError("", Fault(field="day", message="is in the past"))
    return end


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        message = f"expected one of {', '.join(Role)}"
        raise InvalidError("there is no such role", Fault(field="role", message=message)) from error


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


HANDLERS = [
    show_account,
    end_session,
    show_users,
    add_user,
    show_one_user,
    change_role,
    disable_user,
    enable_user,
    reset_password,
    remove_user,
    show_tokens,
    add_token,
    revoke_token,
]
