"""What runs components on this device, as the round sees it: one protocol, its values and its errors.

The implementations live beside this module (`compose`); one set of contract tests holds for each of them.
"""

from collections.abc import Mapping, Sequence
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
    runtime owns everything in there, and two revisions never share one. `snapshot_volumes`: its named volumes
    are to be snapshotted before another revision takes its place (`Runtime.snapshot`).
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
    snapshot_volumes: bool = False

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
    """One component as it was found on this device; `revision` is "" where no single revision is in place.

    `reason` says why it is not well, "" where nothing is wrong. `crash_looping`: something of it ends and is
    started by the engine again and again, and has not stayed up since; then it is FAILED, whatever the
    engine's word of this moment is.
    """

    deployment_id: str
    name: str
    revision: str
    health: Health
    containers: tuple[ObservedContainer, ...] = ()
    reason: str = ""
    crash_looping: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """Something of `component` on this device that is not what was fetched; `what` tells a person which."""

    component: Component
    what: str


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


class StorageFullError(StorageError):
    """There is no room for it, or there was none left in the middle of it; nothing half-done was left."""

    code = "storage.full"


class ComponentInvalidError(ComponentError):
    """What was fetched is not a component that can run here; fetching it again gives the same."""

    code = "component.invalid"


class ApplyError(ComponentError):
    """The component did not come up; the message names the service and ends with its last log lines."""

    code = "apply.failed"


class ApplyTimeoutError(ApplyError):
    """The component was not up in time (spec: AD-5)."""

    code = "apply.timeout"


class OccupiedError(ApplyError):
    """Something the component needs, a port of this device, is held by something else that runs."""


class CrashLoopError(ApplyError):
    """A container of the component ends again and again, however often the engine starts it."""

    code = "component.crash-looping"


class EngineError(ComponentError):
    """The container engine, or the program that drives it, is missing or does not answer."""

    code = "engine.unavailable"
    retryable = True


class EngineInterruptedError(EngineError):
    """The engine, or the program that drives it, ended meanwhile, which says nothing about the component."""

    code = "engine.interrupted"


class ProgramKilledError(EngineInterruptedError):
    """The program that drives the engine was ended from outside."""


class Runtime(Protocol):
    """What runs components of one profile on this device.

    Every call may be repeated, and may be killed and repeated: fetching what is here, applying what runs and
    removing what is gone all succeed and change nothing. All failures are `ComponentError`s; `EngineError`
    and `StorageError` may come from any call.
    """

    profile: str

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        """Return everything of ours on this device, by deployment id and component name."""
        ...

    def fetch(self, component: Component) -> None:
        """Bring everything `component` needs onto this device and check it, touching nothing that runs.

        What was fetched once stays the same for ever: a tag that moves changes nothing, and what has gone
        missing or was damaged since comes again by the digests of the first time. Raises `StorageFullError`
        before anything large is downloaded that has no room here, `FetchError`, or `ComponentInvalidError`
        for what can never run.
        """
        ...

    def is_ready(self, component: Component) -> bool:
        """Tell whether `apply` finds everything of `component` on this device; never asks the network."""
        ...

    def images(self, component: Component) -> Sequence[str]:
        """Return the names of what `component` runs from, in order; none where it was not fetched."""
        ...

    def apply(self, component: Component) -> None:
        """Start `component` in place of whatever revision of it runs; named volumes keep their content.

        It has been fetched. Raises `ApplyError`, `OccupiedError` where something else holds what it needs.
        """
        ...

    def stop(self, deployment_id: str, name: str) -> None:
        """Stop the component, whatever revision of it runs; `apply` starts it again. Nothing else changes."""
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

    # --- what is kept -------------------------------------------------------------------------------

    def release(self, keep: Sequence[Component]) -> None:
        """Make room: remove what this runtime downloaded and no component in `keep` needs.

        `keep` is everything this device may have to run again: the components of all deployments, in all
        revisions that are kept. What somebody else put on the engine, or uses, stays.
        """
        ...

    def snapshot(self, component: Component, directory: str) -> None:
        """Stop `component` and copy its named volumes into `directory`: all of them, durably, or none.

        Raises `ApplyError` where a volume is of a kind that cannot be copied. Whatever is raised, the
        component may have been stopped. A whole snapshot that is there already is left as it is, as what runs
        now may have changed the volumes since, unless it has been restored: then it has served and a new one
        takes its place. A snapshot ends with its directory, which whoever asked for it removes.
        """
        ...

    def restore(self, component: Component, directory: str) -> None:
        """Stop `component` and put its named volumes back as they were when the snapshot was made.

        Killed half-way it leaves volumes that are neither; calling it again finishes it.

        Once for each snapshot: after that what runs has gone on from there, and nothing is changed. Nothing
        is changed either where `directory` holds no whole snapshot.
        """
        ...

    # --- damage -------------------------------------------------------------------------------------

    def check(self, components: Sequence[Component]) -> Sequence[Damage]:
        """Compare every byte of fetched components with what was fetched; return what is damaged or gone.

        Reads all of it, so it takes its time and the disk's; never asks the network, touches nothing.
        """
        ...

    def mend(self, component: Component) -> None:
        """Drop what `check` finds damaged of `component`, so that `fetch` brings it anew.

        Containers that run from it are removed with it, and have to be applied again; volumes stay. Raises
        `FetchError` and drops nothing where what replaces it cannot be had now.
        """
        ...
