"""Brings along devices that assignments begin or cease to select, as they enrol, report and are labelled.

It hears of every change (`Database.when_changed`) and looks only at devices whose labels, capabilities or
acceptance really changed, and at whole assignments when one of their rollouts has ended. Nothing has to be
remembered: after a start everything is looked at once.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from edgewright.server.context import ServerContext
from edgewright.server.fleet import keeping as fleet
from edgewright.server.store import assignments, rollouts
from edgewright.server.store.rows import among
from edgewright.server.store.tables import clients, devices

log = logging.getLogger(__name__)

# News come in bursts: a fleet that returns reports itself at once.
GATHER: Final = timedelta(seconds=1)
AGAIN: Final = timedelta(seconds=60)
_DEVICE: Final = "device:"
_PORTION: Final = 10
_AT_ONCE: Final = 400


class Keeper:
    """The one that brings devices along; `run` it as a task."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._changed: set[str] = set()
        self._known: dict[str, object] = {}
        self._ended: set[str] = set()
        self._has_rollouts = True
        self._woken = asyncio.Event()
        context.database.when_changed(self._note)

    async def run(self) -> None:
        """Go on until cancelled; what fails is told, and tried again a little later."""
        while True:
            await asyncio.sleep(GATHER.total_seconds())
            changed, self._changed = self._changed, set()
            self._woken.clear()
            try:
                await self._look(changed)
            except Exception:
                log.exception("bringing devices along failed; the next try is in %s", AGAIN)
                self._changed |= changed
                self._has_rollouts = True
                await asyncio.sleep(AGAIN.total_seconds())
                continue
            await self._woken.wait()

    async def _look(self, changed: set[str]) -> None:
        """Look at assignments whose rollout has ended, and at devices that are not as they were."""
        has_rollouts, self._has_rollouts = self._has_rollouts, False
        async with self._context.database.reading() as connection:
            known = await assignments.every(connection)
            ended = {}
            if has_rollouts:
                for record in known:
                    newest = await rollouts.of_assignment(connection, record.id)
                    if newest and newest[0].has_ended:
                        ended[record.id] = newest[0].id
        names = await self._really_changed(sorted(changed))
        for record in known:
            is_new = ended.get(record.id) is not None and ended[record.id] not in self._ended
            for some in [None] if is_new else _portions(names, _AT_ONCE):
                async with self._context.database.reading() as connection:
                    revision, found = await fleet.out_of_step(connection, record, some)
                for few in _portions(found, _PORTION):
                    await self._bring(record, revision, few)
        self._ended |= set(ended.values())

    async def _bring(self, record: assignments.AssignmentRecord, revision: int, few: Sequence[str]) -> None:
        context = self._context
        async with context.database.writing() as connection:
            await fleet.bring_along(connection, record, revision, few, now=context.clock())
        log.info("%s revision %s: brought along %s", record.name, revision, ", ".join(few))

    async def _really_changed(self, names: Sequence[str]) -> list[str]:
        """Return those of these devices that are not as they were when they were looked at last."""
        found = []
        for some in _portions(names, _AT_ONCE):
            async with self._context.database.reading() as connection:
                query = select(clients.c.client_id, clients.c.state, clients.c.labels)
                rows = (await connection.execute(among(query, clients.c.client_id, some))).all()
                reports = select(devices.c.client_id, devices.c.device_id, devices.c.document)
                told = (await connection.execute(among(reports, devices.c.client_id, some))).all()
            documents: dict[str, list[int]] = {}
            for client_id, device_id, document in told:
                documents.setdefault(client_id, []).append(hash((device_id, document)))
            for client_id, state, labels in rows:
                present = (state, labels, tuple(sorted(documents.get(client_id, ()))))
                if self._known.get(client_id) != present:
                    self._known[client_id] = present
                    found.append(client_id)
        return found

    def _note(self, topics: Collection[str]) -> None:
        names = {topic.removeprefix(_DEVICE) for topic in topics if topic.startswith(_DEVICE)}
        self._changed |= names
        self._has_rollouts |= "rollouts" in topics
        if names or "rollouts" in topics:
            self._woken.set()


def _portions(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]
