"""What is reported about the site: a pure function from what is remembered, and putting it into the outbox.

It says nothing that changes by itself as time goes on, so that it is sent when there is news, and only then.
"""

from collections.abc import Sequence
from dataclasses import replace

from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.audit import Audit, Entry
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.consent.wishes import Pause, Wishes
from edgewright.agent.site.in_force import Site
from edgewright.agent.state.outbox import SITE, Outbox
from edgewright.agent.state.store import CLOCK_TRUST, Store
from edgewright.protocol.media_types import SITE_PATH
from edgewright.protocol.site import (
    ApprovalReport,
    AuditReport,
    ClockReport,
    HoldReport,
    PauseReport,
    PolicyReport,
    SiteReport,
    moment,
)

CLOSED_APPROVALS = 20
AUDIT_ENTRIES = 100
MAX_BYTES = 256 << 10
"""A report that would be larger leaves out summaries: first of what does not stand any more."""


def queue_site_report(device_id: str, site: Site, store: Store, outbox: Outbox) -> bool:
    """Queue what there is to tell about the site, if that is news; return whether it is."""
    approvals = Approvals(store)
    standing = approvals.open()
    closed = [each for each in approvals.all(CLOSED_APPROVALS) if not each.is_standing]
    for told in ([*standing, *closed], [*standing, *_brief(closed)], _brief([*standing, *closed])):
        report = site_report(
            device_id,
            site,
            distrust=store.meta(CLOCK_TRUST) or "",
            pause=Wishes(store).paused(),
            holds=Holds(store).held(),
            approvals=told,
            audit=Audit(store).entries(AUDIT_ENTRIES),
        )
        body = report.render()
        if len(body) <= MAX_BYTES:
            break
    return outbox.queue(SITE, "PUT", SITE_PATH, body)


def _brief(approvals: Sequence[Approval]) -> list[Approval]:
    return [replace(each, summary={}) for each in approvals]


def site_report(
    device_id: str,
    site: Site,
    *,
    distrust: str,
    pause: Pause | None,
    holds: Sequence[HeldBack],
    approvals: Sequence[Approval],
    audit: Sequence[Entry],
) -> SiteReport:
    """Return the report; `distrust` tells why the clock is not trusted, empty when it is."""
    return SiteReport(
        device_id=device_id,
        policy=PolicyReport(
            in_force=site.policy.to_plain(), origins=dict(site.origins), problem=site.problem or None
        ),
        clock=ClockReport(trusted=not distrust, reason=distrust),
        paused=None if pause is None else _pause(pause),
        holds=tuple(_hold(each) for each in holds),
        approvals=tuple(_approval(each) for each in approvals),
        audit=tuple(_entry(each) for each in audit),
    )


def _pause(pause: Pause) -> PauseReport:
    return PauseReport(
        by=pause.by,
        reason=pause.reason,
        since=moment(pause.since),
        until=None if pause.until is None else moment(pause.until),
    )


def _hold(held: HeldBack) -> HoldReport:
    return HoldReport(
        deployment_id=held.deployment_id,
        name=held.name,
        kind=held.kind,
        digest=held.digest,
        reason=held.reason,
        message=held.message,
        since=moment(held.since),
        until=None if held.until is None else moment(held.until),
        approval=held.approval,
    )


def _approval(approval: Approval) -> ApprovalReport:
    times = {
        name: None if seconds is None else moment(seconds)
        for name, seconds in (
            ("decided", approval.decided),
            ("until", approval.until),
            ("expires", approval.expires),
        )
    }
    return ApprovalReport(
        number=approval.number,
        deployment_id=approval.deployment_id,
        name=approval.name,
        kind=approval.kind,
        digest=approval.digest,
        summary=approval.summary,
        verdict=approval.verdict,
        by=approval.by,
        via=approval.via,
        reason=approval.reason,
        asked=moment(approval.asked),
        **times,
    )


def _entry(entry: Entry) -> AuditReport:
    return AuditReport(
        number=entry.number,
        at=moment(entry.at),
        who=entry.who,
        via=entry.via,
        what=entry.what,
        reason=entry.reason,
    )
