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

    @property
    def faults(self) -> tuple[str, ...]:
        """What the device said went wrong, each naming its component; empty when nothing did."""
        if self.current is None:
            return ()
        told = [one.fault for one in self.current.components if one.fault]
        if not told and self.current.error and self.current.error.message:
            told = [self.current.error.message]
        return tuple(told)


class DeviceView(View, frozen=True, kw_only=True):
    """One client; `deployments` counts its deployments by state."""

    client_id: str
    state: str
    last_contact: str | None = None
    device_ids: tuple[str, ...] = ()
    deployments: dict[str, int] = {}


class CapabilitiesView(View, frozen=True, kw_only=True):
    """One device's capability file."""

    device_id: str
    capabilities: dict[str, Any] = {}
    updated: str | None = None


class DeviceDetailView(View, frozen=True, kw_only=True):
    """One client with all that is known of it."""

    client_id: str
    state: str
    origin: str = ""
    last_contact: str | None = None
    svid_expires: str | None = None
    manifest_version: int = 0
    devices: tuple[CapabilitiesView, ...] = ()
    deployments: tuple[DeploymentView, ...] = ()


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
