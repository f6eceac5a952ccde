"""One turn and out, for a timer instead of a resident process: poll once, one round if needed, post.

The same code as the watch and its rounds. What a turn need not do it does not even import: an unchanged
turn is a poll, and once in a while a round that looks whether everything still runs.
"""

import os
import time

from edgewright.agent.link import LAST_PROBLEM, Link
from edgewright.agent.locks import lock
from edgewright.agent.outbox import CAPABILITIES
from edgewright.agent.paths import Paths
from edgewright.agent.session import Session
from edgewright.agent.store import Store

_LAST_ROUND = "sync.round"
_OBSERVE_EVERY_SECONDS = 300.0


def sync(paths: Paths, config: str | None) -> str:
    """Do one turn; return what went wrong between us and the fleet manager, empty when nothing did.

    Raises AlreadyRunningError when a watch is at work, StoreError, NotEnrolledError, DocumentError.
    """
    paths.make()
    held = lock(paths.watch_lock)
    store = Store(paths.database)
    session = Session(paths)
    try:
        session.identity  # noqa: B018 - raises NotEnrolledError
        return _turn(paths, config, store, Link(session, store))
    finally:
        session.close()
        store.close()
        os.close(held)


def _turn(paths: Paths, config: str | None, store: Store, link: Link) -> str:
    # Once introduced since this device was started: a timer is no new beginning (spec: CAP-2).
    fresh = _is_fresh(store.meta(_LAST_ROUND)) and link.resume()
    if not fresh:
        link.greet()
        if link.outbox.answer(CAPABILITIES) is None:
            _round(paths, config, store, link)
            fresh = True
    _post(link)
    news = link.poll(0.0)
    if news or not fresh:
        _round(paths, config, store, link)
        _post(link)
    return store.meta(LAST_PROBLEM) or ""


def _post(link: Link) -> None:
    while link.post():
        pass


def _round(paths: Paths, config: str | None, store: Store, link: Link) -> None:
    # An unchanged turn does without all of this.
    from edgewright.agent.round import run_once  # noqa: PLC0415
    from edgewright.agent.settings import Settings  # noqa: PLC0415

    again = run_once(paths, Settings.load(config), None, lambda _: _post(link))
    store.set_meta(_LAST_ROUND, "" if again is not None else f"{_boot()} {time.monotonic():.0f}")


def _is_fresh(text: str | None) -> bool:
    """Whether the last round of a turn left nothing to do and was not long ago, in this same boot."""
    boot, _, at = (text or "").partition(" ")
    return bool(at) and boot == _boot() and time.monotonic() - float(at) < _OBSERVE_EVERY_SECONDS


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
