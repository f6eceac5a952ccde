"""What a device tells about its site: the policy in force, what is held and by whom, who decided what.

The specification has no place for it: it is sent to a fleet manager that knows `SITE_PATH`, and to no other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from edgewright.protocol.capabilities import DeviceId
from edgewright.protocol.consent import Kind, Reason, Verdict
from edgewright.protocol.documents import Document, Part

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


def moment(seconds: float) -> datetime:
    """Return unix `seconds` as they are written: in UTC, without fractions."""
    return datetime.fromtimestamp(int(seconds), UTC)


class PolicyReport(Part, frozen=True, kw_only=True):
    """The policy in force.

    `in_force` is the policy as plain members, `origins` map the dotted path of each to where it came from
    (local, suggested, default). `problem` tells what is wrong with the local file or the suggestion.
    """

    in_force: Mapping[str, Any] = msgspec.field(default_factory=dict)
    origins: Mapping[str, str] = msgspec.field(default_factory=dict)
    problem: str | None = None


class ClockReport(Part, frozen=True, kw_only=True):
    """Whether the device believes its own clock, and why it does not."""

    trusted: bool = True
    reason: str = ""


class PauseReport(Part, frozen=True, kw_only=True):
    """Somebody on site paused all changes; without `until` for as long as nobody resumes."""

    by: str
    reason: str = ""
    since: Moment
    until: Moment | None = None


class HoldReport(Part, frozen=True, kw_only=True):
    """Something that may not start yet; `digest` is that of what is wanted, for a removal of what runs."""

    deployment_id: str
    name: str
    kind: Kind
    digest: str
    reason: Reason
    message: str
    since: Moment
    until: Moment | None = None
    approval: Number | None = None


class ApprovalReport(Part, frozen=True, kw_only=True):
    """An approval that was asked for, and what became of it. `summary` tells what would change."""

    number: Number
    deployment_id: str
    name: str
    kind: Kind
    digest: str
    summary: Mapping[str, Any] = msgspec.field(default_factory=dict)
    verdict: Verdict
    by: str = ""
    via: str = ""
    reason: str = ""
    asked: Moment
    decided: Moment | None = None
    until: Moment | None = None
    expires: Moment | None = None


class AuditReport(Part, frozen=True, kw_only=True):
    """One thing a person did on site. Numbers grow, and go on growing when a device lost its memory."""

    number: Number
    at: Moment
    who: str
    via: str
    what: str
    reason: str = ""


class SiteReport(Document, frozen=True, kw_only=True):
    """The whole report; `approvals` are those open and the last others, `audit` the newest entries."""

    device_id: DeviceId
    policy: PolicyReport = PolicyReport()
    clock: ClockReport = ClockReport()
    paused: PauseReport | None = None
    holds: tuple[HoldReport, ...] = ()
    approvals: tuple[ApprovalReport, ...] = ()
    audit: tuple[AuditReport, ...] = ()
