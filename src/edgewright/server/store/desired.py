"""Manifests, bundles and deployment documents: the bytes devices fetch, each within one client (spec:
API-7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.clients import ClientState
from edgewright.server.store.database import EVERYBODY, touch
from edgewright.server.store.rows import all_of, among, one_of
from edgewright.server.store.tables import bundles, clients, deployments, documents, manifests, suggestions


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The manifest of one client as it is served."""

    version: int
    etag: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentDocument:
    """One deployment a client is to have, and its document."""

    id: str
    body: bytes


async def served(connection: AsyncConnection, client_id: str) -> Served | None:
    """Return a client's manifest; None if the client never had one."""
    query = select(manifests.c.version, manifests.c.etag, manifests.c.body)
    return await one_of(connection, Served, query.where(manifests.c.client_id == client_id))


async def standings(
    connection: AsyncConnection, client_id: str | None = None
) -> list[tuple[str, ClientState, str | None, str, str | None]]:
    """Return id, state, key digest, ETag of the manifest and tag of the suggested policy of every client.

    With `client_id` of that one alone.
    """
    everybody = select(suggestions.c.tag).where(suggestions.c.client_id == EVERYBODY).scalar_subquery()
    query = (
        select(
            clients.c.client_id,
            clients.c.state,
            clients.c.key_digest,
            manifests.c.etag,
            func.coalesce(suggestions.c.tag, everybody),
        )
        .join(manifests, manifests.c.client_id == clients.c.client_id)
        .outerjoin(suggestions, suggestions.c.client_id == clients.c.client_id)
    )
    if client_id is not None:
        query = query.where(clients.c.client_id == client_id)
    return [(row[0], ClientState(row[1]), *row[2:]) for row in await connection.execute(query)]


async def version(connection: AsyncConnection, client_id: str) -> int:
    """Return the version of the manifest the client is served, 0 if there never was one."""
    found = await connection.scalar(select(manifests.c.version).where(manifests.c.client_id == client_id))
    return 0 if found is None else int(found)


async def versions(connection: AsyncConnection, client_ids: Sequence[str] | None = None) -> dict[str, int]:
    """Return the version of every client's manifest, or of those of these clients, by client id."""
    query = select(manifests.c.client_id, manifests.c.version)
    rows = await connection.execute(among(query, manifests.c.client_id, client_ids))
    return {row.client_id: row.version for row in rows}


async def current_documents(connection: AsyncConnection, client_id: str) -> list[CurrentDocument]:
    """Return the documents of all deployments the client is to have, in the order they were created."""
    query = (
        select(deployments.c.id, documents.c.body)
        .join(
            documents,
            (documents.c.deployment_id == deployments.c.id) & (documents.c.digest == deployments.c.digest),
        )
        .where(deployments.c.client_id == client_id, deployments.c.deleted.is_(None))
        .order_by(deployments.c.position)
    )
    return await all_of(connection, CurrentDocument, query)


async def document(
    connection: AsyncConnection, client_id: str, deployment_id: str, digest: str
) -> bytes | None:
    """Return the document of that digest, if it is or lately was one of this client's deployment."""
    query = (
        select(documents.c.body)
        .join(deployments, deployments.c.id == documents.c.deployment_id)
        .where(
            deployments.c.client_id == client_id,
            documents.c.deployment_id == deployment_id,
            documents.c.digest == digest,
        )
    )
    found: bytes | None = await connection.scalar(query)
    return found


async def bundle(connection: AsyncConnection, client_id: str, digest: str) -> bytes | None:
    """Return the bundle of that digest, if it is or lately was this client's."""
    found: bytes | None = await connection.scalar(
        select(bundles.c.body).where(bundles.c.client_id == client_id, bundles.c.digest == digest)
    )
    return found


async def put_document(
    connection: AsyncConnection, deployment_id: str, digest: str, body: bytes, *, now: datetime
) -> None:
    """Make `body` the deployment's current document; the one before stays fetchable for a while."""
    await supersede_documents(connection, deployment_id, now=now)
    revived = await connection.execute(
        documents.update()
        .where(documents.c.deployment_id == deployment_id, documents.c.digest == digest)
        .values(superseded=None)
    )
    if revived.rowcount == 0:
        await connection.execute(
            documents.insert().values(deployment_id=deployment_id, digest=digest, body=body)
        )


async def supersede_documents(connection: AsyncConnection, deployment_id: str, *, now: datetime) -> None:
    """Mark the deployment's current document as no longer wanted from `now` on."""
    await connection.execute(
        documents.update()
        .where(documents.c.deployment_id == deployment_id, documents.c.superseded.is_(None))
        .values(superseded=now)
    )


async def put_manifest(
    connection: AsyncConnection,
    client_id: str,
    *,
    version: int,
    etag: str,
    body: bytes,
    bundle: tuple[str, bytes] | None,
    now: datetime,
) -> None:
    """Serve this manifest and bundle (digest, bytes) from now on; the bundle before stays for a while."""
    await connection.execute(
        bundles.update()
        .where(bundles.c.client_id == client_id, bundles.c.superseded.is_(None))
        .values(superseded=now)
    )
    if bundle is not None:
        await _put_bundle(connection, client_id, *bundle)
    touch(connection, client_id)
    values = {
        "version": version,
        "etag": etag,
        "body": body,
        "bundle_digest": bundle[0] if bundle else None,
        "created": now,
    }
    updated = await connection.execute(
        manifests.update().where(manifests.c.client_id == client_id).values(**values)
    )
    if updated.rowcount == 0:
        await connection.execute(manifests.insert().values(client_id=client_id, **values))


async def forget_superseded(
    connection: AsyncConnection, client_id: str, *, before: datetime, keep_bundles: int
) -> None:
    """Delete what was superseded before `before`, and all but the newest `keep_bundles` bundles."""
    await connection.execute(
        delete(bundles).where(bundles.c.client_id == client_id, bundles.c.superseded < before)
    )
    newest = (
        select(bundles.c.digest)
        .where(bundles.c.client_id == client_id, bundles.c.superseded.is_not(None))
        .order_by(bundles.c.superseded.desc())
        .limit(keep_bundles)
    )
    await connection.execute(
        delete(bundles).where(
            bundles.c.client_id == client_id,
            bundles.c.superseded.is_not(None),
            bundles.c.digest.not_in(newest),
        )
    )
    of_client = select(deployments.c.id).where(deployments.c.client_id == client_id)
    await connection.execute(
        delete(documents).where(documents.c.deployment_id.in_(of_client), documents.c.superseded < before)
    )


async def _put_bundle(connection: AsyncConnection, client_id: str, digest: str, body: bytes) -> None:
    revived = await connection.execute(
        bundles.update()
        .where(bundles.c.client_id == client_id, bundles.c.digest == digest)
        .values(superseded=None)
    )
    if revived.rowcount == 0:
        await connection.execute(bundles.insert().values(client_id=client_id, digest=digest, body=body))
