"""What a client reports about one deployment (spec: section 12)."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from edgewright.protocol.capabilities import DeviceId
from edgewright.protocol.documents import Document, Part, Uuid, Violation
from edgewright.protocol.manifest import ManifestVersion, check_version


class State(StrEnum):
    """State of a deployment or a component; the values are the words of the wire (spec: ST-8)."""

    PENDING = "pending"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


# Most severe first (spec: ST-3, OP-1).
SEVERITY: Final = (
    State.FAILED,
    State.REMOVING,
    State.INSTALLING,
    State.PENDING,
    State.REMOVED,
    State.INSTALLED,
)

# Codes only a gateway uses (spec: ST-7).
UNKNOWN_CHILD, UNREACHABLE_CHILD, PLACEMENT_UNSUPPORTED = "101", "102", "103"


def overall(states: Iterable[State]) -> State:
    """Return the most severe of `states` (spec: ST-3); nothing to install is installed."""
    return min(states, key=SEVERITY.index, default=State.INSTALLED)


class StatusError(Part, frozen=True, kw_only=True, omit_defaults=False):
    """Why something failed; `source` is the deployment's name or the component's (spec: ST-6).

    All three empty, as some clients send it, means that nothing failed (spec: ST-8).
    """

    code: str = ""
    source: str = ""
    message: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether this is only the form of an error."""
        return not (self.code or self.source or self.message)


class OverallStatus(Part, frozen=True, kw_only=True):
    """The deployment as a whole."""

    state: State
    error: StatusError | None = None


class ComponentStatus(Part, frozen=True, kw_only=True):
    """One component of the deployment."""

    name: str
    state: State
    error: StatusError | None = None


class DeploymentStatus(Document, frozen=True, kw_only=True):
    """One report; `adopted_manifest_version` says which revision it is about (spec: ST-20 to ST-25)."""

    deployment_id: Uuid
    device_id: DeviceId | None = None
    adopted_manifest_version: ManifestVersion
    status: OverallStatus
    components: tuple[ComponentStatus, ...]

    def violations(self) -> Iterator[Violation]:
        """Yield versions beyond 64 bits and components reported twice (spec: ST-2)."""
        yield from check_version(self.adopted_manifest_version, "$.adoptedManifestVersion")
        seen: set[str] = set()
        for index, component in enumerate(self.components):
            if component.name in seen:
                yield f"$.components[{index}].name", f"component {component.name} is reported twice"
            seen.add(component.name)
