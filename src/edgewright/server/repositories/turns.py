"""When external repositories are looked at: at their interval, when something is new, and a few at once.

What is due waits for its Git server (`hosts`), so that one that is dead keeps nobody waiting but those whose
repositories it has. At the start, when all are due, they come one after the other.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from edgewright.server.repositories.hosts import Host, Hosts
from edgewright.server.store import repositories as store
from edgewright.server.store.database import Database
from edgewright.server.store.repositories import Kind

log = logging.getLogger(__name__)

# How many are looked at at once, each by one git at most.
MOST_AT_ONCE: Final = 6
# After the start one after the other is looked at, so many seconds apart.
START_EVERY: Final = 0.2
# A webhook is answered by a look at most this often.
HOOK_EVERY: Final = 5.0
_LONGEST_SLEEP: Final = 60.0
# One question without an answer may be chance.
_TOLD_AFTER: Final = 2
_TOPIC: Final = "repository:"


class Turns:
    """Has `look` called for whoever's turn it is; `interval` is how often a client's repository wants that.

    `look` says to the host how it answered; times are monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        look: Callable[[str], Awaitable[None]],
        interval: Callable[[str], float],
    ) -> None:
        self._database = database
        self._look = look
        self._interval = interval
        self.hosts = Hosts()
        self._places: dict[str, Host] = {}
        self._next: dict[str, float] = {}
        self._at_work: set[str] = set()
        self._hooked: dict[str, float] = {}
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        database.when_changed(self._note)

    async def run(self) -> None:
        """Go on until cancelled."""
        await self._learn(None)
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                changed, self._changed = self._changed, set()
                if changed:
                    await self._learn(changed)
                until = self._begin_due(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, until - time.monotonic())):
                        await self._woken.wait()

    def wake(self, client_id: str) -> None:
        """Have a repository looked at as soon as its Git server may be asked."""
        self._next[client_id] = time.monotonic()
        self._woken.set()

    def hear(self, client_id: str) -> bool:
        """Look at a repository soon, as its Git server tells of news; False where it was looked at just now.

        What comes in between is looked at when the pause is over.
        """
        now = time.monotonic()
        if now - self._hooked.get(client_id, -HOOK_EVERY) < HOOK_EVERY:
            due = self._hooked[client_id] + HOOK_EVERY
            self._next[client_id] = min(self._next.get(client_id, due), due)
            self._woken.set()
            return False
        self._hooked[client_id] = now
        self.wake(client_id)
        return True

    async def tell_all_at(self, host: Host) -> None:
        """Have it be known of all repositories of a Git server that it was asked in vain again."""
        if host.failures != _TOLD_AFTER:
            return
        told = sorted(client_id for client_id, place in self._places.items() if place is host)
        async with self._database.writing() as connection:
            for client_id in told:
                await store.note_problem(connection, client_id, host.problem)

    def _begin_due(self, group: asyncio.TaskGroup) -> float:
        """Begin with what is due and may begin; return when there is more to begin with.

        What waits for a look to end is told of by that.
        """
        now = time.monotonic()
        until = now + _LONGEST_SLEEP
        for client_id, due in sorted(self._next.items(), key=lambda one: one[1]):
            host = self._places.get(client_id)
            if host is None or client_id in self._at_work:
                continue
            if due > now:
                return min(until, due)
            if len(self._at_work) >= MOST_AT_ONCE:
                return until
            if host.may_begin(now):
                host.busy += 1
                self._at_work.add(client_id)
                self._next[client_id] = now + self._interval(client_id)
                group.create_task(self._take_turn(client_id, host))
            elif host.due > now:
                until = min(until, host.due)
        return until

    async def _take_turn(self, client_id: str, host: Host) -> None:
        try:
            await self._look(client_id)
        except Exception:
            log.exception("how it stands with the repository of %s could not be noted", client_id)
        finally:
            host.busy -= 1
            self._at_work.discard(client_id)
            self._woken.set()

    async def _learn(self, client_ids: Collection[str] | None) -> None:
        """Learn where these repositories are now, or all that there are; a new one is due at once.

        At the start, when all are new, those are first of which nothing was heard for the longest time.
        """
        async with self._database.reading() as connection:
            wanted = None if client_ids is None else sorted(client_ids)
            found = await store.every(connection, wanted, kind=Kind.EXTERNAL)
        for client_id in set(client_ids or ()) - {one.client_id for one in found}:
            for known in (self._places, self._next, self._hooked):
                known.pop(client_id, None)
        now = time.monotonic()
        apart = START_EVERY if client_ids is None else 0.0
        for number, one in enumerate(sorted(found, key=lambda one: one.checked or one.created)):
            assert one.url is not None  # noqa: S101 - the database sees to it
            place, client_id = self.hosts.of(one.url), one.client_id
            if self._places.get(client_id) is not place:
                self._places[client_id] = place
                due = now + number * apart
                self._next[client_id] = min(due, self._next.get(client_id, due))

    def _note(self, topics: Collection[str]) -> None:
        named = {one.removeprefix(_TOPIC) for one in topics if one.startswith(_TOPIC)}
        if named:
            self._changed |= named
            self._woken.set()
