"""Publishing: the one way a client's manifest changes, always to a strictly greater version (spec: DS-7,
DS-8).
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.manifests import KEEP_BUNDLES, KEEP_SUPERSEDED, build_manifest
from edgewright.server.store import desired
from edgewright.server.store.database import announce


async def next_version(connection: AsyncConnection, client_id: str) -> int:
    """Return the version that the client's next manifest will have; 1 for the first."""
    return await desired.version(connection, client_id) + 1


async def publish(connection: AsyncConnection, client_id: str, version: int, *, now: datetime) -> None:
    """Serve a manifest of that version made from the documents the client is to have in this transaction."""
    documents = {
        document.id: document.body for document in await desired.current_documents(connection, client_id)
    }
    built = build_manifest(version, documents)
    await desired.put_manifest(
        connection,
        client_id,
        version=built.version,
        etag=built.digest,
        body=built.body,
        bundle=built.bundle,
        now=now,
    )
    announce(connection, "devices", f"device:{client_id}", "deployments")
    await desired.forget_superseded(
        connection, client_id, before=now - KEEP_SUPERSEDED, keep_bundles=KEEP_BUNDLES
    )
