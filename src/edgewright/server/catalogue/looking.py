"""Looks through the sources of packages: when they are due, and when a person asks.

What was found is written place by place, so that a look that is cut off loses nothing: the next one begins
where the catalogue is. A few sources are looked through at once, each by one task; the network and the disk
are waited for in threads that do not keep the server from ending.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgewright.net.oci import RegistryError, RegistryNotFoundError, RegistryRefusedError
from edgewright.net.registries import RegistrySettings, load_registries
from edgewright.protocol.errors import ArchiveError, DigestMismatchError, DocumentError, EdgewrightError
from edgewright.server.catalogue.credentials import CredentialFiles
from edgewright.server.catalogue.upstream import (
    FolderUpstream,
    IgnoredError,
    Offers,
    RegistryUpstream,
    SourceError,
    Upstream,
    failure_of,
)
from edgewright.server.domain.sources import Kind, Standing, is_settled
from edgewright.server.fleet import sources as fleet
from edgewright.server.fleet.sources import Ignored, Outcome, Refused
from edgewright.server.store import sources as store
from edgewright.server.store.database import Database, announce
from edgewright.server.store.sources import ListingRecord, SourceRecord

log = logging.getLogger(__name__)

AT_ONCE = 2
# So many places in a row that cannot be asked for end a look: the registry is not well.
MOST_FAILURES = 3
# How often people are told how far a look is.
TELL_EVERY = 0.5
# How long the scheduler sleeps where nothing is due: clocks are set, and new sources wake it anyway.
LONGEST_SLEEP = timedelta(minutes=10)
# When a look failed, the next is not later than this, whatever the source's schedule says.
AFTER_FAILURE = timedelta(minutes=15)
Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a look is: `done` of `total` places (None while they are being listed), and what was new."""

    began: datetime
    total: int | None = None
    done: int = 0
    new: int = 0
    problems: int = 0


@dataclass(slots=True)
class Looks:
    """Who looks through which source at this moment; `run` is the task that looks when it is time."""

    database: Database
    registries: Path
    credentials: CredentialFiles
    clock: Callable[[], datetime]
    since: datetime = field(init=False)
    _progress: dict[int, Progress] = field(default_factory=dict)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def progress(self, source_id: int) -> Progress | None:
        """Return how far the look through a source is, None while nobody looks."""
        return self._progress.get(source_id)

    def start(self, source: SourceRecord) -> bool:
        """Begin to look through a source; return False if somebody does already."""
        if source.id in self._tasks:
            return False
        self._progress[source.id] = Progress(began=self.clock())
        # In a context of its own: what is found is not what whoever asked for the look did.
        task = asyncio.create_task(self._look(source.id, source.name), context=Context())
        self._tasks[source.id] = task
        task.add_done_callback(partial(self._forget, source.id, source.name))
        return True

    def is_going_on(self, source: SourceRecord) -> bool:
        """Whether somebody looks through a source: as is written, unless a server that has ended wrote it."""
        if source.id in self._progress:
            return True
        is_open = source.began is not None and (source.ended is None or source.ended < source.began)
        return is_open and source.began is not None and source.began >= self.since

    async def stop(self, source_id: int) -> None:
        """End the look through a source, if there is one, and wait until it has ended."""
        task = self._tasks.get(source_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def wake(self) -> None:
        """Have the schedule read again, as a source is new or another."""
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look through sources when they are due while the block runs."""
        async with self.database.reading() as connection:
            named = {one.secret for one in await store.every(connection) if one.secret is not None}
        self.credentials.clear(named)
        scheduler = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            tasks = [scheduler, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- when -------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._start_due()
            except Exception:
                log.exception("the schedule of the sources could not be read")
                pause = LONGEST_SLEEP
            try:
                async with asyncio.timeout(max(1.0, min(pause, LONGEST_SLEEP).total_seconds())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _start_due(self) -> timedelta:
        """Begin with every source that is due; return how long until the next one is."""
        async with self.database.reading() as connection:
            known = await store.every(connection)
        now = self.clock()
        pause = LONGEST_SLEEP
        for source in known:
            due = due_at(source, now)
            if due is None or source.id in self._tasks:
                continue
            if due <= now:
                self.start(source)
            else:
                pause = min(pause, due - now)
        return pause

    # --- one look ---------------------------------------------------------------------------------------

    async def _look(self, source_id: int, name: str) -> None:
        try:
            async with self._slots:
                async with self.database.writing() as connection:
                    source = await store.get(connection, source_id)
                    if source is None:
                        return
                    await store.begin_look(connection, source_id, now=self.clock())
                    announce(connection, "sources", f"source:{name}")
                await self._look_through(source)
        except Exception:
            log.exception("looking through the source %s failed", name)
            await self._end(source_id, name, "the server failed; its log says why")

    def _forget(self, source_id: int, name: str, task: asyncio.Task[None]) -> None:
        """Note that a look has ended, however it did, also before its first step."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("how looking through the source %s ended could not be kept", name, exc_info=error)
        self._progress.pop(source_id, None)
        self._tasks.pop(source_id, None)
        self.wake()
        self.database.tell({"sources", f"source:{name}"})

    async def _look_through(self, source: SourceRecord) -> None:
        upstream: Upstream | None = None
        try:
            upstream = await in_thread(partial(self._open, source))
            offers = await in_thread(upstream.offers)
            async with self.database.reading() as connection:
                known = {one.place: one for one in await store.listings_of(connection, source.id)}
                present = await store.present(connection)
            same, problem = await self._look_at(source, upstream, offers, known, present)
        except EdgewrightError as error:
            await self._end(source.id, source.name, str(error))
            return
        finally:
            if upstream is not None:
                upstream.close()
        gone = [place for place in known.keys() - set(offers.places) if not offers.is_unread(place)]
        async with self.database.writing() as connection:
            await fleet.finish_look(
                connection, source, same=same, gone=gone, problem=problem, now=self.clock()
            )

    async def _look_at(
        self,
        source: SourceRecord,
        upstream: Upstream,
        offers: Offers,
        known: dict[str, ListingRecord],
        present: set[tuple[str, str]],
    ) -> tuple[list[str], str | None]:
        """Settle every place; return those that are as they were, and what kept the look from being whole."""
        progress = self._progress[source.id]
        progress.total = len(offers.places)
        told = asyncio.get_running_loop().time()
        same: list[str] = []
        troubles = [*offers.troubles, *offers.unread.values()]
        failures = 0
        for place in offers.places:
            look = partial(_look_at_place, upstream, place, known.get(place), present)
            found = await in_thread(look)
            failures = failures + 1 if isinstance(found, _Failed) else 0
            match found:
                case None:
                    same.append(place)
                case _Failed(reason=reason, is_final=is_final):
                    troubles.append(reason)
                    if is_final or failures >= MOST_FAILURES:
                        break
                case _Found(upstream=digest, outcome=outcome):
                    state = await self._settle(source, place, upstream.where(place), digest, outcome)
                    is_known = place in known and known[place].standing is Standing.IMPORTED
                    progress.new += state is Standing.IMPORTED and not is_known
                    progress.problems += state in {Standing.BAD, Standing.CHANGED}
            progress.done += 1
            if asyncio.get_running_loop().time() - told >= TELL_EVERY:
                told = asyncio.get_running_loop().time()
                self.database.tell({"sources", f"source:{source.name}"})
        return same, _joined(troubles)

    async def _settle(
        self, source: SourceRecord, place: str, where: str, digest: str, outcome: Outcome
    ) -> Standing:
        async with self.database.writing() as connection:
            state = await fleet.settle(
                connection, source, place, where=where, upstream=digest, outcome=outcome, now=self.clock()
            )
            announce(connection, f"source:{source.name}")
        return state

    async def _end(self, source_id: int, name: str, problem: str) -> None:
        async with self.database.writing() as connection:
            await store.end_look(connection, source_id, now=self.clock(), problem=problem)
            announce(connection, "sources", f"source:{name}")

    def _open(self, source: SourceRecord) -> Upstream:
        if source.kind == Kind.FOLDER:
            folder = Path(source.location)
            if _overlaps(folder, self.registries.parent):
                raise SourceError(f"{folder}: holds this server's own data, keys among them; choose another")
            return FolderUpstream(folder)
        return RegistryUpstream(source.location, self._settings(source), source.patterns)

    def _settings(self, source: SourceRecord) -> RegistrySettings:
        """Return how a source's registry is reached: as the source says, else as registries.yaml does."""
        general = load_registries(str(self.registries)).settings(source.location)
        own = None if source.secret is None else self.credentials.load(source.secret)
        given = general if own is None else own
        return RegistrySettings(
            ca=general.ca,
            ca_pem=source.ca,
            username=given.username,
            password=given.password,
            token=given.token,
            plain_http=source.plain_http or general.plain_http,
            where=f"source {source.name}",
        )


def due_at(source: SourceRecord, now: datetime) -> datetime | None:
    """Return when a source is to be looked through next; None for one that waits for a person.

    One that was cut off is due at once, one that failed is tried again soon.
    """
    if source.every_minutes is None:
        return None
    if source.began is None or source.ended is None or source.ended < source.began:
        return now
    pause = timedelta(minutes=source.every_minutes)
    if source.problem is not None:
        pause = min(pause, AFTER_FAILURE)
    # A clock that was set back must not keep a source waiting for as long as it was wrong.
    return min(source.ended, now) + pause


async def in_thread(function: Callable[[], Result]) -> Result:
    """Return what `function` returns, called in a thread of its own that nobody waits for at the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: Result | None = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as raised:  # whatever it is, the one who waits gets it
            error = raised
        # The loop may have ended, and with it whoever waited.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=work, name="look", daemon=True).start()
    return await future


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    upstream: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """Nothing is known of a place this time; after a final one nothing will be of the next either."""

    reason: str
    is_final: bool = False


def _look_at_place(
    upstream: Upstream, place: str, before: ListingRecord | None, present: set[tuple[str, str]]
) -> _Found | _Failed | None:
    """Return what is at a place, None if it is what it was."""
    try:
        digest = upstream.digest(place)
    except (SourceError, ArchiveError, DigestMismatchError, RegistryNotFoundError) as error:
        return _Found(upstream="", outcome=Refused(problems=(("$", str(error)),)))
    except RegistryRefusedError as error:
        return _Failed(reason=str(error), is_final=True)
    except RegistryError as error:
        return _Failed(reason=str(error))
    if before is not None and is_settled(
        before.standing,
        kept_upstream=before.upstream,
        upstream=digest,
        imported=before.application_id,
        present=(before.application_id, before.version) in present,
    ):
        return None
    try:
        return _Found(upstream=digest, outcome=upstream.package(place))
    except IgnoredError as error:
        return _Found(upstream=digest, outcome=Ignored(reason=str(error)))
    except (DocumentError, ArchiveError) as error:
        return _Found(upstream=digest, outcome=Refused(problems=failure_of(error)))
    except (RegistryNotFoundError, DigestMismatchError, SourceError) as error:
        return _Found(upstream=digest, outcome=Refused(problems=(("$", str(error)),)))
    except RegistryError as error:
        return _Failed(reason=str(error), is_final=isinstance(error, RegistryRefusedError))


def _joined(troubles: list[str]) -> str | None:
    """Return what people are told of everything that kept a look from being whole."""
    if not troubles:
        return None
    shown = "; ".join(dict.fromkeys(troubles[:5]))
    return shown if len(troubles) <= 5 else f"{shown}; and {len(troubles) - 5} more"


def _overlaps(folder: Path, own: Path) -> bool:
    """Whether a folder is, or is in, or holds the server's own data."""
    there, here = folder.resolve(), own.resolve()
    return there.is_relative_to(here) or here.is_relative_to(there)
