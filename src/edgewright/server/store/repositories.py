"""The Git repositories of devices: where they are, how far they were written and read, who may open them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import announce, touch
from edgewright.server.store.rows import all_of, among, one_of
from edgewright.server.store.tables import repositories


class Kind(StrEnum):
    """Whether this server hosts a repository, or pushes to a Git server of somebody else's."""

    HOSTED = "hosted"
    EXTERNAL = "external"


class Way(StrEnum):
    """How a secret made here is shown to this server."""

    BASIC = "basic"
    TOKEN = "token"  # noqa: S105 - a word
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What is kept of one repository, except the digests of secrets (`tables/repositories.py`).

    `url` is that of an external one.
    """

    client_id: str
    kind: Kind
    url: str | None
    created: datetime
    desired_commit: str | None = None
    desired_etag: str | None = None
    policy_tag: str | None = None
    signer: str | None = None
    pushed_commit: str | None = None
    current_commit: str | None = None
    adopted: str | None = None
    checked: datetime | None = None
    problem: str | None = None
    unread: str | None = None
    refused: str | None = None


_FIELDS = [repositories.c[name] for name in Repository.__dataclass_fields__]
_DIGESTS = {
    Way.BASIC: repositories.c.basic_digest,
    Way.TOKEN: repositories.c.token_digest,
    Way.WEBHOOK: repositories.c.webhook_digest,
}


async def get(connection: AsyncConnection, client_id: str) -> Repository | None:
    """Return the repository of a client, None if it has none."""
    return await one_of(connection, Repository, select(*_FIELDS).where(repositories.c.client_id == client_id))


async def every(
    connection: AsyncConnection, client_ids: Sequence[str] | None = None, *, kind: Kind | None = None
) -> list[Repository]:
    """Return all repositories, or those of these clients, or of one kind, by client id."""
    query = among(select(*_FIELDS), repositories.c.client_id, client_ids)
    if kind is not None:
        query = query.where(repositories.c.kind == kind)
    return await all_of(connection, Repository, query.order_by(repositories.c.client_id))


async def page(
    connection: AsyncConnection, *, after: str | None, limit: int, with_problem: bool = False
) -> list[Repository]:
    """Return at most `limit` repositories behind a client id, by client id."""
    query = select(*_FIELDS).order_by(repositories.c.client_id).limit(limit)
    if after is not None:
        query = query.where(repositories.c.client_id > after)
    if with_problem:
        query = query.where(_HAS_PROBLEM)
    return await all_of(connection, Repository, query)


async def count(connection: AsyncConnection, *, with_problem: bool = False) -> int:
    """Return how many repositories there are."""
    query = select(func.count()).select_from(repositories)
    if with_problem:
        query = query.where(_HAS_PROBLEM)
    return int(await connection.scalar(query) or 0)


async def signers(connection: AsyncConnection) -> set[str]:
    """Return the fingerprints of all keys that a repository still needs for its next commit."""
    query = select(repositories.c.signer).where(repositories.c.signer.is_not(None)).distinct()
    return set((await connection.scalars(query)).all())


async def add(
    connection: AsyncConnection, client_id: str, kind: Kind, url: str | None, now: datetime
) -> None:
    """Give a client a repository; it must not have one."""
    await connection.execute(
        repositories.insert().values(client_id=client_id, kind=kind, url=url, created=now)
    )
    touch(connection, client_id)
    _announce(connection, client_id)


async def move(connection: AsyncConnection, client_id: str, kind: Kind, url: str | None) -> None:
    """Have a client's repository be elsewhere from now on; what was written and read stays known."""
    await _set(connection, client_id, kind=kind, url=url, pushed_commit=None, problem=None)
    touch(connection, client_id)


async def remove(connection: AsyncConnection, client_id: str) -> None:
    """Forget that a client has a repository."""
    await connection.execute(delete(repositories).where(repositories.c.client_id == client_id))
    touch(connection, client_id)
    _announce(connection, client_id)


async def note_written(
    connection: AsyncConnection, client_id: str, *, commit: str, etag: str, policy_tag: str, signer: str
) -> None:
    """Note that `commit` is the head of `desired` as made here, and what it was made of."""
    await _set(
        connection, client_id, desired_commit=commit, desired_etag=etag, policy_tag=policy_tag, signer=signer
    )


async def note_pushed(
    connection: AsyncConnection, client_id: str, *, commit: str | None, now: datetime
) -> None:
    """Note where `desired` of an external repository is."""
    await _set(connection, client_id, pushed_commit=commit, checked=now)


async def note_read(
    connection: AsyncConnection,
    client_id: str,
    *,
    commit: str,
    adopted: str | None,
    unread: str | None,
    now: datetime,
) -> None:
    """Note up to which commit of `current` everything was taken, and what was not.

    `adopted` is what the device says of what it took up, as JSON; None leaves it as it was.
    """
    values = {"current_commit": commit, "unread": unread, "checked": now}
    if adopted is not None:
        values["adopted"] = adopted
    await _set(connection, client_id, **values)


async def note_checked(connection: AsyncConnection, client_id: str, *, now: datetime) -> None:
    """Note that the repository answered, with nothing new."""
    await connection.execute(
        repositories.update().where(repositories.c.client_id == client_id).values(checked=now)
    )


async def note_problem(connection: AsyncConnection, client_id: str, problem: str | None) -> None:
    """Note what keeps the repository from being written or read; None: nothing does."""
    query = select(repositories.c.problem).where(repositories.c.client_id == client_id)
    if await connection.scalar(query) != problem:
        await _set(connection, client_id, problem=problem)


async def note_refused(connection: AsyncConnection, client_id: str, refused: str | None) -> None:
    """Note why a commit made by hand was not taken; None: the last one was."""
    await _set(connection, client_id, refused=refused)


async def set_digest(connection: AsyncConnection, client_id: str, way: Way, digest: str | None) -> None:
    """Have the secret of this digest, and no other shown this way, open the repository; None: none does."""
    await _set(connection, client_id, **{_DIGESTS[way].name: digest})
    touch(connection, client_id)


async def digests(connection: AsyncConnection, client_id: str) -> dict[Way, str]:
    """Return the digests of a client's secrets, by how they are shown; none for who has no repository."""
    query = select(*_DIGESTS.values()).where(repositories.c.client_id == client_id)
    row = (await connection.execute(query)).first()
    if row is None:
        return {}
    return {way: digest for way, digest in zip(_DIGESTS, row, strict=True) if digest is not None}


async def _set(connection: AsyncConnection, client_id: str, **values: object) -> None:
    await connection.execute(
        repositories.update().where(repositories.c.client_id == client_id).values(**values)
    )
    _announce(connection, client_id)


def _announce(connection: AsyncConnection, client_id: str) -> None:
    announce(connection, "repositories", f"repository:{client_id}")


_HAS_PROBLEM = (
    repositories.c.problem.is_not(None)
    | repositories.c.unread.is_not(None)
    | repositories.c.refused.is_not(None)
    # What the device does not take up; `adopted` is JSON that was read before it was kept.
    | func.json_extract(repositories.c.adopted, "$.refused").is_not(None)
)
