"""`edgewright server renumber`: after a backup was put back, versions have to go on above what devices
have seen.

A device refuses every manifest whose version is not greater than its last (spec: DS-12), so a server whose
counter went back with its database would never be listened to again (spec: OP-16).
"""

import asyncio
import time
from datetime import UTC, datetime

from edgewright.server.domain.manifests import version_after_loss
from edgewright.server.fleet.publishing import publish
from edgewright.server.run import existing_database, only_server
from edgewright.server.settings import DataDirectory, load_settings
from edgewright.server.store import audit, clients, desired
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate


def renumber(directory: DataDirectory) -> int:
    """Publish every client's manifest anew under a version taken from the clock; return how many there are.

    The server must not run meanwhile; raises `SetupError` if it does.
    """
    load_settings(directory)
    with only_server(directory):
        migrate(existing_database(directory))
        return asyncio.run(_renumber(directory))


async def _renumber(directory: DataDirectory) -> int:
    now = datetime.now(UTC)
    async with Database(directory.database) as database, database.writing() as connection:
        known = await clients.every(connection)
        for client in known:
            version = version_after_loss(
                await desired.version(connection, client.client_id), int(time.time())
            )
            await publish(connection, client.client_id, version, now=now)
        MEANS.set(Means(via="command line"))
        await audit.note(connection, now=now, actor="command line", action="renumber", subject="all devices")
    return len(known)
