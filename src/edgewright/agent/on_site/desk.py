"""What a person on site asks of the agent: by the command line, the control socket, or the local page.

A request is a mapping with the verb in `do`; so is the answer. Whatever changes something is written down
with who asked, and the watch is told, so that it happens at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edgewright.agent.clock import SYSTEM, Clock, accept
from edgewright.agent.consent.approvals import LATEST, Approvals
from edgewright.agent.consent.audit import Audit
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.on_site.facts import approval_facts, facts
from edgewright.agent.paths import Paths
from edgewright.agent.site.in_force import Site, look
from edgewright.agent.site.schedule import zone_of_people
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.locks import holder
from edgewright.agent.state.mirror import path_beside
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import GIVEN_UP, reported
from edgewright.agent.state.store import Store
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import Manners, QuietError
from edgewright.protocol.consent import DECISIONS, Verdict
from edgewright.protocol.errors import EdgewrightError

_TEXT_LIMIT: Final = 1000
_NAME_LIMIT: Final = 200

Answer = dict[str, Any]


class RequestError(EdgewrightError):
    """What was asked for cannot be done like this; nothing was changed."""

    code = "request.refused"


class NothingToDoError(EdgewrightError):
    """There is nothing that could be done about what was asked."""

    code = "request.pointless"


class NotHereError(EdgewrightError):
    """No agent has been at work in this state directory."""

    code = "state.missing"


class Desk:
    """Takes requests that come `via` some way, from the user `uid` where that is known."""

    def __init__(
        self,
        paths: Paths,
        store: Store,
        site: Site,
        *,
        via: str,
        uid: int | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._paths = paths
        self._store = store
        self._site = site
        self._via = via
        self._uid = uid
        self._clock = clock
        self._approvals = Approvals(store, clock.time)
        self._wishes = Wishes(store, clock.time)
        self._audit = Audit(store, clock.time)

    @property
    def zone(self) -> tzinfo:
        """The time zone of the people here."""
        try:
            return ZoneInfo(zone_of_people(self._site.policy))
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")

    def facts(self) -> Answer:
        """Return everything there is to show."""
        return facts(self._paths, self._store, self._site, clock=self._clock)

    def note(self, who: str, what: str) -> None:
        """Write down that `who` did `what`."""
        self._audit.record(who=who, via=self._via, what=what, uid=self._uid)

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Do what is asked for and return what is to be told, or raise EdgewrightError and do nothing."""
        verb = request.get("do")
        known = VERBS.get(verb) if isinstance(verb, str) else None
        if known is None:
            raise RequestError(
                f"nobody here knows how to do {str(verb)[:40]!r}; known are {', '.join(VERBS)}"
            )
        return known(self, request)

    def _status(self, _request: Mapping[str, Any]) -> Answer:
        return self.facts()

    def _list(self, request: Mapping[str, Any]) -> Answer:
        found = self._approvals.all(1000) if request.get("all") else list(reversed(self._approvals.open()))
        return {"approvals": [approval_facts(each) for each in found]}

    def _show(self, request: Mapping[str, Any]) -> Answer:
        return {"approval": approval_facts(self._approvals.get(_number(request, "number")))}

    def _decide(self, request: Mapping[str, Any]) -> Answer:
        word = _text(request, "verdict")
        if word not in DECISIONS:
            raise RequestError(f"expected one of {', '.join(sorted(DECISIONS))} as the verdict, got {word!r}")
        approval = self._approvals.decide(
            _number(request, "number"),
            Verdict(word),
            until=_moment(request, "until"),
            digest=_text(request, "digest") or None,
            **self._person(request),
        )
        return {"approval": approval_facts(approval), **self._tell()}

    def _pause(self, request: Mapping[str, Any]) -> Answer:
        self._wishes.pause(until=_moment(request, "until"), **self._person(request))
        return self._tell()

    def _resume(self, request: Mapping[str, Any]) -> Answer:
        self._wishes.resume(**self._person(request))
        return self._tell()

    def _override(self, request: Mapping[str, Any]) -> Answer:
        made = self._wishes.override(_text(request, "deployment"), **self._person(request))
        return {"deployment": made.deployment_id, "digest": made.digest, **self._tell()}

    def _retry(self, request: Mapping[str, Any]) -> Answer:
        """Have what was given up tried again: of one deployment, or of all."""
        wanted = _text(request, "deployment")
        ledger = Ledger(self._store, Outbox(self._store), device_id="", notify=lambda: None)
        known = [each for each in reported(ledger.revisions()) if wanted in ("", each.deployment_id)]
        if not known and wanted:
            raise RequestError(f"there is no deployment {wanted} on this device")
        given_up = [each for each in known if each.stage in GIVEN_UP]
        if not given_up:
            raise NothingToDoError("nothing was given up, so there is nothing to try again")
        person = self._person(request)
        self._wishes.retry(
            [each.deployment_id for each in given_up], by=person["by"], via=self._via, uid=self._uid
        )
        retried = [{"id": each.deployment_id, "name": each.name} for each in given_up]
        needs_approval = self._site.policy.apply.approval == "required"
        return {"deployments": retried, "needs_approval": needs_approval, **self._tell()}

    def _reset_version(self, request: Mapping[str, Any]) -> Answer:
        self._wishes.reset_version(**self._person(request))
        return self._tell()

    def _accept_clock(self, request: Mapping[str, Any]) -> Answer:
        person = self._person(request)
        self._need_name(person["by"])
        with self._store.transaction():
            accept(self._store, self._clock)
            self._audit.record(what="said that the clock is right", who=person.pop("by"), **person)
        return self._tell()

    def _poll(self, request: Mapping[str, Any]) -> Answer:
        person = self._person(request)
        self._need_name(person["by"])
        if holder(self._paths.watch_lock) is None:
            raise NothingToDoError("the agent is not running, so nobody asks the fleet manager")
        try:
            Manners(self._store, self._clock, Hours(self._store, self._clock)).before()
        except QuietError as error:
            raise NothingToDoError(f"the fleet manager is not asked now: {error}") from None
        self._audit.record(what="had the fleet manager asked", who=person.pop("by"), **person)
        return self._tell(signal.SIGHUP)

    def _person(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return who asks, as everything that writes it down takes it."""
        by = " ".join(_text(request, "by").split())[:_NAME_LIMIT]
        return {"by": by, "via": self._via, "reason": _text(request, "reason").strip(), "uid": self._uid}

    def _need_name(self, by: str) -> None:
        if not by:
            raise RequestError("it needs the name of whoever asks")

    def _tell(self, how: signal.Signals = signal.SIGUSR1) -> Answer:
        """Have the watch start a round now; return whether there is one that does."""
        watch = holder(self._paths.watch_lock)
        if watch is None:
            return {"running": False}
        try:
            os.kill(watch, how)
        except (ProcessLookupError, PermissionError):  # it has ended, or is another user's: it looks later
            return {"running": False}
        return {"running": True}


VERBS: Final[Mapping[str, Callable[[Desk, Mapping[str, Any]], Answer]]] = {
    "status": Desk._status,
    "approvals": Desk._list,
    "approval": Desk._show,
    "decide": Desk._decide,
    "override": Desk._override,
    "pause": Desk._pause,
    "resume": Desk._resume,
    "poll": Desk._poll,
    "retry": Desk._retry,
    "reset-version": Desk._reset_version,
    "accept-clock": Desk._accept_clock,
}


def has_state(paths: Paths) -> bool:
    """Whether an agent has been at work here."""
    left = (paths.database, path_beside(paths.database), paths.identity)
    return any(Path(each).exists() for each in left)


@contextmanager
def open_desk(paths: Paths, policy: str | None, *, via: str, uid: int | None = None) -> Iterator[Desk]:
    """Open the agent's state and yield a desk for it. Raises NotHereError where there is none."""
    if not has_state(paths):
        raise NotHereError(
            f"{paths.root}: no agent has been at work here; begin with 'edgewright agent enroll'"
        )
    store = Store(paths.database)
    try:
        yield Desk(paths, store, look(store, policy), via=via, uid=uid)
    finally:
        store.close()


def _text(request: Mapping[str, Any], name: str) -> str:
    """Return the text called `name`, empty where there is none."""
    value = request.get(name) or ""
    if not isinstance(value, str):
        raise RequestError(f"{name}: expected text")
    if len(value) > _TEXT_LIMIT:
        raise RequestError(f"{name}: expected at most {_TEXT_LIMIT} characters")
    return value


def _number(request: Mapping[str, Any], name: str) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise RequestError(f"{name}: expected a whole number")
    return value


def _moment(request: Mapping[str, Any], name: str) -> float | None:
    """Return the unix seconds called `name`, None where there are none."""
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise RequestError(f"{name}: expected unix seconds")
    return float(value)
