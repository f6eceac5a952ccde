"""Settle: what becomes of approvals and overrides as time goes on and other things are wanted. Pure.

What is asked about must be what is wanted, and not have begun. Both are read from what is remembered of the
deployments, so that a round that was killed anywhere leaves no approval that could serve twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent.consent.approvals import Approval
from edgewright.agent.consent.hold import Terms, is_over
from edgewright.agent.consent.wishes import OVERRIDE_SECONDS, Override
from edgewright.agent.state.revisions import WAITING, Revision, Stage
from edgewright.agent.work.desired import was_refused
from edgewright.protocol.consent import Verdict

_SLACK_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is wanted (deployment id to digest), what is remembered of all deployments, and what is to go.

    `removals` are planned: deployment id to the digest of what runs.
    """

    wanted: Mapping[str, str]
    revisions: Sequence[Revision]
    removals: Mapping[str, str]

    def has_begun(self, about: Approval | Override) -> bool:
        """Whether the change has begun, or is done."""
        siblings = [each for each in self.revisions if each.deployment_id == about.deployment_id]
        if about.is_removal:
            is_going = any(each.stage is Stage.REMOVING for each in siblings)
            return about.deployment_id not in self.wanted and (
                is_going or about.deployment_id not in self.removals
            )
        return any(
            each.digest == about.digest and each.stage not in WAITING and not was_refused(each)
            for each in siblings
        )

    def is_wanted(self, about: Approval | Override) -> bool:
        """Whether it is this very change that is wanted."""
        place = self.removals if about.is_removal else self.wanted
        return place.get(about.deployment_id) == about.digest


def settled(approval: Approval, scene: Scene, terms: Terms, now: float) -> Approval:
    """Return a standing approval as it is at `now`.

    Where no policy can be read, nobody knows whether it is needed, and it stays.
    """
    if scene.has_begun(approval):
        used = approval.verdict is Verdict.APPROVED
        return replace(approval, verdict=Verdict.USED if used else Verdict.VOID)
    if not scene.is_wanted(approval) or not (terms.approval or terms.problem):
        return replace(approval, verdict=Verdict.VOID)
    if approval.verdict is Verdict.APPROVED:
        if is_over(approval.expires, terms, now):
            return replace(approval, verdict=Verdict.EXPIRED)
        return _dated(approval, terms, now)
    if approval.verdict is Verdict.POSTPONED and is_over(approval.until, terms, now):
        return replace(approval, verdict=Verdict.ASKED, until=None)
    return approval


def _dated(approval: Approval, terms: Terms, now: float) -> Approval:
    """Return one given by a clock that was ahead as if it was given now: it shall not last longer."""
    if terms.distrust or approval.decided is None or approval.decided <= now + _SLACK_SECONDS:
        return approval
    return replace(approval, decided=now, expires=now + approval.valid_seconds)


def still_counts(override: Override, scene: Scene, terms: Terms, now: float) -> bool:
    """Whether an override has still something to let through."""
    return (
        scene.is_wanted(override)
        and not scene.has_begun(override)
        and not is_over(override.at + OVERRIDE_SECONDS, terms, now)
    )
