"""Who may do what: users, their sessions in browsers, and tokens for programs.

Secrets are made here, handed out once, and kept as digests. Nothing secret is written into the audit.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.claims import Known
from edgewright.server.domain.passwords import password_fault
from edgewright.server.domain.roles import Actor, Role, check_scopes, check_user_name
from edgewright.server.errors import ConflictError, Fault, ForbiddenError, InvalidError, NotFoundError
from edgewright.server.fleet.membership import secret_digest
from edgewright.server.store import accounts, audit
from edgewright.server.store.accounts import Session, Token, User
from edgewright.server.store.database import announce

FIRST_ADMINISTRATOR = "admin"
# A session ends when nobody used it for so long, and at that age in any case.
IDLE = timedelta(hours=12)
LONGEST_SESSION = timedelta(days=7)
MOST_SESSIONS = 50
# How exactly it is known when a session or a token was used last; writing it costs a transaction.
SEEN_EVERY = timedelta(minutes=5)
LONGEST_NAME = 100
# What the audit says of names that nobody has; strangers can try as many as they like, so few are kept.
UNKNOWN_NAME = "an unknown name"
MOST_UNKNOWN = 1000
TOKEN_PREFIX = "ewo1."  # noqa: S105 - what tokens begin with, so that they can be found where they do not belong


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made; `secret` is shown once and not kept."""

    token: Token
    secret: str


def make_token_secret() -> str:
    """Return the secret of a new token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


# --- Who makes a request ------------------------------------------------------------------------------


async def actor_with_token(
    connection: AsyncConnection, secret: str, *, now: datetime
) -> tuple[Actor, Token] | None:
    """Return whom a token speaks for: never more than its owner may at this moment."""
    token = await accounts.token_of(connection, secret_digest(secret))
    if token is None or (token.expires is not None and now >= token.expires):
        return None
    role, name = Role(token.role), f"operator {token.name}"
    if token.user_id is not None:
        owner = await accounts.user_numbered(connection, token.user_id)
        if owner is None or owner.disabled is not None:
            return None
        role, name = role.at_most(Role(owner.role)), owner.name
    actor = Actor(
        name=name,
        role=role,
        user_id=token.user_id,
        via=f"token {token.name}",
        token_id=token.id,
        scopes=token.areas,
    )
    return actor, token


async def actor_with_session(
    connection: AsyncConnection, secret: str, *, now: datetime
) -> tuple[Actor, Session] | None:
    """Return who is signed in with a session that is not over."""
    session = await accounts.session_of(connection, secret_digest(secret))
    if session is None or is_over(session, now):
        return None
    user = await accounts.user_numbered(connection, session.user_id)
    if user is None or user.disabled is not None:
        return None
    actor = Actor(
        name=user.name,
        role=Role(user.role),
        user_id=user.id,
        via="browser",
        session_id=session.id,
        is_temporary=user.is_temporary and session.method == "password",
    )
    return actor, session


def is_over(session: Session, now: datetime) -> bool:
    """Whether a session has ended by itself."""
    return now >= session.created + LONGEST_SESSION or now >= session.seen + IDLE


# --- Sessions -----------------------------------------------------------------------------------------


async def sign_in(
    connection: AsyncConnection, user: User, *, method: str, address: str, browser: str, now: datetime
) -> str:
    """Begin a session and return its secret; always a new one, whatever the browser showed before."""
    secret = secrets.token_urlsafe(32)
    await accounts.forget_sessions(connection, created_before=now - LONGEST_SESSION, seen_before=now - IDLE)
    for old in (await accounts.sessions_of(connection, user.id))[MOST_SESSIONS - 1 :]:
        await accounts.end_session(connection, old.id)
    await accounts.add_session(
        connection,
        digest=secret_digest(secret),
        user_id=user.id,
        method=method,
        now=now,
        address=address,
        browser=browser[:200],
    )
    await accounts.change_user(connection, user.id, signed_in=now)
    await audit.note(connection, now=now, actor=user.name, action="sign in", subject=user.name, method=method)
    announce(connection, "accounts")
    return secret


async def arrive(connection: AsyncConnection, known: Known, *, now: datetime) -> User:
    """Return the user who comes from the identity provider, made or with another role as that says.

    Who is known here under the same name by a password is somebody else until an administrator says
    otherwise: a provider must not be able to take over a user. Raises `ForbiddenError` and `ConflictError`.
    """
    if known.role is None:
        raise ForbiddenError("no group of yours may use this server; ask an administrator of it")
    user = await accounts.user_known_to(connection, known.issuer, known.subject)
    if user is not None and user.disabled is not None:
        raise ForbiddenError("you are locked out here; ask an administrator of this server")
    if user is None:
        if await accounts.user_named(connection, known.name) is not None:
            raise ConflictError(
                f"there is another user '{known.name}' here; an administrator has to remove that one first"
            )
        number = await accounts.add_user(
            connection,
            name=known.name,
            role=known.role,
            now=now,
            issuer=known.issuer,
            subject=known.subject,
        )
        action, before = "add user", None
    elif user.role == known.role:
        return user
    else:
        await accounts.change_user(connection, user.id, role=known.role.value)
        number, action, before = user.id, "change user", shown(user)
    changed = await accounts.user_numbered(connection, number)
    assert changed is not None  # noqa: S101 - it was written in this transaction
    await audit.note(
        connection,
        now=now,
        actor="identity provider",
        action=action,
        subject=changed.name,
        before=before,
        after=shown(changed),
    )
    announce(connection, "accounts")
    return changed


async def note_refused(connection: AsyncConnection, user: User | None, why: str, *, now: datetime) -> None:
    """Write down that somebody was not signed in.

    The name is written down only if there is such a user: people type passwords there, too.
    """
    subject = user.name if user else UNKNOWN_NAME
    # Also for a user there is, so that it takes the same time.
    await audit.forget(connection, UNKNOWN_NAME, keep=MOST_UNKNOWN)
    await audit.note(connection, now=now, actor="somebody", action="refuse sign in", subject=subject, why=why)
    announce(connection, "accounts")


async def sign_out(connection: AsyncConnection, secret: str, *, now: datetime) -> None:
    """End the session with this secret, if there is one."""
    found = await actor_with_session(connection, secret, now=now)
    if found is not None:
        actor, session = found
        await accounts.end_session(connection, session.id)
        await audit.note(connection, now=now, actor=actor.name, action="sign out", subject=actor.name)
        announce(connection, "accounts")


async def end_session(connection: AsyncConnection, session_id: int, *, actor: Actor, now: datetime) -> None:
    """End one of the actor's own sessions; raises `NotFoundError` for all others alike."""
    own = await accounts.sessions_of(connection, actor.user_id) if actor.user_id is not None else []
    found = next((session for session in own if session.id == session_id), None)
    if found is None:
        raise NotFoundError(f"you have no session {session_id}")
    await accounts.end_session(connection, found.id)
    await audit.note(
        connection,
        now=now,
        actor=actor.name,
        action="end session",
        subject=actor.name,
        before={"session": found.id, "address": found.address, "browser": found.browser},
    )
    announce(connection, "accounts")


# --- Users --------------------------------------------------------------------------------------------


async def user_called(connection: AsyncConnection, name: str) -> User:
    """Return the user of that name; raises `NotFoundError`."""
    user = await accounts.user_named(connection, name.strip().lower())
    if user is None:
        raise NotFoundError(f"no user '{name}' is known")
    return user


def check_password(password: str, name: str, *, field: str = "password") -> str:
    """Return the password if it is good enough; raises `InvalidError`."""
    fault = password_fault(password, name)
    if fault is not None:
        raise InvalidError("the password cannot be used", Fault(field=field, message=fault))
    return password


async def add_user(
    connection: AsyncConnection,
    name: str,
    role: Role,
    *,
    password: str | None,
    is_temporary: bool,
    actor: str,
    now: datetime,
) -> User:
    """Make a user; `password` is the hash, None for somebody who comes by the identity provider."""
    kept = check_user_name(name)
    if await accounts.user_named(connection, kept) is not None:
        raise ConflictError(f"there is a user '{kept}' already")
    await accounts.add_user(
        connection, name=kept, role=role, password=password, is_temporary=is_temporary, now=now
    )
    user = await user_called(connection, kept)
    await audit.note(connection, now=now, actor=actor, action="add user", subject=kept, after=shown(user))
    announce(connection, "accounts")
    return user


async def change_user(
    connection: AsyncConnection,
    name: str,
    *,
    role: Role | None = None,
    is_disabled: bool | None = None,
    actor: str,
    now: datetime,
) -> User:
    """Give a user another role, or lock it out or let it in again; the sessions of one locked out end.

    Raises `ConflictError` where nobody would be left who may administer.
    """
    user = await user_called(connection, name)
    values: dict[str, object] = {}
    if role is not None and role != user.role:
        values["role"] = role.value
    if is_disabled is not None and is_disabled != (user.disabled is not None):
        values["disabled"] = now if is_disabled else None
    if not values:
        return user
    if values.get("disabled") is not None or (role is not None and role is not Role.ADMIN):
        await _keep_an_admin(connection, user)
    await accounts.change_user(connection, user.id, **values)
    if values.get("disabled") is not None:
        await accounts.end_sessions(connection, user.id)
    changed = await user_called(connection, user.name)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="change user",
        subject=user.name,
        before=shown(user),
        after=shown(changed),
    )
    announce(connection, "accounts")
    return changed


async def set_password(
    connection: AsyncConnection,
    name: str,
    *,
    password: str,
    is_temporary: bool,
    keep_session: int | None = None,
    actor: str,
    now: datetime,
) -> User:
    """Give a user another password (the hash); all its sessions end, but for the one kept."""
    user = await user_called(connection, name)
    await accounts.change_user(connection, user.id, password=password, is_temporary=is_temporary)
    await accounts.end_sessions(connection, user.id, keep=keep_session)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="change password",
        subject=user.name,
        is_temporary=is_temporary,
    )
    announce(connection, "accounts")
    return await user_called(connection, user.name)


async def remove_user(connection: AsyncConnection, name: str, *, actor: str, now: datetime) -> None:
    """Forget a user, and with it its sessions and tokens; what it did stays in the audit."""
    user = await user_called(connection, name)
    await _keep_an_admin(connection, user)
    await accounts.remove_user(connection, user.id)
    await audit.note(
        connection, now=now, actor=actor, action="remove user", subject=user.name, before=shown(user)
    )
    announce(connection, "accounts")


def shown(user: User) -> dict[str, object]:
    """Return what the audit says of a user."""
    return {
        "role": user.role,
        "disabled": user.disabled is not None,
        "password": user.password is not None,
        "identity_provider": user.issuer,
    }


async def _keep_an_admin(connection: AsyncConnection, user: User) -> None:
    if user.role != Role.ADMIN or user.disabled is not None:
        return
    if not await accounts.other_admins(connection, user.id):
        raise ConflictError(
            f"'{user.name}' is the only administrator who can sign in; make another one first"
        )


# --- Tokens -------------------------------------------------------------------------------------------


async def add_token(
    connection: AsyncConnection,
    name: str,
    *,
    role: Role,
    scopes: tuple[str, ...],
    expires: datetime | None,
    actor: Actor,
    now: datetime,
) -> NewToken:
    """Make a token that may no more than whoever makes it; raises `InvalidError` where it would."""
    kept = " ".join(name.split())
    if not kept or len(kept) > LONGEST_NAME or not kept.isprintable():
        message = f"expected 1 to {LONGEST_NAME} characters that say what the token is for"
        raise InvalidError("the token cannot be made", Fault(field="name", message=message))
    if not actor.may(role):
        message = f"you are {actor.role}; a token of yours can be that at most"
        raise InvalidError("the token cannot be made", Fault(field="role", message=message))
    if expires is not None and expires <= now:
        raise InvalidError("the token cannot be made", Fault(field="expires", message="is in the past"))
    if actor.token_id is not None:
        expires = await _no_longer_than(connection, actor.token_id, expires)
    secret = make_token_secret()
    number = await accounts.add_token(
        connection,
        digest=secret_digest(secret),
        user_id=actor.user_id,
        name=kept,
        role=role,
        scopes=check_scopes(scopes),
        now=now,
        expires=expires,
    )
    token = await accounts.token_numbered(connection, number)
    assert token is not None  # noqa: S101 - it was made in this transaction
    await audit.note(
        connection,
        now=now,
        actor=actor.name,
        action="add token",
        subject=kept,
        after=shown_token(token),
        token=token.id,
    )
    announce(connection, "accounts")
    return NewToken(token=token, secret=secret)


async def tokens_of(connection: AsyncConnection, actor: Actor) -> list[Token]:
    """Return the tokens the actor may know of: its own, or all of them for an administrator."""
    known = await accounts.every_token(connection)
    if actor.may(Role.ADMIN):
        return known
    return [token for token in known if token.user_id is not None and token.user_id == actor.user_id]


async def token_numbered(connection: AsyncConnection, token_id: int, *, actor: Actor) -> Token:
    """Return one of the tokens the actor may know of; raises `NotFoundError`."""
    known = await tokens_of(connection, actor)
    found = next((token for token in known if token.id == token_id), None)
    if found is None:
        raise NotFoundError(f"no token {token_id} is known")
    return found


async def revoke_token(connection: AsyncConnection, token_id: int, *, actor: Actor, now: datetime) -> None:
    """Make a token worthless; its next request is refused."""
    token = await token_numbered(connection, token_id, actor=actor)
    await accounts.remove_token(connection, token.id)
    await audit.note(
        connection,
        now=now,
        actor=actor.name,
        action="revoke token",
        subject=token.name,
        before=shown_token(token),
        token=token.id,
    )
    announce(connection, "accounts")


def shown_token(token: Token) -> dict[str, object]:
    """Return what the audit says of a token."""
    return {
        "role": token.role,
        "scopes": list(token.areas),
        "user": token.owner,
        "expires": token.expires.isoformat() if token.expires else None,
    }


async def _no_longer_than(
    connection: AsyncConnection, token_id: int, expires: datetime | None
) -> datetime | None:
    """Return when a token made with another one expires: no later than that one."""
    parent = await accounts.token_numbered(connection, token_id)
    if parent is None or parent.expires is None:
        return expires
    return parent.expires if expires is None else min(expires, parent.expires)
