"""One turn and out, for a timer instead of a resident process: poll once, one round if needed, post.

The same code as the watch and its rounds, and the same hours: outside of polling periods nothing is asked,
in downtime, or when the fleet manager wants to be left alone, nothing is said either. How often is for the
timer to say. What a turn need not do it does not even import: an unchanged turn is a poll, and once in a
while a round that looks whether everything still runs.
"""

import os
import select

from edgewright.agent.clock import SYSTEM
from edgewright.agent.paths import Paths, policy_path
from edgewright.agent.state.locks import lock
from edgewright.agent.state.outbox import CAPABILITIES
from edgewright.agent.state.store import Store
from edgewright.agent.talk.conversation import LAST_PROBLEM, Conversation
from edgewright.agent.talk.session import Session
from edgewright.agent.talk.transports import converse

_LAST_ROUND = "sync.turn"  # boot, when on its monotonic clock, the policy it has read
_OBSERVE_EVERY_SECONDS = 300.0


def sync(paths: Paths, config: str | None, policy: str | None = None) -> str:
    """Do one turn; return what went wrong between us and the fleet manager, empty when nothing did.

    Raises AlreadyRunningError when a watch is at work, StoreError, NotEnrolledError, DocumentError.
    """
    paths.make()
    held = lock(paths.watch_lock)
    store = Store(paths.database)
    session = Session.polite(paths, store)
    link: Conversation | None = None
    try:
        link = converse(session, store, paths)  # raises NotEnrolledError
        return _Turn(paths, config, policy, store, link).take()
    finally:
        if link is not None:
            link.end()
        session.close()
        store.close()
        os.close(held)


class _Turn:
    """One turn and everything it works with."""

    def __init__(
        self, paths: Paths, config: str | None, policy: str | None, store: Store, link: Conversation
    ) -> None:
        self._paths = paths
        self._config = config
        self._policy = policy
        self._store = store
        self._link = link
        self._knows_hours = False

    def take(self) -> str:
        """Poll, do a round if one is due, report; return the problem there is with the fleet manager."""
        link = self._link
        fresh = self._is_fresh() and not link.hours.look()
        # Once introduced since this device was started: a timer is no new beginning (spec: CAP-2).
        if not (fresh and link.resume()):
            link.greet()
        # Before anything is said: what the site wants may not be what it wanted at the last turn.
        if not fresh and (self._is_new_policy() or link.outbox.answer(CAPABILITIES) is None):
            self._round()
            fresh = True
        self._post()
        news = link.poll(0.0)
        news = self._settle() or news
        if link.fetch_policy() or news or not fresh:
            self._round()
            self._post()
        return (self._store.meta(LAST_PROBLEM) or "") if link.hours.may_talk else ""

    def _post(self) -> None:
        while self._link.post() or self._link.fd >= 0:
            self._settle()

    def _settle(self) -> bool:
        """Wait for whoever is at work for the conversation; return whether there is news for a round."""
        news = False
        while self._link.fd >= 0:
            poller = select.poll()
            poller.register(self._link.fd, select.POLLIN)
            if SYSTEM.wait(poller, self._link.due()):
                news = self._link.hear() or news
            else:
                self._link.poll(0.0)  # ends who is stuck
        return news

    def _round(self) -> None:
        # An unchanged turn does without all of this.
        from edgewright.agent.round import run_once  # noqa: PLC0415
        from edgewright.agent.settings import Settings  # noqa: PLC0415

        stamp = self._stamp()
        again = run_once(self._paths, Settings.load(self._config), None, self._hear, policy=self._policy)
        self._link.hours.read()
        at = float("-inf") if again is not None else SYSTEM.monotonic()
        self._store.set_meta(_LAST_ROUND, f"{SYSTEM.boot} {at:.0f} {stamp}")

    def _hear(self, line: str) -> None:
        """Take in what the round says: nothing is sent before it has read when that may be."""
        self._knows_hours = self._knows_hours or line == "timetable"
        if self._knows_hours:
            self._post()

    def _is_fresh(self) -> bool:
        """Whether the last round of a turn left nothing to do and was not long ago, in this same boot."""
        boot, at, _ = self._last()
        recent = boot == SYSTEM.boot and SYSTEM.monotonic() - at < _OBSERVE_EVERY_SECONDS
        return recent and not self._is_new_policy()

    def _is_new_policy(self) -> bool:
        return self._last()[2] != self._stamp()

    def _last(self) -> tuple[str, float, str]:
        boot, at, stamp = (self._store.meta(_LAST_ROUND) or "- -inf -").split()
        return boot, float(at), stamp

    def _stamp(self) -> str:
        """Return what tells whether the policy's file is still the one the last round has read."""
        try:
            found = os.stat(policy_path(self._policy))
        except OSError:
            return "-"
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
