"""The JSON of assignments: what they say, what they would do, and what they were."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from edgewright.server.domain.assignments import OriginKind, SpecDocument
from edgewright.server.fleet.placing import Action
from edgewright.server.operator_api.documents import Given, ParameterValue, Shown
from edgewright.server.operator_api.paging import Page

SpecShown = Annotated[Any, msgspec.Meta(description="as in the request, without what says nothing")]


class AssignmentBody(SpecDocument, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application for many devices. `reason` is for the history and is not part of what is wanted."""

    application: Annotated[str, msgspec.Meta(examples=["hello"])]
    reason: str = ""


class AssignmentEntry(Shown, frozen=True, kw_only=True):
    """One assignment; `deployments` counts those it has by state, `by` is who made its newest revision."""

    name: str
    application: str
    version: str
    target: SpecShown
    revision: int
    created: datetime
    changed: datetime
    by: str
    deployments: dict[str, int]


class AssignmentDetail(AssignmentEntry, frozen=True, kw_only=True):
    """One assignment with all it says in `spec`; `deleted` once it is being removed."""

    spec: SpecShown
    reason: str
    deleted: datetime | None


class RevisionEntry(Shown, frozen=True, kw_only=True):
    """What an assignment said from `created` on."""

    number: int
    created: datetime
    by: str
    reason: str
    spec: SpecShown


class DeploymentRevisionEntry(Shown, frozen=True, kw_only=True):
    """What a deployment was from `created` on; `is_removal` for the one that removed it."""

    number: int
    created: datetime
    by: str
    reason: str
    version: str
    profile: str
    parameters: dict[str, ParameterValue]
    digest: str
    manifest_version: int
    is_removal: bool


class RevertBody(Given, frozen=True, kw_only=True):
    """To which revision to go back; what it says becomes a new revision."""

    revision: Annotated[int, msgspec.Meta(ge=1)]


class OriginEntry(Shown, frozen=True, kw_only=True):
    """Which layer says a value: `path` is its place in the assignment, `name` its selector or device."""

    kind: OriginKind
    path: str
    name: str


class ParameterChangeEntry(Shown, frozen=True, kw_only=True):
    """One value before and after; null where there is none."""

    name: str
    before: ParameterValue
    after: ParameterValue
    origin: OriginEntry | None


class PlannedEntry(Shown, frozen=True, kw_only=True):
    """What would become of one device; `reasons` say why it does not fit."""

    device: str
    action: Action
    device_id: str | None
    deployment: str | None
    version_before: str | None
    version_after: str | None
    profile_before: str | None
    profile_after: str | None
    parameters: list[ParameterChangeEntry]
    reasons: list[str]


class Preview(Shown, frozen=True, kw_only=True):
    """What an assignment would do: how many devices of each kind, and the devices page by page."""

    counts: dict[Action, int]
    devices: Page[PlannedEntry]
