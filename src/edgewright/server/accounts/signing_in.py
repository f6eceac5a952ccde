"""Passwords held against those of users, and sessions begun: for the pages and for the operator API alike."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.accounts.passwords import is_outdated
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.fleet.membership import secret_digest
from edgewright.server.listeners.guard import SESSION_COOKIE, address_of
from edgewright.server.operator_api.access import actor_of
from edgewright.server.store import accounts


@dataclass(frozen=True, slots=True)
class Tried:
    """How an attempt to sign in ended: with a user, without one, or not yet allowed."""

    user: accounts.User | None = None
    wait_seconds: int = 0


async def try_password(request: ServerRequest, name: str, password: str) -> Tried:
    """Hold a password against that of a user, as often as the throttle allows.

    Whether the name is unknown, locked or without a password is not to be seen, nor in the time it takes.
    """
    context = context_of(request)
    now, address = context.clock(), address_of(request)
    wait = context.throttle.attempt(name[:200], address, now=now)
    if wait.total_seconds() > 0:
        return Tried(wait_seconds=int(wait.total_seconds()) + 1)
    async with context.database.reading() as connection:
        user = await accounts.user_named(connection, name)
    is_right = await context.passwords.verify(user.password if user else None, password)
    if user is None or not is_right or user.disabled is not None:
        why = "wrong password" if user and not is_right else "no user who may"
        async with context.database.writing() as connection:
            await fleet.note_refused(connection, user, why, now=now)
        return Tried()
    context.throttle.succeeded(name[:200], address)
    if user.password is not None and is_outdated(user.password):
        kept = await context.passwords.hash(password)
        async with context.database.writing() as connection:
            if not await _is_as_it_was(connection, user):
                return Tried()
            await accounts.change_user(connection, user.id, password=kept)
        user = replace(user, password=kept)
    return Tried(user)


async def confirm_password(request: ServerRequest, password: str, *, field: str) -> None:
    """Raise `InvalidError` unless `password` is that of who is signed in."""
    tried = await try_password(request, actor_of(request).name, password)
    if tried.wait_seconds:
        message = f"was wrong too often; wait {in_words(tried.wait_seconds)}"
        raise InvalidError("the password was not changed", Fault(field=field, message=message))
    if tried.user is None:
        fault = Fault(field=field, message="is not your password")
        raise InvalidError("the password was not changed", fault)


async def begin_session(request: ServerRequest, user: accounts.User, method: str) -> str | None:
    """Begin a session in place of the one this browser had, and return its secret.

    None if the user went, was locked out or got another password since it was looked at: holding a password
    against its hash takes its time, and whoever ends all sessions of a user means those under way as well.
    """
    context = context_of(request)
    async with context.database.writing() as connection:
        if not await _is_as_it_was(connection, user):
            return None
        old = await accounts.session_of(connection, secret_digest(request.cookies.get(SESSION_COOKIE, "")))
        if old is not None:
            await accounts.end_session(connection, old.id)
        return await fleet.sign_in(
            connection,
            user,
            method=method,
            address=address_of(request),
            browser=request.headers.get("user-agent", ""),
            now=context.clock(),
        )


async def choose_password(request: ServerRequest, present: str, new: str) -> accounts.User:
    """Give who is signed in another password, if they know the present one; all their sessions end.

    Raises `InvalidError` naming `password` (the present one) or `new`.
    """
    context, actor = context_of(request), actor_of(request)
    await confirm_password(request, present, field="password")
    fleet.check_password(new, actor.name, field="new")
    if new == present:
        fault = Fault(field="new", message="is the one you have already")
        raise InvalidError("the password was not changed", fault)
    kept = await context.passwords.hash(new)
    async with context.database.writing() as connection:
        return await fleet.set_password(
            connection, actor.name, password=kept, is_temporary=False, actor=actor.name, now=context.clock()
        )


async def _is_as_it_was(connection: AsyncConnection, user: accounts.User) -> bool:
    """Whether a user may still sign in, with the password that was looked at."""
    present = await accounts.user_numbered(connection, user.id)
    return present is not None and present.disabled is None and present.password == user.password


def in_words(count: int) -> str:
    """Return so many seconds as people say it."""
    if count < 90:
        return f"{count} seconds"
    return f"{-(-count // 60)} minutes"
