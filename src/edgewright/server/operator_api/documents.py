"""The JSON of the operator API: snake_case, times in UTC (RFC 3339), lists as arrays."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from edgewright.server.domain.truth import Truth

Scalar = str | int | float | bool
ParameterValue = Scalar | list[Scalar] | None


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a request says: a member nobody knows is a mistake worth telling."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what an answer says."""


class NewEnrollment(Given, frozen=True, kw_only=True):
    """An invitation to make: the client id the device will have, and how long the token works."""

    name: str
    valid_minutes: int = 1440


class CreatedEnrollment(Shown, frozen=True, kw_only=True):
    """An invitation just made; the token is shown this once."""

    name: str
    token: str
    expires: datetime


class EnrollmentEntry(Shown, frozen=True, kw_only=True):
    """An invitation: `open`, `used`, `expired` or `withdrawn`."""

    name: str
    state: str
    created: datetime
    expires: datetime
    used: datetime | None


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


class DeploymentEntry(Shown, frozen=True, kw_only=True):
    """One deployment: what is wanted (`desired`), what the device last said (`current`), and one word for
    both.

    `device` is the client id. `parameters` are the values the operator chose; `desired.parameters` has the
    package's defaults as well. `manifest_version` is that of the manifest which last changed it.
    """

    id: str
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


class DeviceEntry(Shown, frozen=True, kw_only=True):
    """One client: `accepted` or `retired`; `deployments` counts its deployments by state."""

    client_id: str
    state: str
    origin: str
    created: datetime
    retired: datetime | None
    svid_expires: datetime | None
    last_contact: datetime | None
    manifest_version: int
    device_ids: list[str]
    deployments: dict[str, int]


class DeviceDetail(Shown, frozen=True, kw_only=True):
    """One client with all that is known of it."""

    client_id: str
    state: str
    origin: str
    created: datetime
    retired: datetime | None
    svid_expires: datetime | None
    last_contact: datetime | None
    manifest_version: int
    devices: list[CapabilityEntry]
    deployments: list[DeploymentEntry]


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
