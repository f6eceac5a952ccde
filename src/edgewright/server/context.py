"""What the parts of one running server share; made once, at start, and handed to both applications."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from litestar import Request
from litestar.datastructures import State

from edgewright.server.identity.files import Identity
from edgewright.server.settings import ServerSettings
from edgewright.server.standings import Standings
from edgewright.server.store import clients
from edgewright.server.store.database import Database

ServerRequest = Request[Any, Any, State]


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class ServerContext:
    """The database, the identity, the addresses; and since the last save, when each client was heard of."""

    database: Database
    settings: ServerSettings
    identity: Identity
    device_url: str
    web_url: str
    registries: Path
    standings: Standings
    clock: Callable[[], datetime] = utc_now
    contacts: dict[str, datetime] = field(default_factory=dict)

    def heard_of(self, client_id: str) -> None:
        """Remember that a client made contact; a poll must not cost a write."""
        self.contacts[client_id] = self.clock()

    async def save_contacts(self) -> None:
        """Write down the contacts since the last save."""
        if not self.contacts:
            return
        contacts, self.contacts = self.contacts, {}
        try:
            async with self.database.writing() as connection:
                await clients.save_contacts(connection, contacts)
        except BaseException:
            self.contacts = contacts | self.contacts
            raise


def context_of(request: ServerRequest) -> ServerContext:
    """Return the context of the server that handles `request`."""
    context: ServerContext = request.app.state.context
    return context
