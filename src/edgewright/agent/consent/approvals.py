"""Approvals: a person on site agrees to one change of one deployment, or does not.

One is asked for by the round when a change that needs it would begin (`gate.py`). It is about one digest:
once something else is wanted it is void, also when the same is wanted again later, and then asked anew.
Approved, it lets that change begin once, until it expires. Postponed, it is asked again later; rejected, it
holds the change until a person decides otherwise or something else is wanted.

Standard library only: the local page and the control socket show them and decide.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgewright.agent.consent.audit import LONGEST_NAME, LONGEST_REASON, Audit, plain
from edgewright.agent.state.store import Store
from edgewright.protocol.consent import DECISIONS, STANDING, Kind, Verdict
from edgewright.protocol.errors import EdgewrightError

LATEST = 253_370_764_800.0
"""9999-01-01: no calendar, and so nobody who shows it, knows much later moments."""
KEPT = 200
"""How many of those that do not stand any more are remembered."""
_COLUMNS = (
    "number, deployment_id, name, kind, digest, asked, valid_seconds, summary, verdict, by, via, reason,"
    " decided, until, expires"
)
NOUNS = {Kind.INSTALL: "installation", Kind.UPDATE: "update", Kind.REMOVE: "removal"}


class ApprovalError(EdgewrightError):
    """A decision cannot be taken like this; the message tells why and what can be done instead."""

    code = "approval.refused"


class UnknownApprovalError(ApprovalError):
    """There is no approval of this number."""

    code = "approval.unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One approval. All times are unix seconds.

    `digest` is that of the document that is wanted, for a removal of the one that runs. `summary` is plain
    JSON (`summary.py`). `by`, `via`, `reason` and `decided` tell of the decision taken last. `until` is when
    a postponed one is asked again, `expires` when an approved one that was not used is of no use any more:
    `valid_seconds` after the decision.
    """

    number: int
    deployment_id: str
    name: str
    kind: Kind
    digest: str
    asked: float
    valid_seconds: float
    summary: Mapping[str, Any]
    verdict: Verdict = Verdict.ASKED
    by: str = ""
    via: str = ""
    reason: str = ""
    decided: float | None = None
    until: float | None = None
    expires: float | None = None

    @property
    def is_standing(self) -> bool:
        """Whether what it is about still waits, and a person can still decide otherwise."""
        return self.verdict in STANDING

    @property
    def is_removal(self) -> bool:
        """Whether it is about what runs, and not about what is to run."""
        return self.kind is Kind.REMOVE

    @property
    def subject(self) -> str:
        """What it is about, for people: `the update of shop to 4f2a90c1be77`."""
        noun, link = NOUNS[self.kind], "to" if self.kind is Kind.UPDATE else "as"
        return f"the {noun} of {self.name} {link} {self.digest.rpartition(':')[2][:12]}"


class Approvals:
    """The approvals in the store; `clock` tells unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def open(self) -> list[Approval]:
        """Return those whose subject still waits, oldest first, whatever was decided so far."""
        words = ", ".join("?" * len(STANDING))
        return self._select(f"WHERE verdict IN ({words}) ORDER BY number", *STANDING)

    def all(self, limit: int = 20) -> list[Approval]:
        """Return the newest, newest first."""
        return self._select("ORDER BY number DESC LIMIT ?", limit)

    def get(self, number: int) -> Approval:
        """Return one. Raises UnknownApprovalError."""
        found = self._select("WHERE number = ?", number)
        if not found:
            raise UnknownApprovalError(f"there is no approval {number}")
        return found[0]

    def decide(
        self,
        number: int,
        verdict: Verdict,
        *,
        by: str,
        via: str,
        reason: str = "",
        until: float | None = None,
        uid: int | None = None,
        digest: str | None = None,
    ) -> Approval:
        """Decide (approved, postponed, rejected), and write down who did; return the approval as it is then.

        `digest` is what the person saw, where that is known: another one is not decided about. A rejection
        needs a reason, a postponement a time that is to come. Raises ApprovalError.
        """
        now, by, reason = self._clock(), plain(by, LONGEST_NAME), plain(reason, LONGEST_REASON)
        with self._store.transaction():
            approval = self.get(number)
            refusal = _refusal(approval, verdict, by=by, reason=reason, until=until, digest=digest, now=now)
            if refusal is not None:
                raise ApprovalError(refusal)
            decided = replace(
                approval,
                verdict=verdict,
                by=by,
                via=via,
                reason=reason,
                decided=now,
                until=until if verdict is Verdict.POSTPONED else None,
                expires=now + approval.valid_seconds if verdict is Verdict.APPROVED else None,
            )
            self.write(decided)
            Audit(self._store, self._clock).record(
                who=by,
                via=via,
                uid=uid,
                what=f"{verdict} {approval.subject} (approval {number})",
                reason=reason,
            )
        return decided

    def ask(
        self,
        *,
        deployment_id: str,
        name: str,
        kind: Kind,
        digest: str,
        summary: Mapping[str, Any],
        valid_seconds: float,
    ) -> Approval:
        """Ask for one; the oldest that do not stand any more are forgotten."""
        with self._store.transaction():
            number = self._store.connection.execute(
                "INSERT INTO approvals"
                " (deployment_id, name, kind, digest, asked, valid_seconds, summary, verdict)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    deployment_id,
                    name,
                    kind,
                    digest,
                    self._clock(),
                    valid_seconds,
                    json.dumps(summary, ensure_ascii=False),
                    Verdict.ASKED,
                ),
            ).lastrowid
            self._forget_old()
            return self.get(number or 0)

    def describe(self, number: int, summary: Mapping[str, Any]) -> None:
        """Tell more of what would change; that is what it was."""
        text = json.dumps(summary, ensure_ascii=False)
        self._store.connection.execute("UPDATE approvals SET summary = ? WHERE number = ?", (text, number))

    def write(self, approval: Approval) -> None:
        """Write down how `approval` stands now; what it is about never changes."""
        self._store.connection.execute(
            "UPDATE approvals SET verdict = ?, by = ?, via = ?, reason = ?, decided = ?, until = ?,"
            " expires = ? WHERE number = ?",
            (
                approval.verdict,
                approval.by,
                approval.via,
                approval.reason,
                approval.decided,
                approval.until,
                approval.expires,
                approval.number,
            ),
        )

    def _forget_old(self) -> None:
        words = ", ".join(f"'{each}'" for each in sorted(STANDING))
        self._store.connection.execute(
            f"DELETE FROM approvals WHERE verdict NOT IN ({words}) AND number NOT IN (SELECT number FROM"  # noqa: S608 - our own words
            f" approvals WHERE verdict NOT IN ({words}) ORDER BY number DESC LIMIT ?)",
            (KEPT,),
        )

    def _select(self, rest: str, *values: object) -> list[Approval]:
        rows = self._store.connection.execute(f"SELECT {_COLUMNS} FROM approvals {rest}", values)  # noqa: S608 - our own words
        return [_approval(*row) for row in rows]


def _refusal(
    approval: Approval,
    verdict: Verdict,
    *,
    by: str,
    reason: str,
    until: float | None,
    digest: str | None,
    now: float,
) -> str | None:
    """Return why a decision cannot be taken, None when it can."""
    number = approval.number
    if verdict not in DECISIONS:
        return f"{verdict} is nothing a person decides: approve, postpone or reject"
    if digest is not None and digest != approval.digest:
        return f"approval {number} is about {approval.digest}, not about {digest}; look at it again"
    if not approval.is_standing:
        return (
            f"approval {number} is {approval.verdict}: {approval.subject} does not wait any more;"
            " what waits now is listed by 'edgewright agent approvals list'"
        )
    if not by.strip():
        return "a decision needs the name of whoever takes it"
    if verdict is Verdict.REJECTED and not reason.strip():
        return "a rejection needs a reason"
    if verdict is Verdict.POSTPONED and (until is None or until <= now):
        return "a postponement needs a time that is to come"
    if until is not None and until > LATEST:
        return "no calendar reaches that far; reject it instead"
    return None


def _approval(*row: Any) -> Approval:
    number, deployment_id, name, kind, digest, asked, valid_seconds, summary, verdict, *decision = row
    by, via, reason, decided, until, expires = decision
    return Approval(
        number=number,
        deployment_id=deployment_id,
        name=name,
        kind=Kind(kind),
        digest=digest,
        asked=asked,
        valid_seconds=valid_seconds,
        summary=json.loads(summary),
        verdict=Verdict(verdict),
        by=by,
        via=via,
        reason=reason,
        decided=decided,
        until=until,
        expires=expires,
    )
