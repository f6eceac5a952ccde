"""What runs components on this device, as the round sees it: one protocol, its values and its errors.

The implementations live beside this module (`compose`); one set of contract tests holds for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from edgewright.protocol.errors import EdgewrightError


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of a deployment as it is wanted here.

    `revision` is the digest of the deployment document, `repository` an `oci://` reference without a tag and
    `version` the tag in it. `environment` maps variable name to text (spec: AD-7, OBS-8). `timeout`: how long
    it may take until everything is up (spec: AD-5). `directory`: where the runtime may materialise it; the
    runtime owns everything in there, and two revisions never share one.
    """

    deployment_id: str
    revision: str
    name: str
    repository: str
    version: str
    environment: Mapping[str, str]
    wait: bool = True
    timeout: timedelta | None = None
    directory: str

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the component over all its revisions."""
        return self.deployment_id, self.name


class Health(StrEnum):
    """How an installed component does, all its containers taken together."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """One container as the engine describes it.

    `state` is the engine's word (`created`, `running`, `restarting`, `exited`, …), `exit_code` what it ended
    with (None while it never ended), `health` the engine's word for its health check, "" if it has none.
    `once`: it is expected to end by itself and to stay ended; then exit code 0 is as good as running.
    """

    name: str
    service: str
    state: str
    exit_code: int | None = None
    health: str = ""
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedComponent:
    """One component as it was found on this device; `revision` is "" where no single revision is in place."""

    deployment_id: str
    name: str
    revision: str
    health: Health
    containers: tuple[ObservedContainer, ...] = ()


class ComponentError(EdgewrightError):
    """Base of what a runtime raises; `component` names the component concerned, "" if none is."""

    code = "runtime.failed"

    def __init__(self, message: str, *, component: str = "") -> None:
        super().__init__(message)
        self.component = component

    def __str__(self) -> str:
        message = super().__str__()
        return f"component {self.component}: {message}" if self.component else message


class FetchError(ComponentError):
    """Something the component needs could not be brought here; nothing that runs was touched."""

    code = "fetch.failed"
    retryable = True


class FetchedWrongError(FetchError):
    """What was fetched is not what its digest names; nothing of it was used (spec: CMP-11)."""

    code = "fetch.digest-mismatch"


class StorageError(ComponentError):
    """This device's own disk refused; the message names the file and why."""

    code = "storage.failed"
    retryable = True


class ComponentInvalidError(ComponentError):
    """What was fetched is not a component that can run here; fetching it again gives the same."""

    code = "component.invalid"


class ApplyError(ComponentError):
    """The component did not come up; the message names the service and ends with its last log lines."""

    code = "apply.failed"


class ApplyTimeoutError(ApplyError):
    """The component was not up in time (spec: AD-5)."""

    code = "apply.timeout"


class EngineError(ComponentError):
    """The container engine, or the program that drives it, is missing or does not answer."""

    code = "engine.unavailable"
    retryable = True


class Runtime(Protocol):
    """What runs components of one profile on this device.

    Every call may be repeated, and may be killed and repeated: fetching what is here, applying what runs and
    removing what is gone all succeed and change nothing. All failures are `ComponentError`s; `EngineError`
    may come from any call.
    """

    profile: str

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        """Return everything of ours on this device, by deployment id and component name."""
        ...

    def fetch(self, component: Component) -> None:
        """Bring everything `component` needs onto this device and check it, touching nothing that runs.

        Raises `FetchError`, or `ComponentInvalidError` for what can never run.
        """
        ...

    def apply(self, component: Component) -> None:
        """Start `component` in place of whatever revision of it runs; named volumes keep their content.

        It has been fetched. Raises `ApplyError`.
        """
        ...

    def verify(self, component: Component) -> None:
        """Return once everything of `component` is up (spec: CMP-2); raises `ApplyError` if it is not.

        A container that ended non-zero is a failure at once, a health check is waited for, and `timeout`
        is the end of all waiting (spec: AD-5).
        """
        ...

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        """Remove the component with its containers, networks and volumes, and `directory` if one is given.

        Nothing but the engine is needed for it: the directory may be gone.
        """
        ...
