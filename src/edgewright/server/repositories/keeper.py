"""Keeps every device's repository as it should be: writes what the device is to have, reads what it reports.

It hears of every change (`Database.when_changed`) and of every push, and looks at single repositories then;
by the clock it compares all of them with what is known in memory, which costs next to nothing. Every step
may be cut off anywhere: the next look begins with what is there.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Protocol
from weakref import WeakValueDictionary

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.catalogue.looking import in_thread
from edgewright.server.context import ServerContext
from edgewright.server.domain.manifests import version_after_loss
from edgewright.server.fleet.publishing import publish
from edgewright.server.repositories import reading, upkeep, writing
from edgewright.server.repositories.bare import Bare
from edgewright.server.repositories.places import bare_of
from edgewright.server.repositories.signing import SigningKeys
from edgewright.server.repositories.writing import AheadError, Content, Written
from edgewright.server.store import audit, clients, deployments, desired
from edgewright.server.store import repositories as store
from edgewright.server.store.repositories import Kind, Repository

log = logging.getLogger(__name__)

SERVER: Final = "server"
# How often all repositories are compared with what is known, whatever was heard.
LOOK_EVERY: Final = timedelta(minutes=10)
# After a failure the next try comes after so long, twice as long each time.
FIRST_RETRY: Final = 15.0
LAST_RETRY: Final = 600.0
# Changes come in bursts: several of one device become one commit.
GATHER: Final = 0.2
_AT_ONCE: Final = min(4, os.cpu_count() or 1)
_DEVICE: Final = "device:"


class Elsewhere(Protocol):
    """Who keeps the repositories that are on other Git servers, at the pace of those."""

    def wake(self, client_id: str) -> None:
        """Have one looked at as soon as its Git server may be asked."""

    async def bring(self, repository: Repository) -> None:
        """Bring one in step; called with its lock held. Raises what is to be told as its problem."""


@dataclass(slots=True)
class _Failure:
    """A look that failed, `times` in a row; the next is at `due` (monotonic seconds)."""

    times: int
    due: float


class RepositoryKeeper:
    """The one that writes and reads repositories; `run` it as a task.

    What concerns an external one is left to `elsewhere`, so that no hosted one waits for a Git server.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._folder = context.repositories
        self._keys = SigningKeys(context.identity.folder, context.principal)
        self._known: dict[str, Kind] = {}
        self._due: set[str] = set()
        self._all_due = True
        self._woken = asyncio.Event()
        self._failures: dict[str, _Failure] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.elsewhere: Elsewhere | None = None
        context.database.when_changed(self._note)
        context.pushed = self.wake
        context.in_step = self.look

    def wake(self, client_id: str) -> None:
        """Have a repository looked at soon: something in it, or for it, is new."""
        if self.elsewhere is not None and self._known.get(client_id) == Kind.EXTERNAL:
            self.elsewhere.wake(client_id)
            return
        self._due.add(client_id)
        self._woken.set()

    def bare(self, client_id: str) -> Bare:
        """Return the repository of a client on this server's disk."""
        return Bare(bare_of(self._folder, client_id))

    @property
    def keys(self) -> SigningKeys:
        """The keys that sign here."""
        return self._keys

    @asynccontextmanager
    async def alone(self, client_id: str) -> AsyncIterator[None]:
        """Let nobody else here write or read a client's repository while the block runs."""
        lock = self._locks.setdefault(client_id, asyncio.Lock())
        async with lock:
            yield

    async def run(self) -> None:
        """Go on until cancelled; what fails is told with its repository, and tried again."""
        next_whole = 0.0
        while True:
            self._woken.clear()
            if self._all_due or time.monotonic() >= next_whole:
                self._all_due = False
                next_whole = time.monotonic() + LOOK_EVERY.total_seconds()
                try:
                    self._wake_all(await self._out_of_step())
                except Exception:
                    log.exception("comparing the repositories failed; the next try is in %s", LOOK_EVERY)
            self._wake_all(self._retried())
            due, self._due = self._due, set()
            await self._look_at(sorted(due))
            await self._pause(next_whole)

    async def look(self, client_id: str) -> None:
        """Bring one repository in step now; what fails is kept as its problem, and tried again later."""
        problem: str | None = None
        try:
            async with self.alone(client_id):
                await self._bring(client_id)
        except EdgewrightError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename or self._folder}: {error.strerror or error}"
        except Exception:
            log.exception("the repository of %s could not be kept", client_id)
            problem = "the server failed; its log says why"
        if problem is None:
            self._failures.pop(client_id, None)
            return
        times = self._failures[client_id].times + 1 if client_id in self._failures else 1
        pause = min(FIRST_RETRY * 2 ** (times - 1), LAST_RETRY) if times < 20 else LAST_RETRY
        self._failures[client_id] = _Failure(times, time.monotonic() + pause)
        if times == 1:
            log.warning("the repository of %s: %s", client_id, problem)
        async with self._context.database.writing() as connection:
            await store.note_problem(connection, client_id, problem)

    async def write(self, client_id: str, repository: Repository, **more: object) -> Written:
        """Bring the local branch `desired` to what the client is to have, and note it (see `writing.write`).

        A repository that is ahead of this server, as after a backup was put back, gets a greater version.
        """
        async with self._context.database.reading() as connection:
            content = await writing.content_of(connection, client_id)
        assert content is not None  # noqa: S101 - every client has a manifest
        while True:
            seconds = int(self._context.clock().timestamp())
            make = partial(writing.write, self.bare(client_id), content, self._keys, seconds=seconds, **more)  # type: ignore[arg-type]
            try:
                written = await in_thread(make)
                break
            except AheadError as error:
                content = await self._overtake(client_id, error.version)
        is_noted = (written.commit, content.etag, content.policy_tag, written.signer) == (
            repository.desired_commit,
            repository.desired_etag,
            repository.policy_tag,
            repository.signer,
        )
        if not is_noted:
            async with self._context.database.writing() as connection:
                await store.note_written(
                    connection,
                    client_id,
                    commit=written.commit,
                    etag=content.etag,
                    policy_tag=content.policy_tag,
                    signer=written.signer,
                )
        return written

    async def read(self, client_id: str, since: str | None) -> bool:
        """Take in what is new on the local branch `current`; return whether anything was."""
        bare = self.bare(client_id)
        plan = await in_thread(partial(reading.plan, bare, since))
        if plan is None:
            return False
        if plan.is_whole:
            log.warning("the branch current of %s was replaced; its head is read as a whole", client_id)
        commits, base = list(plan.commits), plan.base
        while commits:
            async with self._context.database.reading() as connection:
                known = {one.id for one in await deployments.every(connection, client_id=client_id)}
            taken = await in_thread(partial(reading.read, bare, base, commits, known))
            async with self._context.database.writing() as connection:
                now = self._context.clock()
                if not await reading.take(connection, client_id, taken, now=now, is_whole=plan.is_whole):
                    return False
            commits, base = commits[len(taken) :], taken[-1].commit
        return True

    async def _bring(self, client_id: str) -> None:
        async with self._context.database.reading() as connection:
            repository = await store.get(connection, client_id)
            client = await clients.get(connection, client_id)
        if repository is None:
            self._known.pop(client_id, None)
            return
        self._known[client_id] = repository.kind
        if client is None or not client.is_accepted:
            return
        if repository.kind == Kind.EXTERNAL:
            if self.elsewhere is not None:
                await self.elsewhere.bring(repository)
        else:
            if await self.is_behind(repository):
                await self.write(client_id, repository)
            await self.read(client_id, repository.current_commit)
        if repository.problem is not None:
            async with self._context.database.writing() as connection:
                await store.note_problem(connection, client_id, None)
        await in_thread(partial(upkeep.keep_small, self.bare(client_id)))

    async def is_behind(self, repository: Repository) -> bool:
        """Whether a repository is not what was last written, or that is not what there should be."""
        standing = await self._context.standings.of(repository.client_id)
        written = (repository.desired_etag, repository.policy_tag, repository.signer)
        if standing is None or written != (standing.etag, standing.policy, self._keys.present().fingerprint):
            return True
        return self.bare(repository.client_id).branch(DESIRED) != repository.desired_commit

    async def _overtake(self, client_id: str, version: int) -> Content:
        """Publish what a client is to have under a version above the repository's."""
        context = self._context
        now = context.clock()
        async with context.database.writing() as connection:
            known = await desired.version(connection, client_id)
            newer = version_after_loss(max(known, version), int(now.timestamp()))
            await publish(connection, client_id, newer, now=now)
            await audit.note(
                connection,
                now=now,
                actor=SERVER,
                action="renumber",
                subject=client_id,
                before={"version": known},
                after={"version": newer},
                reason=f"its repository has version {version} already, as after a backup was put back",
            )
            content = await writing.content_of(connection, client_id)
        assert content is not None  # noqa: S101 - one was just published
        return content

    async def _out_of_step(self) -> set[str]:
        """Return whose repository has to be looked at, comparing all with what is known in memory."""
        async with self._context.database.reading() as connection:
            known = await store.every(connection)
        self._known = {one.client_id: one.kind for one in known}
        if not known:
            return set()
        heads = await in_thread(partial(self._heads, self._known))
        found: set[str] = set()
        signer = self._keys.present().fingerprint
        self._keys.forget({one.signer for one in known if one.signer is not None})
        for one in known:
            standing = await self._context.standings.of(one.client_id)
            if (
                standing is None
                or (one.desired_etag, one.policy_tag) != (standing.etag, standing.policy)
                or one.signer != signer
                or heads[one.client_id] != (one.desired_commit, one.current_commit)
                or (one.kind == Kind.EXTERNAL and one.pushed_commit != one.desired_commit)
            ):
                found.add(one.client_id)
        return found - self._failures.keys()

    def _heads(self, client_ids: Collection[str]) -> dict[str, tuple[str | None, str | None]]:
        found: dict[str, tuple[str | None, str | None]] = {}
        for client_id in client_ids:
            bare = self.bare(client_id)
            try:
                found[client_id] = (bare.branch(DESIRED), bare.branch(CURRENT))
            except EdgewrightError:
                found[client_id] = (None, None)  # the look at it will tell
        return found

    async def _look_at(self, due: list[str]) -> None:
        remaining = iter(due)

        async def work() -> None:
            for client_id in remaining:
                await self.look(client_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(due))):
                group.create_task(work())

    def _wake_all(self, client_ids: Iterable[str]) -> None:
        for client_id in client_ids:
            self.wake(client_id)

    def _retried(self) -> list[str]:
        """Return whose failure has to be tried again; once, as the look at it tells when the next try is."""
        now = time.monotonic()
        found = [client_id for client_id, failure in self._failures.items() if failure.due <= now]
        for client_id in found:
            self._failures[client_id].due = math.inf
        return found

    async def _pause(self, next_whole: float) -> None:
        until = min([next_whole, *(failure.due for failure in self._failures.values())])
        await asyncio.sleep(GATHER)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._woken.wait()
        except TimeoutError:
            return

    def _note(self, topics: Collection[str]) -> None:
        for topic in topics:
            if topic.startswith(_DEVICE) and (client_id := topic.removeprefix(_DEVICE)) in self._known:
                self.wake(client_id)
            elif topic in {"policies", "signers"}:
                self._all_due = True
                self._woken.set()
