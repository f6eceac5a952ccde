"""Polls that wait for a change instead of being told at once that there is none (`Prefer: wait`).

A held poll is one future and one timer and asks nothing of the database: the commit that changes something
for a client ends its wait. There is at most one per client, and no more than `most` in all, so that
waiting never costs more memory than the machine has; whoever may not wait is answered at once.
"""

import asyncio
from collections.abc import Collection
from enum import Enum, auto

from edgewright.server.listeners.tls import Line
from edgewright.server.store.database import Database

LONGEST_SECONDS = 60
# What a held poll costs with the connection it waits on, measured by benchmarks/server.py.
HELD_POLL_BYTES = 64 * 1024
# The part of the machine's memory that held polls may take.
_SHARE = 0.25


class End(Enum):
    """Why a poll is not held any longer, or was not at all."""

    CHANGED = auto()
    ELAPSED = auto()
    DISMISSED = auto()


class Holds:
    """All polls held at present, by client."""

    def __init__(self, database: Database, *, most: int) -> None:
        self._most = most
        self._held: dict[str, asyncio.Future[End]] = {}
        database.when_touched(self._changed)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._held

    async def hold(self, client_id: str, seconds: float, line: Line) -> End:
        """Wait until something changes for the client, `seconds` are over, or the line wants an answer.

        Begins to wait without giving way to others first: what the caller knew of the client still holds.
        The newest poll of a client counts, and dismisses the one before.
        """
        earlier = self._held.get(client_id)
        if not line.may_wait or (earlier is None and len(self._held) >= self._most):
            return End.DISMISSED
        if earlier is not None:
            _finish(earlier, End.DISMISSED)
        loop = asyncio.get_running_loop()
        held: asyncio.Future[End] = loop.create_future()
        self._held[client_id] = held
        timer = loop.call_later(seconds, _finish, held, End.ELAPSED)
        try:
            with line.waiting(lambda: _finish(held, End.DISMISSED)):
                return await held
        finally:
            timer.cancel()
            if self._held.get(client_id) is held:
                del self._held[client_id]

    def _changed(self, client_ids: Collection[str]) -> None:
        for client_id in client_ids:
            held = self._held.get(client_id)
            if held is not None:
                _finish(held, End.CHANGED)


def default_most(memory_bytes: int, open_files: int) -> int:
    """Return how many polls a machine may hold: a quarter of its memory, half of its open files."""
    return min(int(memory_bytes * _SHARE) // HELD_POLL_BYTES, open_files // 2)


def _finish(held: asyncio.Future[End], end: End) -> None:
    if not held.done():
        held.set_result(end)
