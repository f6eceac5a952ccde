"""What the commands read of the operator API's answers: only the members they show, the rest is ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every view."""


class Fault(View, frozen=True, kw_only=True):
    """What a device said went wrong."""

    code: str
    message: str


class ComponentView(View, frozen=True, kw_only=True):
    """One component as its device reported it."""

    name: str
    state: str
    error: Fault | None = None

    @property
    def fault(self) -> str:
        """What went wrong with it, with its name; "" when nothing did."""
        if self.error is None or not self.error.message:
            return ""
        message = self.error.message
        return message if message.startswith(f"component {self.name}") else f"{self.name}: {message}"


class StatusView(View, frozen=True, kw_only=True):
    """One report of a device about a deployment; `received` is ISO 8601."""

    received: str
    state: str
    adopted_manifest_version: int = 0
    error: Fault | None = None
    components: tuple[ComponentView, ...] = ()


class DesiredComponentView(View, frozen=True, kw_only=True):
    """One component as it is wanted."""

    name: str
    repository: str
    revision: str


class DesiredView(View, frozen=True, kw_only=True):
    """What the device is told to have."""

    components: tuple[DesiredComponentView, ...] = ()
    parameters: dict[str, Any] = {}


class HoldView(View, frozen=True, kw_only=True):
    """What a site holds back, and why; moments are ISO 8601."""

    deployment_id: str
    name: str
    kind: str
    reason: str
    message: str
    since: str | None = None
    until: str | None = None
    approval: int | None = None


# A device of which this is said is not there to be believed.
ABSENT = frozenset({"silent", "expected", "planned-silence", "never", "retired"})
# Of these the device has said nothing, or its last word.
NEVER_SAID = frozenset({"waiting", "removed"})


class DeploymentView(View, frozen=True, kw_only=True):
    """One deployment; `state` is the one word for desired and current together."""

    id: str
    device: str
    application: str
    version: str
    state: str
    profile: str = ""
    name: str = ""
    manifest_version: int = 0
    created: str | None = None
    changed: str | None = None
    deleted: str | None = None
    desired: DesiredView | None = None
    current: StatusView | None = None
    hold: HoldView | None = None
    device_state: str | None = None

    @property
    def told(self) -> str:
        """How it stands, in the manner of devices: what was said last counts while the device is there."""
        if self.device_state in ABSENT and self.state not in NEVER_SAID:
            return f"{self.device_state} (was {self.state})"
        return self.state

    @property
    def faults(self) -> tuple[str, ...]:
        """What the device said went wrong, each naming its component; empty when nothing did.

        That something is held is said where other things went wrong, and is no fault.
        """
        if self.current is None or self.hold is not None:
            return ()
        told = [one.fault for one in self.current.components if one.fault]
        if not told and self.current.error and self.current.error.message:
            told = [self.current.error.message]
        return tuple(told)


class ContactView(View, frozen=True, kw_only=True):
    """Whether a device is in contact: one word, and what goes with it."""

    state: str
    since: str | None = None
    until: str | None = None
    why: str | None = None


class DeviceView(View, frozen=True, kw_only=True):
    """One client; `state` is the one word for it, `deployments` counts its deployments by state."""

    client_id: str
    state: str
    state_since: str | None = None
    said: str | None = None
    labels: dict[str, str] = {}
    last_contact: str | None = None
    contact: ContactView | None = None
    device_ids: tuple[str, ...] = ()
    deployments: dict[str, int] = {}


class CapabilitiesView(View, frozen=True, kw_only=True):
    """One device's capability file."""

    device_id: str
    capabilities: dict[str, Any] = {}
    updated: str | None = None


class PauseView(View, frozen=True, kw_only=True):
    """Who paused all changes on site."""

    by: str
    reason: str = ""
    since: str | None = None
    until: str | None = None


class ApprovalView(View, frozen=True, kw_only=True):
    """An approval a site was asked for, and what became of it."""

    number: int
    name: str
    kind: str
    verdict: str
    by: str = ""
    via: str = ""
    reason: str = ""
    asked: str | None = None
    decided: str | None = None
    until: str | None = None
    expires: str | None = None


class SiteActionView(View, frozen=True, kw_only=True):
    """One thing a person did on site."""

    at: str
    who: str
    via: str
    what: str
    reason: str = ""


class SiteView(View, frozen=True, kw_only=True):
    """What a site reported last; `origins` map dotted paths into `policy` to who said it."""

    received: str | None = None
    policy: dict[str, Any] = {}
    origins: dict[str, str] = {}
    policy_problem: str | None = None
    clock_trusted: bool = True
    clock_reason: str = ""
    paused: PauseView | None = None
    holds: tuple[HoldView, ...] = ()
    approvals: tuple[ApprovalView, ...] = ()
    audit: tuple[SiteActionView, ...] = ()


class SuggestedPolicyView(View, frozen=True, kw_only=True):
    """A policy the fleet manager suggests; `device` is None for the one of all devices."""

    device: str | None = None
    text: str
    tag: str
    suggested: str | None = None
    by: str = ""


class DeviceDetailView(View, frozen=True, kw_only=True):
    """One client with all that is known of it."""

    client_id: str
    state: str
    state_since: str | None = None
    state_until: str | None = None
    said: str | None = None
    labels: dict[str, str] = {}
    origin: str = ""
    last_contact: str | None = None
    contact: ContactView | None = None
    svid_expires: str | None = None
    manifest_version: int = 0
    devices: tuple[CapabilitiesView, ...] = ()
    deployments: tuple[DeploymentView, ...] = ()
    suggested_policy: SuggestedPolicyView | None = None
    site: SiteView | None = None


class EnrollmentView(View, frozen=True, kw_only=True):
    """An invitation; `token` is there only in the answer that made it."""

    name: str
    expires: str
    state: str = "open"
    created: str | None = None
    used: str | None = None
    token: str | None = None


class PackageView(View, frozen=True, kw_only=True):
    """One version of an application; `description` only where one package was asked for."""

    id: str
    version: str
    name: str
    digest: str = ""
    source: str = ""
    imported: str | None = None
    description: dict[str, Any] | None = None
    files: tuple[str, ...] = ()


class RequestView(View, frozen=True, kw_only=True):
    """A device that asks to be let in; `id` is its fingerprint without blanks."""

    id: str
    fingerprint: str
    name: str
    hostname: str = ""
    address: str = ""
    state: str = "waiting"
    asked: str | None = None
    taken: str | None = None
    by: str | None = None
    client_id: str | None = None
    reason: str = ""

    @property
    def told(self) -> str:
        """Its state, and who decided or what stands against its wish."""
        if self.state == "waiting":
            return "waiting; name is taken" if self.taken else "waiting"
        return f"{self.state} by {self.by}" if self.by else self.state
