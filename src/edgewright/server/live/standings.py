"""What a poll without a change needs to know, kept in memory: most requests ever made are such polls.

One server owns a data directory (`run.only_server`), so every change comes through its own `Database`,
which tells here which clients a committed transaction touched. A standing read before such a commit is
neither kept nor returned after it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from edgewright.server.store import desired
from edgewright.server.store.clients import ClientState
from edgewright.server.store.database import EVERYBODY, Database

NO_POLICY = "none"


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a client is admitted, with which key, which manifest it is served, and what is suggested to it.

    `policy` is the tag of the suggestion, or `none`.
    """

    state: ClientState
    key_digest: str | None
    etag: str
    policy: str


class Standings:
    """The standing of every client that polled since it last changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Standing] = {}
        self._commits = 0
        database.when_touched(self._forget)

    async def load(self) -> None:
        """Read the standing of every client at once, so that all can reconnect at once after a start."""
        self._known.update(await self._read())

    async def of(self, client_id: str) -> Standing | None:
        """Return the standing of a client as last committed, None if the client is unknown."""
        while (known := self._known.get(client_id)) is None:
            commits = self._commits
            read = await self._read(client_id)
            if client_id not in read:
                return None
            # What was read before a commit may be older than it. Who waits for the next change by what is
            # returned here (`holds`) must not have missed one already.
            if commits == self._commits:
                self._known.update(read)
        return known

    async def _read(self, client_id: str | None = None) -> dict[str, Standing]:
        async with self._database.reading() as connection:
            rows = await desired.standings(connection, client_id)
        return {
            name: Standing(state, key_digest, etag, policy or NO_POLICY)
            for name, state, key_digest, etag, policy in rows
        }

    def _forget(self, client_ids: Collection[str]) -> None:
        self._commits += 1
        if EVERYBODY in client_ids:
            self._known.clear()
        for client_id in client_ids:
            self._known.pop(client_id, None)
