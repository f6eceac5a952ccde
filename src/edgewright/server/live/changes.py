"""Tells who looks at a page that something on it changed: a hub between commits and open pages.

A subscription names topics (see `store.database.announce`) and collects those that changed until it is asked.
It holds a set and an event, nothing of what changed: whoever is slow gets less often what is newer.

Between the moment a page was made and the one its subscription begins things change as well. Changes are
numbered, a page knows the number it was made at, and gets what changed since.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgewright.server.store.database import Database

# Each is an open connection; beyond that pages are fetched again by hand.
MOST_SUBSCRIPTIONS = 1_000
# A person or a program has so many of them at most: nobody can take them all.
MOST_OF_ONE = 100
# Of so many topics it is known when they changed last; of others it is assumed that they did.
MOST_REMEMBERED = 10_000


@dataclass(slots=True, kw_only=True, eq=False)
class Subscription:
    """What one page waits for."""

    topics: frozenset[str]
    of: str = ""
    _changed: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _end: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether the server ends, and nothing more will come."""
        return self._end.is_set()

    async def rest(self, seconds: float) -> None:
        """Let time go by, less if the server ends."""
        try:
            async with asyncio.timeout(seconds):
                await self._end.wait()
        except TimeoutError:
            return

    async def next(self, seconds: float) -> frozenset[str]:
        """Return which topics changed since the last call, at once if some did; none after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return frozenset()
        self._news.clear()
        changed, self._changed = self._changed, set()
        return frozenset(changed)

    def tell(self, topics: Collection[str]) -> None:
        """Note that `topics` changed, as far as they matter here."""
        mine = self.topics.intersection(topics)
        if mine:
            self._changed |= mine
            self._news.set()

    def end(self) -> None:
        """End it: whoever waits goes on at once."""
        self._end.set()
        self._news.set()


class Changes:
    """All subscriptions there are."""

    def __init__(self, database: Database, *, most: int = MOST_SUBSCRIPTIONS) -> None:
        self._most = most
        self._is_over = False
        self._subscriptions: set[Subscription] = set()
        self._last: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self.number = 0
        database.when_changed(self._tell)

    def __len__(self) -> int:
        return len(self._subscriptions)

    def are_full(self, of: str = "") -> bool:
        """Whether nobody more can be told, or not `of`, as that one has as many as one may have."""
        if len(self._subscriptions) >= self._most:
            return True
        return sum(one.of == of for one in self._subscriptions) >= MOST_OF_ONE

    @contextmanager
    def subscribe(
        self, topics: Collection[str], since: int | None = None, *, of: str = ""
    ) -> Iterator[Subscription]:
        """Collect what changes of `topics` while the block runs, and what did after number `since`.

        `of` is whose subscription it is.
        """
        subscription = Subscription(topics=frozenset(topics), of=of)
        if since is not None:
            subscription.tell([topic for topic in topics if self._changed_after(topic, since)])
        if self._is_over:
            subscription.end()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def end(self) -> None:
        """End all subscriptions, and those to come: the server stops."""
        self._is_over = True
        for subscription in self._subscriptions:
            subscription.end()

    def _changed_after(self, topic: str, number: int) -> bool:
        """Whether a topic changed after that number, or may have; a number of another run says nothing."""
        return number > self.number or self._last.get(topic, self._forgotten) > number

    def _tell(self, topics: Collection[str]) -> None:
        self.number += 1
        for topic in topics:
            self._last[topic] = self.number
            self._last.move_to_end(topic)
        while len(self._last) > MOST_REMEMBERED:
            self._forgotten = self._last.popitem(last=False)[1]
        for subscription in self._subscriptions:
            subscription.tell(topics)
