"""What devices show for their repository instead of a certificate: a password or a token, kept as digests.

Both are random and long and were made here, so a plain digest keeps them; a client polls with them all day.
"""

import hmac
from collections.abc import Collection, Mapping

from edgewright.server.fleet.membership import secret_digest
from edgewright.server.store import repositories
from edgewright.server.store.database import EVERYBODY, Database
from edgewright.server.store.repositories import Kind, Way

Digests = Mapping[Way, str]
"""The SHA-256 of each secret a client has, by how it is shown."""


class Credentials:
    """Who has a repository here, and the digests of their secrets: kept until a commit touches the client.

    It asks the database only for what it does not know.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Digests] = {}
        self._commits = 0
        database.when_touched(self._forget)

    async def of(self, client_id: str) -> Digests | None:
        """Return the digests of a client's secrets, None if no repository of it is hosted here."""
        while (known := self._known.get(client_id)) is None:
            commits = self._commits
            read = await self._read(client_id)
            if read is None:
                # Names that strangers make up are not remembered.
                return None
            if commits == self._commits:
                self._known[client_id] = read
        return known

    async def _read(self, client_id: str) -> Digests | None:
        async with self._database.reading() as connection:
            found = await repositories.get(connection, client_id)
            if found is None or found.kind != Kind.HOSTED:
                return None
            return await repositories.digests(connection, client_id)

    def _forget(self, client_ids: Collection[str]) -> None:
        self._commits += 1
        if EVERYBODY in client_ids:
            self._known.clear()
        for client_id in client_ids:
            self._known.pop(client_id, None)


def is_right(digests: Digests | None, way: Way, secret: str) -> bool:
    """Whether `secret` is the one, shown this way, of which the digest is kept."""
    return hmac.compare_digest((digests or {}).get(way, ""), secret_digest(secret))
