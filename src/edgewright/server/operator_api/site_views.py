"""Shows what sites report as the operator API's JSON: what they hold back, who decided what, and why."""

from collections.abc import Sequence

from edgewright.protocol.site import ApprovalReport, SiteReport
from edgewright.server.fleet.truths import Hold, hold_of
from edgewright.server.operator_api.documents import (
    ApprovalEntry,
    HoldEntry,
    PauseEntry,
    SiteActionEntry,
    SiteEntry,
    SuggestedPolicyEntry,
)
from edgewright.server.store.database import EVERYBODY
from edgewright.server.store.sites import SiteAction, SiteRecord
from edgewright.server.store.suggestions import Suggestion


def show_hold(hold: Hold) -> HoldEntry:
    """Show one hold."""
    return HoldEntry(
        deployment_id=hold.deployment_id,
        name=hold.name,
        kind=hold.kind,
        digest=hold.digest,
        reason=hold.reason,
        message=hold.message,
        since=hold.since,
        until=hold.until,
        approval=hold.approval,
    )


def show_site(record: SiteRecord, actions: Sequence[SiteAction]) -> SiteEntry:
    """Show a site's last report, with the newest of what was done there."""
    report = SiteReport.parse(record.document, source="site report")
    paused = report.paused
    return SiteEntry(
        device_id=report.device_id,
        received=record.received,
        policy=dict(report.policy.in_force),
        origins=dict(report.policy.origins),
        policy_problem=report.policy.problem,
        clock_trusted=report.clock.trusted,
        clock_reason=report.clock.reason,
        paused=None
        if paused is None
        else PauseEntry(by=paused.by, reason=paused.reason, since=paused.since, until=paused.until),
        holds=[show_hold(hold_of(hold)) for hold in report.holds],
        approvals=[_show_approval(approval) for approval in report.approvals],
        audit=show_actions(actions),
    )


def show_actions(actions: Sequence[SiteAction]) -> list[SiteActionEntry]:
    """Show what was done on site."""
    return [
        SiteActionEntry(
            number=one.number, at=one.at, who=one.who, via=one.via, what=one.what, reason=one.reason
        )
        for one in actions
    ]


def show_suggestion(suggestion: Suggestion) -> SuggestedPolicyEntry:
    """Show a suggested policy."""
    return SuggestedPolicyEntry(
        device=None if suggestion.client_id == EVERYBODY else suggestion.client_id,
        text=suggestion.body.decode("utf-8", "replace"),
        tag=suggestion.tag,
        suggested=suggestion.created,
        by=suggestion.actor,
    )


def _show_approval(approval: ApprovalReport) -> ApprovalEntry:
    return ApprovalEntry(
        number=approval.number,
        deployment_id=approval.deployment_id,
        name=approval.name,
        kind=approval.kind,
        digest=approval.digest,
        verdict=approval.verdict,
        by=approval.by,
        via=approval.via,
        reason=approval.reason,
        asked=approval.asked,
        decided=approval.decided,
        until=approval.until,
        expires=approval.expires,
        summary=dict(approval.summary),
    )
