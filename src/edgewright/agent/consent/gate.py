"""The gate: every change is asked about here before it begins, and what is held is written down here.

What people said is read afresh each time, and the time as well: a round may take hours, and meanwhile a
window closes, or somebody pauses everything. Deciding is done by `hold.py` and `settle.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgewright.agent import log
from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.durations import Durations
from edgewright.agent.consent.hold import Held, Subject, Terms, concerns, hold, hold_fetch, is_over
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.consent.settle import Scene, settled, still_counts
from edgewright.agent.consent.wishes import Override, Wishes
from edgewright.agent.site.in_force import Site
from edgewright.agent.state.store import CLOCK_TRUST, Store
from edgewright.protocol.consent import Kind, Reason, Verdict

Summary = Callable[[], Mapping[str, Any]]


class Gate:
    """What may begin at this `site`, in one round; `clock` tells unix seconds."""

    def __init__(
        self,
        store: Store,
        site: Site,
        *,
        clock: Callable[[], float],
        durations: Durations,
    ) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._durations = durations
        self._approvals = Approvals(store, clock)
        self._wishes = Wishes(store, clock)
        self._since = {(each.deployment_id, each.digest): each for each in Holds(store).held()}
        self._held: dict[str, HeldBack] = {}
        self._ends: list[float] = []

    def settle(self, scene: Scene) -> None:
        """Bring approvals, overrides and the pause up to date, before anything is asked about."""
        now = self._clock()
        terms = self._terms(now)
        with self._store.transaction():
            for approval in self._approvals.open():
                after = settled(approval, scene, terms, now)
                if after != approval:
                    log.info(f"approval {approval.number} of {approval.subject}: {after.verdict}")
                    self._approvals.write(after)
            for override in self._wishes.overrides():
                if not still_counts(override, scene, terms, now):
                    self._wishes.drop_override(override)
            if terms.pause is not None and is_over(terms.pause.until, terms, now):
                self._wishes.end_pause()

    def hold(self, subject: Subject, summary: Summary) -> Held | None:
        """Return why `subject` may not begin now, None when it may; ask for its approval if that is needed.

        `summary` tells what it would change.
        """
        now = self._clock()
        subject = replace(subject, seconds=self._durations.last(subject.deployment_id, subject.kind))
        self._held.pop(subject.deployment_id, None)
        if self._overrides(subject):
            log.warning(f"deployment {subject.name}: the {subject.noun} begins now, as was wished on site")
            return None
        terms, approval = self._terms(now), self._standing(subject)
        held = hold(subject, terms, approval, now)
        if held is not None and held.reason is Reason.APPROVAL:
            approval = self._asked(subject, approval, summary())
            held = hold(subject, terms, approval, now)
        if held is not None:
            self._note(subject, held, approval, now)
        return held

    def begun(self, subject: Subject) -> None:
        """Use up the consent to what has begun, which may take long: nobody can decide about it any more.

        Killed before that, the next round settles it likewise.
        """
        with self._store.transaction():
            approval = self._standing(subject)
            if approval is not None:
                used = approval.verdict is Verdict.APPROVED
                self._approvals.write(replace(approval, verdict=Verdict.USED if used else Verdict.VOID))
            for override in self._overrides(subject):
                self._wishes.drop_override(override)
            Holds(self._store).drop(subject.deployment_id)

    def may_fetch(self, subject: Subject) -> bool:
        """Whether what `subject`, which is held, needs may be fetched meanwhile."""
        now = self._clock()
        held = hold_fetch(subject, self._terms(now), self._standing(subject), now)
        self._come_back_at(None if held is None else held.until, now)
        return held is None

    def finish(self) -> float | None:
        """Write down what is held; return in how many seconds to look at it again, as far as is known."""
        Holds(self._store).replace(self._held.values())
        now = self._clock()
        return min((max(0.0, end - now) for end in self._ends), default=None)

    @property
    def removals(self) -> Mapping[str, str]:
        """The removals that were held: deployment id to the digest of what runs."""
        return {key: each.digest for key, each in self._held.items() if each.kind is Kind.REMOVE}

    def _terms(self, now: float) -> Terms:
        return Terms(
            approval=self._site.policy.apply.approval == "required",
            windows=self._site.windows(now),
            prefetch=self._site.prefetch(now),
            pause=self._wishes.paused(),
            distrust=self._store.meta(CLOCK_TRUST) or "",
            problem=self._site.unknown,
        )

    def _overrides(self, subject: Subject) -> list[Override]:
        is_removal = subject.kind is Kind.REMOVE
        return [
            each
            for each in self._wishes.overrides()
            if (each.deployment_id, each.digest, each.is_removal)
            == (subject.deployment_id, subject.digest, is_removal)
        ]

    def _standing(self, subject: Subject) -> Approval | None:
        return next((each for each in self._approvals.open() if concerns(each, subject)), None)

    def _asked(self, subject: Subject, approval: Approval | None, summary: Mapping[str, Any]) -> Approval:
        """Return the approval that is asked for, telling what is known by now."""
        if approval is not None:
            # Images are known once they are here, and not while the engine is away.
            told = {**summary, "images": summary["images"] or approval.summary.get("images", [])}
            if told != approval.summary:
                self._approvals.describe(approval.number, told)
            return approval
        approval = self._approvals.ask(
            deployment_id=subject.deployment_id,
            name=subject.name,
            kind=subject.kind,
            digest=subject.digest,
            summary=summary,
            valid_seconds=self._site.policy.apply.approval_valid.seconds,
        )
        log.info(f"approval {approval.number} is asked for: {approval.subject}")
        return approval

    def _note(self, subject: Subject, held: Held, approval: Approval | None, now: float) -> None:
        before = self._since.get((subject.deployment_id, subject.digest))
        is_same = before is not None and before.kind == subject.kind
        self._held[subject.deployment_id] = HeldBack(
            deployment_id=subject.deployment_id,
            name=subject.name,
            kind=subject.kind,
            digest=subject.digest,
            reason=held.reason,
            message=held.message,
            since=before.since if before is not None and is_same else now,
            until=held.until,
            approval=held.approval,
        )
        self._come_back_at(held.until, now)
        if approval is not None and approval.verdict is Verdict.APPROVED:
            self._come_back_at(approval.expires, now)

    def _come_back_at(self, end: float | None, now: float) -> None:
        """Remember when something changes by itself; what is over by a clock that is not trusted does not."""
        if end is not None and end > now:
            self._ends.append(end)
