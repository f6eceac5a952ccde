"""Users, sessions and tokens as they are kept: secrets as digests only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.roles import Role
from edgewright.server.store.rows import all_of, one_of
from edgewright.server.store.tables import sessions, tokens, users


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may sign in; `password` is a hash, None for who signs in at an identity provider."""

    id: int
    name: str
    role: str
    password: str | None
    is_temporary: bool
    issuer: str | None
    subject: str | None
    created: datetime
    disabled: datetime | None
    signed_in: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser in which somebody is signed in."""

    id: int
    digest: str
    user_id: int
    method: str
    created: datetime
    seen: datetime
    address: str
    browser: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a program shows; `owner` is the name of its user, None for one made at the machine."""

    id: int
    digest: str
    user_id: int | None
    name: str
    role: str
    scopes: str
    created: datetime
    expires: datetime | None
    used: datetime | None
    owner: str | None = None

    @property
    def areas(self) -> tuple[str, ...]:
        """What the token is restricted to, nothing if it is not."""
        return tuple(json.loads(self.scopes))


async def user_named(connection: AsyncConnection, name: str) -> User | None:
    """Return the user of that name."""
    return await one_of(connection, User, select(users).where(users.c.name == name))


async def user_numbered(connection: AsyncConnection, user_id: int) -> User | None:
    """Return the user of that number."""
    return await one_of(connection, User, select(users).where(users.c.id == user_id))


async def user_known_to(connection: AsyncConnection, issuer: str, subject: str) -> User | None:
    """Return the user whom the identity provider `issuer` calls `subject`."""
    return await one_of(
        connection, User, select(users).where(users.c.issuer == issuer, users.c.subject == subject)
    )


async def every_user(connection: AsyncConnection) -> list[User]:
    """Return all users by name."""
    return await all_of(connection, User, select(users).order_by(users.c.name))


async def is_without_users(connection: AsyncConnection) -> bool:
    """Whether nobody can sign in, as nobody was ever made."""
    return await connection.scalar(select(func.count()).select_from(users)) == 0


async def other_admins(connection: AsyncConnection, user_id: int) -> int:
    """Return how many enabled administrators there are beside one user."""
    found = await connection.scalar(
        select(func.count())
        .select_from(users)
        .where(users.c.role == Role.ADMIN.value, users.c.disabled.is_(None), users.c.id != user_id)
    )
    return found or 0


async def add_user(
    connection: AsyncConnection,
    *,
    name: str,
    role: Role,
    now: datetime,
    password: str | None = None,
    is_temporary: bool = False,
    issuer: str | None = None,
    subject: str | None = None,
) -> int:
    """Keep a new user and return its number; `password` is the hash."""
    done = await connection.execute(
        users.insert().values(
            name=name,
            role=role.value,
            password=password,
            is_temporary=is_temporary,
            issuer=issuer,
            subject=subject,
            created=now,
        )
    )
    return _number(done.inserted_primary_key)


async def change_user(connection: AsyncConnection, user_id: int, **values: object) -> None:
    """Set columns of a user."""
    await connection.execute(users.update().where(users.c.id == user_id).values(**values))


async def remove_user(connection: AsyncConnection, user_id: int) -> None:
    """Forget a user with its sessions and tokens."""
    await connection.execute(users.delete().where(users.c.id == user_id))


async def session_of(connection: AsyncConnection, digest: str) -> Session | None:
    """Return the session whose secret has this digest."""
    return await one_of(connection, Session, select(sessions).where(sessions.c.digest == digest))


async def sessions_of(connection: AsyncConnection, user_id: int) -> list[Session]:
    """Return the sessions of a user, the one used last first."""
    query = select(sessions).where(sessions.c.user_id == user_id)
    return await all_of(connection, Session, query.order_by(sessions.c.seen.desc(), sessions.c.id.desc()))


async def add_session(
    connection: AsyncConnection,
    *,
    digest: str,
    user_id: int,
    method: str,
    now: datetime,
    address: str,
    browser: str,
) -> None:
    """Keep a new session."""
    await connection.execute(
        sessions.insert().values(
            digest=digest,
            user_id=user_id,
            method=method,
            created=now,
            seen=now,
            address=address,
            browser=browser,
        )
    )


async def see_session(connection: AsyncConnection, session_id: int, *, now: datetime) -> None:
    """Note that a session is in use."""
    await connection.execute(sessions.update().where(sessions.c.id == session_id).values(seen=now))


async def end_session(connection: AsyncConnection, session_id: int) -> None:
    """End a session."""
    await connection.execute(sessions.delete().where(sessions.c.id == session_id))


async def end_sessions(connection: AsyncConnection, user_id: int, *, keep: int | None = None) -> None:
    """End the sessions of a user, but for the one numbered `keep`."""
    await connection.execute(
        sessions.delete().where(sessions.c.user_id == user_id, sessions.c.id != (keep or 0))
    )


async def forget_sessions(
    connection: AsyncConnection, *, created_before: datetime, seen_before: datetime
) -> None:
    """Delete sessions that are over by their age or because nobody used them."""
    await connection.execute(
        sessions.delete().where((sessions.c.created < created_before) | (sessions.c.seen < seen_before))
    )


def _tokens() -> Select[tuple[object, ...]]:
    owner = users.c.name.label("owner")
    return select(*tokens.c, owner).select_from(tokens.outerjoin(users, tokens.c.user_id == users.c.id))


async def token_of(connection: AsyncConnection, digest: str) -> Token | None:
    """Return the token whose secret has this digest."""
    return await one_of(connection, Token, _tokens().where(tokens.c.digest == digest))


async def token_numbered(connection: AsyncConnection, token_id: int) -> Token | None:
    """Return the token of that number."""
    return await one_of(connection, Token, _tokens().where(tokens.c.id == token_id))


async def every_token(connection: AsyncConnection) -> list[Token]:
    """Return all tokens, the newest first."""
    return await all_of(connection, Token, _tokens().order_by(tokens.c.id.desc()))


async def add_token(
    connection: AsyncConnection,
    *,
    digest: str,
    user_id: int | None,
    name: str,
    role: Role,
    scopes: tuple[str, ...],
    now: datetime,
    expires: datetime | None,
) -> int:
    """Keep a new token and return its number."""
    done = await connection.execute(
        tokens.insert().values(
            digest=digest,
            user_id=user_id,
            name=name,
            role=role.value,
            scopes=json.dumps(list(scopes)),
            created=now,
            expires=expires,
        )
    )
    return _number(done.inserted_primary_key)


async def use_token(connection: AsyncConnection, token_id: int, *, now: datetime) -> None:
    """Note that a token is in use."""
    await connection.execute(tokens.update().where(tokens.c.id == token_id).values(used=now))


async def remove_token(connection: AsyncConnection, token_id: int) -> None:
    """Forget a token."""
    await connection.execute(tokens.delete().where(tokens.c.id == token_id))


def _number(key: Sequence[int] | None) -> int:
    assert key is not None  # noqa: S101 - a row was inserted
    return key[0]
