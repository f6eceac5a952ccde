"""Takes rollouts further while the server runs: as soon as a device is heard of, and as time goes by.

What it remembers is only whom it has heard of since it looked last. All else is in the database, so that it
goes on after a start where it stood before, however that ended.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from edgewright.protocol.errors import EdgewrightError
from edgewright.server.context import ServerContext
from edgewright.server.domain.rollouts import Happened, sentence
from edgewright.server.fleet import assignments, rollouts
from edgewright.server.fleet.rollouts import Look
from edgewright.server.store import rollouts as kept
from edgewright.server.store.database import announce

log = logging.getLogger(__name__)

# How often every device under way is looked at, as its contact changes without a word.
LOOK_EVERY: Final = timedelta(seconds=15)
# How many devices are given something in one transaction: nobody else writes meanwhile.
_PORTION: Final = 10
# A look at many devices takes its time; so much of the time, at most, goes into that.
_SHARE: Final = 0.1
# While devices report without end, a look is followed by thrice its length, at most by so many seconds.
_LONGEST_REST: Final = 3.0
_DEVICE: Final = "device:"
# Nobody waits longer than this for the first look.
_SETTLED: Final = timedelta(seconds=2)


class Conductor:
    """The one that takes rollouts further; `run` it as a task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._heard: set[str] = set()
        self._woken = asyncio.Event()
        self._not_reverted: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []
        context.database.when_changed(self._note)

    async def run(self) -> None:
        """Go on until cancelled; what fails is told, and tried again at the next look."""
        next_whole = 0.0
        while True:
            started = time.monotonic()
            is_whole = started >= next_whole
            self._woken.clear()
            waiting, self._waiting = self._waiting, []
            wake = await self._round(is_whole=is_whole)
            for one in waiting:
                if not one.done():
                    one.set_result(None)
            took = time.monotonic() - started
            if is_whole:
                next_whole = started + max(LOOK_EVERY.total_seconds(), took / _SHARE)
            await self._pause(took, min(next_whole - time.monotonic(), self._until(wake)))

    async def settle(self) -> None:
        """Return when what was committed so far has been looked at, or soon even so.

        Who has just changed an assignment finds at once what became of it, unless that takes its time.
        """
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(seen)
        self._woken.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED.total_seconds()):
                await seen

    async def _pause(self, took: float, longest: float) -> None:
        """Wait until there is news, `longest` seconds at most, and so long that others have their share."""
        await asyncio.sleep(min(3 * took, _LONGEST_REST))
        try:
            async with asyncio.timeout(max(0.0, longest)):
                await self._woken.wait()
        except TimeoutError:
            return

    def _until(self, wake: datetime | None) -> float:
        return (
            LOOK_EVERY.total_seconds()
            if wake is None
            else (wake - self._context.clock()).total_seconds() + 0.01
        )

    async def _round(self, *, is_whole: bool) -> datetime | None:
        """Look at every rollout once; return when the next one has to be looked at by the clock."""
        heard = self._take()
        try:
            async with self._context.database.reading() as connection:
                ids = await kept.open_ones(connection)
                ids += await kept.watched_ones(connection, None if is_whole else heard)
        except Exception:
            log.exception("looking for rollouts failed; the next look is in %s", LOOK_EVERY)
            self._heard |= heard
            return None
        wakes = []
        for rollout_id in ids:
            try:
                wakes.append(await self._conduct(rollout_id, None if is_whole else heard))
            except Exception:
                log.exception(
                    "rollout %s was not taken further; the next look is in %s", rollout_id, LOOK_EVERY
                )
        return min((wake for wake in wakes if wake is not None), default=None)

    async def _conduct(self, rollout_id: str, heard: Collection[str] | None) -> datetime | None:
        """Take one rollout as far as it goes now."""
        context = self._context
        while True:
            async with context.database.reading() as connection:
                seen = await rollouts.look(connection, rollout_id, context.heard, changed=heard)
            if seen is None:
                return None
            if seen.has_changes:
                async with context.database.writing() as connection:
                    if not await rollouts.keep(connection, seen, now=context.clock()):
                        continue
            if seen.made.reverts:
                await self._revert(seen)
            if not seen.has_changes and not seen.made.begin:
                return seen.made.wake
            heard = await self._begin(seen)

    async def _begin(self, seen: Look) -> set[str]:
        """Give the devices whose turn it is what they are to have; return whom to look at next."""
        given: set[str] = set()
        for some in _portions(seen.made.begin):
            async with self._context.database.writing() as connection:
                is_done = await rollouts.begin(
                    connection,
                    seen.record.id,
                    some,
                    serial=seen.record.serial,
                    now=self._context.clock(),
                )
            if not is_done:
                break
            given.update(some)
        return given

    async def _revert(self, seen: Look) -> None:
        """Roll out what was there before; one that cannot be reverted is told of once."""
        record = seen.record
        if record.id in self._not_reverted:
            return
        database, now = self._context.database, self._context.clock()
        try:
            async with database.reading() as connection:
                earlier = await rollouts.revision_before(connection, record)
                prepared = await assignments.prepare_revert(connection, record.assignment, earlier)
                reason = sentence(prepared.reason, seen.made.rollout.message)
            async with database.writing() as connection:
                await assignments.put(
                    connection,
                    replace(prepared, reason=reason),
                    strategy=record.value.strategy.in_haste(),
                    actor=rollouts.SERVER,
                    now=now,
                )
        except EdgewrightError as error:
            self._not_reverted.add(record.id)
            told = Happened(what="not-reverted", message=f"Could not be reverted: {error}")
            async with database.writing() as connection:
                if await kept.has_happened(connection, record.id, told):
                    return  # told before the server was started anew
                await kept.add_events(connection, record.id, [told], actor=rollouts.SERVER, now=now)
                announce(connection, f"rollout:{record.id}")

    def _note(self, topics: Collection[str]) -> None:
        self._heard.update(topic.removeprefix(_DEVICE) for topic in topics if topic.startswith(_DEVICE))
        if any(topic.startswith((_DEVICE, "rollout:")) for topic in topics):
            self._woken.set()

    def _take(self) -> set[str]:
        heard, self._heard = self._heard, set()
        return heard


def _portions(names: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while some := list(islice(remaining, _PORTION)):
        yield some
