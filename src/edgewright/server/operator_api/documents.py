"""The JSON of the operator API: snake_case, times in UTC (RFC 3339), lists as arrays."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from edgewright.protocol.consent import Kind, Reason, Verdict
from edgewright.protocol.enrollment import Transport
from edgewright.server.domain.admission import RequestState
from edgewright.server.domain.contact import Contact, Why
from edgewright.server.domain.device_state import Word
from edgewright.server.domain.truth import Truth

# How long an invitation may work: a month.
MOST_MINUTES = 43_200
Scalar = str | int | float | bool
ParameterValue = Scalar | list[Scalar] | None


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a request says: a member nobody knows is a mistake worth telling."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what an answer says."""


class NewEnrollment(Given, frozen=True, kw_only=True):
    """An invitation to make: the client id the device will have, and how long the token works.

    With `git` as its transport the device gets a hosted repository and talks by that.
    """

    name: str
    valid_minutes: Annotated[int, msgspec.Meta(ge=1, le=MOST_MINUTES)] = 1440
    transport: Transport = "api"


class CreatedEnrollment(Shown, frozen=True, kw_only=True):
    """An invitation just made; the token is shown this once."""

    name: str
    token: str
    expires: datetime


class EnrollmentState(StrEnum):
    """What became of an invitation."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class EnrollmentEntry(Shown, frozen=True, kw_only=True):
    """An invitation, and what became of it."""

    name: str
    state: EnrollmentState
    created: datetime
    expires: datetime
    used: datetime | None


class RequestEntry(Shown, frozen=True, kw_only=True):
    """A device that asks to be let in without a token; what it says of itself proves nothing.

    `id` is the fingerprint of its key without the blanks; `taken` says who has the wished name already.
    """

    id: str
    fingerprint: str
    key_digest: str
    name: str
    hostname: str
    agent_version: str
    address: str
    state: RequestState
    asked: datetime
    seen: datetime
    taken: str | None
    decided: datetime | None
    by: str | None
    client_id: str | None
    reason: str


class RequestApproval(Given, frozen=True, kw_only=True):
    """Lets a device in: under which name (without one under that it wishes), and in whose place."""

    name: str | None = None
    replace: bool = False


class RequestRejection(Given, frozen=True, kw_only=True):
    """Keeps a device out, which is told the reason."""

    reason: str = ""


class ErrorEntry(Shown, frozen=True, kw_only=True):
    """What a device said went wrong."""

    code: str
    source: str
    message: str


class ComponentEntry(Shown, frozen=True, kw_only=True):
    """One component as its device reported it."""

    name: str
    state: str
    error: ErrorEntry | None


class StatusEntry(Shown, frozen=True, kw_only=True):
    """One report of a device about a deployment."""

    received: datetime
    state: str
    adopted_manifest_version: int
    device_id: str | None
    error: ErrorEntry | None
    components: list[ComponentEntry]


class DesiredComponent(Shown, frozen=True, kw_only=True):
    """One component as it is wanted."""

    name: str
    repository: str
    revision: str


class Desired(Shown, frozen=True, kw_only=True):
    """What the device is told to have: the rendered document, without where it came from."""

    profile_type: str
    components: list[DesiredComponent]
    parameters: dict[str, ParameterValue]


class HoldEntry(Shown, frozen=True, kw_only=True):
    """What a site holds back, and why; `approval` is the number of the approval that was asked for.

    `since` and `until` are null where the device has not told.
    """

    deployment_id: str
    name: str
    kind: Kind
    digest: str
    reason: Reason
    message: str
    since: datetime | None
    until: datetime | None
    approval: int | None


class DeploymentEntry(Shown, frozen=True, kw_only=True):
    """One deployment: what is wanted (`desired`), what the device last said (`current`), and one word for
    both.

    `device` is the client id. `parameters` are the values the operator chose; `desired.parameters` has the
    package's defaults as well. `manifest_version` is that of the manifest which last changed it. `hold` is
    there while the state is `waiting-for-approval` or `held`. `assignment` is the name of the assignment it
    belongs to, which alone changes it.

    `state` is as the device said last. Whether it is there to be believed says `device_state`, the word of
    the device at this moment; it is null in the answer to a change.
    """

    id: str
    assignment: str | None
    device: str
    device_id: str
    application: str
    version: str
    profile: str
    name: str
    parameters: dict[str, ParameterValue]
    state: Truth
    digest: str
    manifest_version: int
    created: datetime
    changed: datetime
    deleted: datetime | None
    desired: Desired | None
    current: StatusEntry | None
    hold: HoldEntry | None
    device_state: Word | None = None


class NewDeployment(Given, frozen=True, kw_only=True):
    """A deployment to make; left out: the only device, the first profile that fits, a made-up name."""

    application: str
    version: str
    device: str
    device_id: str | None = None
    profile: str | None = None
    name: str | None = None
    parameters: dict[str, ParameterValue] = {}


class ChangedDeployment(Given, frozen=True, kw_only=True):
    """Changes to a deployment: parameters named here are set (null: back to the default), others stay."""

    version: str | None = None
    parameters: dict[str, ParameterValue] = {}


class CapabilityEntry(Shown, frozen=True, kw_only=True):
    """One device's capability file as it was reported."""

    device_id: str
    capabilities: Annotated[Any, msgspec.Meta(description="DeviceCapabilitiesManifest of the specification")]
    created: datetime
    updated: datetime


class ContactEntry(Shown, frozen=True, kw_only=True):
    """Whether a device is in contact, by the policy its site has announced.

    `since` is when a silent one was overdue; `until` when planned silence ends (null: nobody knows), or by
    when an expected one should have spoken; `why` is what keeps it silent as planned.
    """

    state: Contact
    since: datetime | None
    until: datetime | None
    why: Why | None


class PauseEntry(Shown, frozen=True, kw_only=True):
    """Somebody on site paused all changes."""

    by: str
    reason: str
    since: datetime
    until: datetime | None


class ApprovalEntry(Shown, frozen=True, kw_only=True):
    """An approval the site was asked for, and what became of it; `summary` is what would change."""

    number: int
    deployment_id: str
    name: str
    kind: Kind
    digest: str
    verdict: Verdict
    by: str
    via: str
    reason: str
    asked: datetime
    decided: datetime | None
    until: datetime | None
    expires: datetime | None
    summary: dict[str, Any]


class SiteActionEntry(Shown, frozen=True, kw_only=True):
    """One thing a person did on site."""

    number: int
    at: datetime
    who: str
    via: str
    what: str
    reason: str


class SiteEntry(Shown, frozen=True, kw_only=True):
    """What a site reported last: its policy and who said which line of it, and what it holds back.

    `origins` map dotted paths into `policy` to `local`, `suggested` or `default`.
    """

    device_id: str
    received: datetime
    policy: dict[str, Any]
    origins: dict[str, str]
    policy_problem: str | None
    clock_trusted: bool
    clock_reason: str
    paused: PauseEntry | None
    holds: list[HoldEntry]
    approvals: list[ApprovalEntry]
    audit: list[SiteActionEntry]


class SuggestedPolicyEntry(Shown, frozen=True, kw_only=True):
    """A policy this server suggests; `device` is null for the one of all devices without one of their own."""

    device: str | None
    text: str
    tag: str
    suggested: datetime
    by: str


class RunningEntry(Shown, frozen=True, kw_only=True):
    """One application on a device: its deployment, and the deployment's word."""

    deployment: str
    application: str
    version: str
    state: Truth


class DeviceSummary(Shown, frozen=True, kw_only=True):
    """What is known of every client, in lists and alone.

    `state` is one word for the device. While it is about silence (`silent`, `planned-silence`, `expected`),
    `said` is what the device amounted to when it was last heard of; it is null for one that never was.
    `state_since` and `state_until` go with the word. `admission` is `accepted` or `retired`; `contact` is
    null for a retired one. `labels` are those it reports, and over them those given here (`own_labels`).
    `approvals` is how many changes wait for somebody on site.
    """

    client_id: str
    state: Word
    state_since: datetime | None
    state_until: datetime | None
    said: Word | None
    admission: str
    origin: str
    created: datetime
    retired: datetime | None
    svid_expires: datetime | None
    last_contact: datetime | None
    contact: ContactEntry | None
    labels: dict[str, str]
    own_labels: dict[str, str]
    approvals: int
    manifest_version: int


class DeviceEntry(DeviceSummary, frozen=True, kw_only=True):
    """One client in a list; `deployments` counts its deployments by state."""

    device_ids: list[str]
    deployments: dict[str, int]
    running: list[RunningEntry]


class DeviceDetail(DeviceSummary, frozen=True, kw_only=True):
    """One client with all that is known of it; `site` is null for one that reports nothing of its site."""

    devices: list[CapabilityEntry]
    deployments: list[DeploymentEntry]
    suggested_policy: SuggestedPolicyEntry | None
    site: SiteEntry | None


class FleetCounts(Shown, frozen=True, kw_only=True):
    """How many devices there are and how they are, by the words of their entries.

    `applications` count devices by application and version. `expiring` are accepted devices whose
    certificate ends within 30 days, or has ended.
    """

    total: int
    states: dict[str, int]
    said: dict[str, int]
    contacts: dict[str, int]
    applications: dict[str, dict[str, int]]
    approvals: int
    expiring: int


class ChangedDevice(Given, frozen=True, kw_only=True):
    """Labels to give a device; null takes one away, labels not named stay."""

    labels: dict[str, str | None]


class ChangedLabels(Given, frozen=True, kw_only=True):
    """The same for many devices: those in `devices` by client id, or all that `selector` selects."""

    labels: dict[str, str | None]
    devices: list[str] | None = None
    selector: str | None = None


class LabelsChanged(Shown, frozen=True, kw_only=True):
    """How many devices were meant, and how many of them have other labels now."""

    devices: int
    changed: int


class PackageEntry(Shown, frozen=True, kw_only=True):
    """One version of an application."""

    id: str
    version: str
    name: str
    digest: str
    source: str
    imported: datetime


class PackageDetail(Shown, frozen=True, kw_only=True):
    """One version of an application with its description, as the author wrote it, and its files."""

    id: str
    version: str
    name: str
    digest: str
    source: str
    imported: datetime
    description: Annotated[Any, msgspec.Meta(description="ApplicationDescription of the specification")]
    files: list[str]


class PackageImport(Given, frozen=True, kw_only=True):
    """Where to import a package from: `oci://host/repository:version`."""

    reference: str
