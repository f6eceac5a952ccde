"""What carrying out an action needs, and the two steps that installing, repairing and rolling back share."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright.agent.consent.durations import Durations
from edgewright.agent.consent.gate import Gate
from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import Component, Runtime
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.work.desired import Desired, components_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """`runtimes` by profile, `telemetry` variables for OBS-8; `keep` good revisions stay besides the last.

    `gate` says whether a change may begin, `durations` remember how long it took.
    """

    runtimes: Mapping[str, Runtime]
    ledger: Ledger
    paths: Paths
    telemetry: Mapping[str, str]
    keep: int
    gate: Gate
    durations: Durations

    def runtime_of(self, desired: Desired) -> Runtime:
        """Return the runtime of a readable document's profile."""
        assert desired.document is not None  # noqa: S101 - refused documents never come here
        return self.runtimes[desired.document.spec.deployment_profile.type]


def images_of(desired: Desired | None, tools: Tools) -> Mapping[str, Sequence[str]]:
    """Return component name to its images, as far as they are known on this device."""
    if desired is None or desired.document is None:
        return {}
    runtime = tools.runtimes.get(desired.document.spec.deployment_profile.type)
    if runtime is None:
        return {}
    components = components_of(desired, tools.paths, tools.telemetry)
    return {each.name: found for each in components if (found := runtime.images(each))}


def bring_here(component: Component, runtime: Runtime) -> None:
    """Make sure that everything of `component` is on this device; what is whole needs no network."""
    if not runtime.is_ready(component):
        runtime.fetch(component)


def restore_volumes(component: Component, runtime: Runtime, paths: Paths) -> None:
    """Put the volumes back as they were when another revision began to take the component's place.

    That is done once for each snapshot; without one, as nearly always, nothing is done.
    """
    directory = paths.snapshot(component.deployment_id, component.revision, component.name)
    if os.path.isdir(directory):
        runtime.restore(component, directory)
