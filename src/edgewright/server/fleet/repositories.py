"""Giving devices a repository hosted here, and secrets that open it."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.fleet.membership import client_called, secret_digest
from edgewright.server.store import audit, repositories
from edgewright.server.store.repositories import Kind, Repository, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A new secret that opens a repository; shown once and not kept. `username` is for Basic alone."""

    way: Way
    username: str | None
    secret: str


async def repository_of(connection: AsyncConnection, client_id: str) -> Repository:
    """Return the repository of a device; raises `NotFoundError`."""
    await client_called(connection, client_id)
    found = await repositories.get(connection, client_id)
    if found is None:
        raise NotFoundError(
            f"{client_id} has no repository; 'edgewright repository create {client_id}' makes one"
        )
    return found


async def hosted_of(connection: AsyncConnection, client_id: str) -> Repository:
    """Return the repository of a device that is hosted here; raises `NotFoundError` and `ConflictError`."""
    found = await repository_of(connection, client_id)
    if found.kind != Kind.HOSTED:
        raise ConflictError(f"the repository of {client_id} is on another Git server: {found.url}")
    return found


async def host(connection: AsyncConnection, client_id: str, *, actor: str, now: datetime) -> bool:
    """Have a device's repository be hosted here; return whether that is new."""
    client = await client_called(connection, client_id)
    known = await repositories.get(connection, client_id)
    if known is not None and known.kind == Kind.HOSTED:
        return False
    if not client.is_accepted:
        raise ConflictError(f"device '{client_id}' is retired; accept it first")
    if known is None:
        await repositories.add(connection, client_id, Kind.HOSTED, None, now)
    else:
        await repositories.move(connection, client_id, Kind.HOSTED, None)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="set repository",
        subject=client_id,
        before=None if known is None else {"kind": known.kind, "url": known.url},
        after={"kind": Kind.HOSTED},
    )
    return known is None


async def remove(connection: AsyncConnection, client_id: str, *, actor: str, now: datetime) -> Repository:
    """Forget a device's repository and return what it was; its files are the caller's to delete."""
    known = await repository_of(connection, client_id)
    await repositories.remove(connection, client_id)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="remove repository",
        subject=client_id,
        before={"kind": known.kind, "url": known.url},
    )
    return known


async def make_secret(
    connection: AsyncConnection, client_id: str, way: Way, *, actor: str, now: datetime
) -> Secret:
    """Make a secret that opens a hosted repository; the one before of this kind opens nothing any more."""
    await hosted_of(connection, client_id)
    made = secrets.token_urlsafe(32)
    before = await repositories.digests(connection, client_id)
    await repositories.set_digest(connection, client_id, way, secret_digest(made))
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="make repository secret",
        subject=client_id,
        way=way,
        before={way: "set" if way in before else "none"},
        after={way: "set"},
    )
    return Secret(way=way, username=client_id if way == Way.BASIC else None, secret=made)


async def withdraw_secret(
    connection: AsyncConnection, client_id: str, way: Way, *, actor: str, now: datetime
) -> None:
    """Have no secret shown this way open a repository; raises `NotFoundError` if none does."""
    await hosted_of(connection, client_id)
    if way not in await repositories.digests(connection, client_id):
        raise NotFoundError(f"the repository of {client_id} is opened by no {way}")
    await repositories.set_digest(connection, client_id, way, None)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="withdraw repository secret",
        subject=client_id,
        way=way,
        before={way: "set"},
        after={way: "none"},
    )
