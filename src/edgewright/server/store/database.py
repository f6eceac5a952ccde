"""Connections and transactions. SQLite: write-ahead log, foreign keys on, every commit on the disk.

A manifest version that was served and then forgotten by a power cut would lock its client out (spec:
DS-12, OP-16), so `synchronous` is FULL.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_SECONDS = 10
POOL_SIZE = 15
# How long a request waits for one of the few connections: a whole fleet may come back at once.
QUEUE_SECONDS = 60
# Stands for all clients where one would be named; no client can have this id.
EVERYBODY = "*"
_TOUCHED = "edgewright.touched"
_TOPICS = "edgewright.topics"

# Whether this task only tries what it does (see `rehearse`).
_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)

Touched = Callable[[Collection[str]], None]
Changed = Callable[[Collection[str]], None]


class Database:
    """Opens transactions on one SQLite file. Use it as an asynchronous context manager."""

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path)
        self._writing = asyncio.Lock()
        self._watchers: list[Touched] = []
        self._listeners: list[Changed] = []

    def when_touched(self, watcher: Touched) -> None:
        """Have `watcher` called after every commit that touched clients, with their ids (see `touch`)."""
        self._watchers.append(watcher)

    def when_changed(self, listener: Changed) -> None:
        """Have `listener` called after every commit that changed what people see (see `announce`)."""
        self._listeners.append(listener)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that sees one state of the database and changes nothing."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that is committed as a whole, or not at all if the block raises.

        There is one at a time: SQLite has one writer, and waiting here is cheaper than waiting there.
        Nothing is kept, and nobody told, of what is only rehearsed.
        """
        async with self._writing:
            touched: set[str] = set()
            topics: set[str] = set()
            try:
                async with self._engine.execution_options(writes=True).begin() as connection:
                    connection.info[_TOUCHED] = touched
                    connection.info[_TOPICS] = topics
                    yield connection
                    if is_rehearsal():
                        raise _RehearsedError
            except _RehearsedError:
                return
            if touched:
                for watcher in self._watchers:
                    watcher(touched)
            if topics:
                self.tell(topics)

    def tell(self, topics: Collection[str]) -> None:
        """Have every listener called with `topics`, also where no transaction changed anything."""
        for listener in self._listeners:
            listener(topics)


class _RehearsedError(Exception):
    """Rolls a transaction back that was only to be tried."""


def rehearse() -> None:
    """Have everything that the present task writes from now on tried, and then taken back."""
    _rehearsing.set(True)


def is_rehearsal() -> bool:
    """Whether what the present task writes is only tried; what is done besides writing has to ask."""
    return _rehearsing.get()


def touch(connection: AsyncConnection, client_id: str) -> None:
    """Note that this transaction changes what a client, or EVERYBODY, is served, or whether it is."""
    touched: set[str] = connection.info[_TOUCHED]
    touched.add(client_id)


def announce(connection: AsyncConnection, *topics: str) -> None:
    """Note that this transaction changes what people see of these topics.

    A topic is a kind of thing, or one of them: `devices`, `device:<client id>`, `deployments`, `packages`,
    `sources`, `source:<name>`, `assignments`, `assignment:<name>`, `rollouts`, `rollout:<id>`, `enrollments`,
    `audit`, `accounts`, `policies`, `repositories`, `repository:<client id>`, `signers`. `contact:<client
    id>` and `contacts` are told without a transaction (`overview.news`).
    """
    noted: set[str] = connection.info[_TOPICS]
    noted.update(topics)


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": BUSY_SECONDS},
        pool_timeout=QUEUE_SECONDS,
        # Each is a thread of its own. Kept open: beyond the pool's size one would begin and end with every
        # request of a busy moment.
        pool_size=POOL_SIZE,
        max_overflow=0,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Transactions begin in `begin` below, not where the driver guesses.
        connection.isolation_level = None
        cursor = connection.cursor()
        for statement in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {statement}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def schema_version(path: Path) -> str | None:
    """Return the migration the database stands at, None for an empty or missing one."""
    if not path.exists():
        return None
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    finally:
        connection.close()
    return None if row is None else str(row[0])
