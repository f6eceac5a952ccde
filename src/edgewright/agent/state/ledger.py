"""The revisions on disk. Writing one queues its status in the same durable step (spec: ST-1).

So what was reported and what is remembered can never differ, wherever the process is killed.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from edgewright.agent.consent.wishes import RETRY
from edgewright.agent.failpoints import hit
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.retention import forgotten
from edgewright.agent.state.revisions import (
    Failure,
    Progress,
    Revision,
    Stage,
    StandIn,
    adopted_version,
    last_good,
)
from edgewright.agent.state.status import report
from edgewright.agent.state.store import Store
from edgewright.protocol.media_types import status_path
from edgewright.protocol.status import State

Key = tuple[str, str]
"""Deployment id and digest."""
_SELECT = (
    "SELECT deployment_id, digest, stage, adopted, name, components, error, verified, begun,"
    " attempts, leaving, stand_in, changed FROM revisions"
)
_RELEASE = "release"


class Ledger:
    """All revisions this device knows; `notify` is called whenever a report was queued.

    `clock` tells unix seconds.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        *,
        device_id: str,
        notify: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self._device_id = device_id
        self._notify = notify

    def revisions(self) -> tuple[Revision, ...]:
        """Return all of them, in the order of their first appearance."""
        rows = self._store.connection.execute(f"{_SELECT} ORDER BY rowid")
        return tuple(_revision(*row) for row in rows)

    def of(self, deployment_id: str) -> tuple[Revision, ...]:
        """Return those of one deployment, in the same order."""
        query = f"{_SELECT} WHERE deployment_id = ? ORDER BY rowid"
        rows = self._store.connection.execute(query, (deployment_id,))
        return tuple(_revision(*row) for row in rows)

    def record(self, *revisions: Revision) -> None:
        """Remember the revisions as they are now and queue what there is to report, in one step."""
        with self._store.transaction():
            queued = [self._write(revision) for revision in revisions]
        if any(queued):
            hit("report.queued")
            self._notify()

    def begin(self, revision: Revision) -> None:
        """Remember that `revision` begins to take the place of the deployment's others, or to be removed."""
        with self._store.transaction():
            self._store.connection.execute(
                "UPDATE revisions SET stage = ? WHERE deployment_id = ? AND digest <> ?",
                (Stage.SUPERSEDED, *revision.key),
            )
            queued = self._write(revision)
            if revision.stage is Stage.REMOVING:  # nothing is held any more, wanted again or not
                query = "UPDATE revisions SET begun = 0, verified = 0 WHERE deployment_id = ?"
                self._store.connection.execute(query, (revision.deployment_id,))
            else:
                self._count_as_begun(revision)
        if queued:
            self._notify()

    def repair(self, revision: Revision) -> None:
        """Remember that what stopped of a good revision is being put back; the others stay as they are."""
        with self._store.transaction():
            queued = self._write(revision)
            self._count_as_begun(revision)
        if queued:
            self._notify()

    def commit(self, revision: Revision, *, keep: int) -> Revision:
        """Remember that `revision` runs whole, which makes it the last good one; return it so.

        Of the deployment's other good ones the newest `keep` stay known, to fall back to.
        """
        with self._store.transaction():
            siblings = self.of(revision.deployment_id)
            last = last_good(siblings)
            if last is None:
                revision = replace(revision, verified=1)
            elif last.key != revision.key:
                revision = replace(revision, verified=last.verified + 1)
            for each in forgotten(siblings, revision, keep):
                self.drop(each)
            queued = self._write(revision)
            self._count_as_begun(revision)
        if queued:
            self._notify()
        return revision

    def roll_back(self, revision: Revision, good: Revision) -> None:
        """Remember that `good` runs whole in place of `revision`, which is what is reported, in one step."""
        with self._store.transaction():
            self._write(good, reported=False)
            self._count_as_begun(good)
            queued = self._write(revision)
        if queued:
            self._notify()

    def retries(self) -> set[str]:
        """Return the deployments of which a person wants what was given up to be tried again."""
        query = "SELECT name FROM meta WHERE substr(name, 1, ?) = ?"
        rows = self._store.connection.execute(query, (len(RETRY), RETRY))
        return {name.removeprefix(RETRY) for (name,) in rows}

    def take_up(
        self,
        revisions: Sequence[Revision],
        *,
        overtaken: Iterable[Revision] = (),
        in_doubt: Collection[Key] = (),
    ) -> None:
        """Remember the wanted revisions as they stand now, and forget those `overtaken`, in one step.

        What a person wished is then under way. Of those `in_doubt` (keys) nothing is reported yet: what is to
        be done about them tells how they are.
        """
        with self._store.transaction():
            for each in overtaken:
                self.drop(each)
            queued = [self._write(each, reported=each.key not in in_doubt) for each in revisions]
            self._store.connection.execute(
                "DELETE FROM meta WHERE substr(name, 1, ?) = ?", (len(RETRY), RETRY)
            )
        if any(queued):
            self._notify()

    @property
    def release_is_due(self) -> bool:
        """Whether this device may hold what no revision needs any more."""
        return self._store.meta(_RELEASE) == "due"

    def released(self) -> None:
        """Remember that what no revision needs was removed."""
        self._store.set_meta(_RELEASE, "done")

    def drop(self, revision: Revision) -> None:
        """Forget one revision that is wanted no more; what was reported of its deployment stays."""
        with self._store.transaction():
            self._store.connection.execute(
                "DELETE FROM revisions WHERE deployment_id = ? AND digest = ?", revision.key
            )
            self._store.set_meta(_RELEASE, "due")

    def forget(self, revision: Revision) -> None:
        """Report that the deployment of `revision` is removed, and forget it altogether, in one step."""
        with self._store.transaction():
            queued = self._write(revision)
            self._store.connection.execute(
                "DELETE FROM revisions WHERE deployment_id = ?", (revision.deployment_id,)
            )
            self._outbox.forget(_name(revision.deployment_id))
            self._store.set_meta(_RELEASE, "due")
        if queued:
            self._notify()

    def _count_as_begun(self, revision: Revision) -> None:
        """Note that `revision` is the one of its deployment that was begun last (spec: ST-21)."""
        self._store.connection.execute(
            "UPDATE revisions SET begun = 1 +"
            " (SELECT max(begun) FROM revisions WHERE deployment_id = ?1)"
            " WHERE deployment_id = ?1 AND digest = ?2",
            revision.key,
        )

    def _write(self, revision: Revision, *, reported: bool = True) -> bool:
        """Write one revision and queue its status; return whether that says anything new.

        Nothing is said of one that was replaced, nor of one that runs while something has still to go for it:
        it is completely applied only then (spec: ST-8). `begun` is taken over from one that is new here, and
        counted by the steps that begin one after that.
        """
        components = [[each.name, each.state, _plain(each.failure)] for each in revision.components]
        failure = None if revision.failure is None else json.dumps(_plain(revision.failure))
        self._store.connection.execute(
            "INSERT INTO revisions (deployment_id, digest, stage, adopted, name, components, error,"
            " verified, attempts, changed, leaving, stand_in, begun)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            " ON CONFLICT (deployment_id, digest) DO UPDATE SET stage = ?3, adopted = ?4, name = ?5,"
            " components = ?6, error = ?7, verified = ?8, attempts = ?9, changed = ?10, leaving = ?11,"
            " stand_in = ?12",
            (
                *revision.key,
                revision.stage,
                str(revision.adopted),  # 64 bits without a sign: text (spec: OP-15)
                revision.name,
                json.dumps(components),
                failure,
                revision.verified,
                revision.attempts,
                self._clock(),
                json.dumps(revision.leaving),
                None if revision.stand_in is None else json.dumps(asdict(revision.stand_in)),
                revision.begun,
            ),
        )
        unfinished = revision.stage is Stage.INSTALLED and revision.leaving
        if revision.stage is Stage.SUPERSEDED or unfinished or not reported:
            return False
        adopted = adopted_version(revision, self.of(revision.deployment_id))
        body = report(revision, self._device_id, adopted).render()
        path = status_path(revision.deployment_id)
        return self._outbox.queue(_name(revision.deployment_id), "POST", path, body)


def _name(deployment_id: str) -> str:
    return f"status/{deployment_id}"


def _plain(failure: Failure | None) -> list[str] | None:
    return None if failure is None else [failure.code, failure.message]


def _failure(plain: list[str] | None) -> Failure | None:
    return None if plain is None else Failure(code=plain[0], message=plain[1])


def _revision(*row: Any) -> Revision:
    deployment_id, digest, stage, adopted, name, components, error, verified, begun, *rest = row
    attempts, leaving, stand_in, changed = rest
    return Revision(
        deployment_id=deployment_id,
        digest=digest,
        stage=Stage(stage),
        adopted=int(adopted),
        name=name,
        components=tuple(
            Progress(name=each[0], state=State(each[1]), failure=_failure(each[2]))
            for each in json.loads(components)
        ),
        failure=_failure(None if error is None else json.loads(error)),
        verified=verified,
        begun=begun,
        attempts=attempts,
        leaving=tuple(json.loads(leaving)),
        stand_in=None if stand_in is None else StandIn(**json.loads(stand_in)),
        changed=changed,
    )
