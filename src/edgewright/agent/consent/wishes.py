"""What a person on site wishes: a pause of all changes, one change now in spite of everything, another try.

Each is in the store until it has served, and in the audit log. Standard library only: the control socket
and the local page take wishes.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from edgewright.agent.consent.approvals import LATEST, NOUNS, Approvals
from edgewright.agent.consent.audit import LONGEST_NAME, LONGEST_REASON, Audit, plain
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind, Verdict
from edgewright.protocol.errors import EdgewrightError

RETRY = "retry/"
"""Meta names of deployments of which what was given up is to be tried again."""
OVERRIDE_SECONDS = 86400.0
"""An override that was not used by then has to be given again: "now" is not next month."""
PAUSE = "pause"


class WishError(EdgewrightError):
    """What is wished cannot be; the message tells why."""

    code = "wish.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """All changes wait; without `until` for as long as nobody resumes. Times are unix seconds."""

    by: str
    reason: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One digest of one deployment may go ahead, whatever else is said. `at` is unix seconds."""

    deployment_id: str
    kind: Kind
    digest: str
    by: str
    via: str
    reason: str
    at: float

    @property
    def is_removal(self) -> bool:
        """Whether it is about what runs, and not about what is to run."""
        return self.kind is Kind.REMOVE


class Wishes:
    """The wishes in the store; `clock` tells unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._audit = Audit(store, clock)

    def pause(
        self, *, by: str, via: str, reason: str, until: float | None = None, uid: int | None = None
    ) -> Pause:
        """Let nothing begin any more. Raises WishError without a name, and when `until` is over already."""
        _need_name(by)
        now, by, reason = self._clock(), plain(by, LONGEST_NAME), plain(reason, LONGEST_REASON)
        if until is not None and not now < until <= LATEST:
            raise WishError("a pause needs an end that is to come, or none")
        pause = Pause(by=by, reason=reason, since=now, until=until)
        with self._store.transaction():
            self._store.set_meta(PAUSE, json.dumps(asdict(pause)))
            self._audit.record(who=by, via=via, uid=uid, what="paused all changes", reason=reason)
        return pause

    def resume(self, *, by: str, via: str, reason: str = "", uid: int | None = None) -> None:
        """End the pause. Raises WishError when nothing is paused."""
        _need_name(by)
        with self._store.transaction():
            if self.paused() is None:
                raise WishError("nothing is paused")
            self._store.set_meta(PAUSE, "")
            self._audit.record(who=by, via=via, uid=uid, what="resumed all changes", reason=reason)

    def end_pause(self) -> None:
        """Forget the pause, whose time is over."""
        self._store.set_meta(PAUSE, "")

    def paused(self) -> Pause | None:
        """Return the pause, also one that ends with the next round; None where there is none."""
        text = self._store.meta(PAUSE)
        return Pause(**json.loads(text)) if text else None

    def override(
        self, deployment_id: str, *, by: str, via: str, reason: str, uid: int | None = None
    ) -> Override:
        """Let what the last round held of a deployment go ahead in the next one, and nothing else of it.

        Raises WishError when nothing of it is held, and without a name or a reason.
        """
        _need_name(by)
        if not reason.strip():
            raise WishError("to go ahead in spite of the site's policy needs a reason")
        by, reason = plain(by, LONGEST_NAME), plain(reason, LONGEST_REASON)
        with self._store.transaction():
            held = self._held(deployment_id)
            override = Override(
                deployment_id=held.deployment_id,
                kind=held.kind,
                digest=held.digest,
                by=by,
                via=via,
                reason=reason,
                at=self._clock(),
            )
            self._store.connection.execute(
                "INSERT OR REPLACE INTO overrides (deployment_id, kind, digest, by, via, reason, at)"
                " VALUES (:deployment_id, :kind, :digest, :by, :via, :reason, :at)",
                asdict(override),
            )
            subject = f"the {NOUNS[held.kind]} of {held.name} ({held.digest[:19]})"
            what = f"let {subject} begin in spite of: {held.message}"
            self._audit.record(who=by, via=via, uid=uid, what=what, reason=reason)
            if held.approval is not None:
                Approvals(self._store, self._clock).decide(
                    held.approval, Verdict.APPROVED, by=by, via=via, reason=reason, uid=uid
                )
        return override

    def overrides(self) -> list[Override]:
        """Return the overrides that were not used yet."""
        rows = self._store.connection.execute(
            "SELECT deployment_id, kind, digest, by, via, reason, at FROM overrides ORDER BY at"
        )
        return [
            Override(
                deployment_id=deployment_id,
                kind=Kind(kind),
                digest=digest,
                by=by,
                via=via,
                reason=reason,
                at=at,
            )
            for deployment_id, kind, digest, by, via, reason, at in rows
        ]

    def drop_override(self, override: Override) -> None:
        """Forget an override: it was used, or is about something that is not wanted any more."""
        self._store.connection.execute(
            "DELETE FROM overrides WHERE deployment_id = ? AND digest = ?",
            (override.deployment_id, override.digest),
        )

    def retry(self, deployment_ids: Iterable[str], *, by: str, via: str, uid: int | None = None) -> None:
        """Let what was given up of these deployments be tried again by the next round."""
        _need_name(by)
        with self._store.transaction():
            for each in deployment_ids:
                self._store.set_meta(RETRY + each, "wished")
                self._audit.record(who=by, via=via, uid=uid, what=f"wished another try of deployment {each}")

    def reset_version(self, *, by: str, via: str, reason: str = "", uid: int | None = None) -> None:
        """Let the next manifest be accepted whatever its version (spec: OP-16)."""
        _need_name(by)
        self._audit.record(
            who=by, via=via, uid=uid, what="made the device forget the manifest version", reason=reason
        )
        self._store.forget_version()

    def _held(self, deployment_id: str) -> HeldBack:
        held = {each.deployment_id.lower(): each for each in Holds(self._store).held()}
        if deployment_id.lower() not in held:
            raise WishError(f"nothing of deployment {deployment_id} waits for the site")
        return held[deployment_id.lower()]


def _need_name(by: str) -> None:
    if not by.strip():
        raise WishError("a wish needs the name of whoever has it")
