"""How it stands with a deployment, from all that is known of it: its record, its last report, its site's.

The one place that reads these together; lists, pages and the device's own word all come through here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edgewright.protocol.consent import Kind, Reason
from edgewright.protocol.site import HoldReport
from edgewright.protocol.status import DeploymentStatus, State
from edgewright.server.domain.device_state import Part
from edgewright.server.domain.truth import Truth, truth
from edgewright.server.store.deployments import DeploymentRecord, StatusRecord

_CODES = {reason.code: reason for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a site holds back, and why; `since` and `until` are None where the device has not told."""

    deployment_id: str
    name: str
    kind: Kind
    digest: str
    reason: Reason
    message: str
    since: datetime | None
    until: datetime | None
    approval: int | None


def hold_of(report: HoldReport) -> Hold:
    """Return what a site's report says of one hold."""
    return Hold(
        deployment_id=report.deployment_id,
        name=report.name,
        kind=report.kind,
        digest=report.digest,
        reason=report.reason,
        message=report.message,
        since=report.since,
        until=report.until,
        approval=report.approval,
    )


def hold_on(
    record: DeploymentRecord, status: StatusRecord | None, holds: Sequence[HoldReport]
) -> Hold | None:
    """Return what holds back what is wanted of a deployment now, if anything does; `holds` are its site's.

    The site's report says most. The deployment's own status says the same in its error code, and may be
    here first. Neither counts when it is about another revision than the one that is wanted.
    """
    for hold in holds:
        is_this = hold.deployment_id.lower() == record.id and (hold.kind is Kind.REMOVE) == bool(
            record.deleted
        )
        if is_this and (record.deleted or hold.digest == record.digest):
            return hold_of(hold)
    return None if record.deleted else _hold_by_status(record, status)


def truth_of(record: DeploymentRecord, status: StatusRecord | None, hold: Hold | None) -> Truth:
    """Return how it stands with a deployment (spec: ST-25)."""
    reported = None if status is None else (State(status.state), status.adopted_version)
    held = None if hold is None else hold.reason
    return truth(record.changed_version, reported, is_deleted=record.deleted is not None, held=held)


def part_of(record: DeploymentRecord, status: StatusRecord | None, holds: Sequence[HoldReport]) -> Part:
    """Return the same with since when it is so: the wish for what is behind, the report for what was said."""
    hold = hold_on(record, status, holds)
    found = truth_of(record, status, hold)
    wished = record.deleted or record.changed
    match found:
        case Truth.REMOVING if status is None or not _is_of_removal(record, status):
            return Part(truth=found, since=wished.timestamp(), is_heard=False)
        case Truth.WAITING | Truth.BEHIND:
            return Part(truth=found, since=wished.timestamp())
        case Truth.WAITING_FOR_APPROVAL | Truth.HELD:
            assert hold is not None  # noqa: S101 - nothing else makes these words
            since = hold.since or wished
            until = None if hold.until is None else hold.until.timestamp()
            return Part(truth=found, since=since.timestamp(), until=until)
    return Part(truth=found, since=None if status is None else status.received.timestamp())


def _is_of_removal(record: DeploymentRecord, status: StatusRecord) -> bool:
    return status.state == State.REMOVING or status.adopted_version >= record.changed_version


def _hold_by_status(record: DeploymentRecord, status: StatusRecord | None) -> Hold | None:
    if status is None or status.state != State.PENDING or status.adopted_version < record.changed_version:
        return None
    document = DeploymentStatus.parse(status.body, source="status")
    error = document.status.error
    if error is None or error.code not in _CODES:
        return None
    return Hold(
        deployment_id=record.id,
        name=record.name,
        kind=Kind.UPDATE if record.changed > record.created else Kind.INSTALL,
        digest=record.digest,
        reason=_CODES[error.code],
        message=error.message,
        since=None,
        until=None,
        approval=None,
    )
