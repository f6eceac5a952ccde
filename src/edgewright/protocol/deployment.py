"""The ApplicationDeployment: one application with its parameters, for one device (spec: section 11)."""

import re
from collections.abc import Iterator, Mapping, Set
from datetime import timedelta
from typing import Annotated, ClassVar

import msgspec

from edgewright.protocol.constraints import DeviceConstraints, constraint_violations
from edgewright.protocol.conversion import matching, member
from edgewright.protocol.documents import ApplicationId, Document, ExtensiblePart, Part, Text, Uuid, Violation
from edgewright.protocol.profiles import Component, ProfileType, Target, duplicate_names, is_variable
from edgewright.protocol.values import Value, value_text

# May end in `/*`: the gateway chooses the child (spec: GW-8).
TargetDeviceId = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*(/\*)?\Z",
        "a device id, perhaps with '*' as its last step",
    ),
]


class DeploymentMetadata(Part, frozen=True, kw_only=True):
    """Names chosen by the fleet manager, and the device the deployment is for."""

    name: Text
    namespace: Text
    device_id: TargetDeviceId
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class DeploymentProfile(ExtensiblePart, frozen=True, kw_only=True):
    """The components to install, in order."""

    type: ProfileType
    components: tuple[Component, ...]
    device_constraints: DeviceConstraints | None = None


class DeploymentParameter(Part, frozen=True, kw_only=True):
    """A value and where it goes."""

    value: Value
    targets: tuple[Target, ...]


class DeploymentSpec(ExtensiblePart, frozen=True, kw_only=True):
    """What to run and with which parameters."""

    application_id: ApplicationId
    deployment_profile: DeploymentProfile
    parameters: Mapping[str, DeploymentParameter] = msgspec.field(default_factory=dict)


class ApplicationDeployment(Document, frozen=True, kw_only=True):
    """One deployment; its identity is `id`, its revision the digest of the served bytes (spec: DS-9)."""

    is_yaml: ClassVar = True
    extension_places: ClassVar = (
        ("spec",),
        ("spec", "deploymentProfile"),
        ("spec", "deploymentProfile", "components", "*"),
    )

    id: Uuid
    metadata: DeploymentMetadata
    spec: DeploymentSpec

    def violations(self) -> Iterator[Violation]:
        """Yield components of one name, unusable constraints and unusable environment variables."""
        profile = self.spec.deployment_profile
        yield from duplicate_names(profile.components, "$.spec.deploymentProfile.components")
        yield from constraint_violations(
            profile.device_constraints, "$.spec.deploymentProfile.deviceConstraints"
        )
        if profile.type is ProfileType.COMPOSE:
            names = {component.name for component in profile.components}
            for name, parameter in self.spec.parameters.items():
                yield from _environment_violations(parameter, names, member("$.spec.parameters", name))


def _environment_violations(
    parameter: DeploymentParameter, components: Set[str], path: str
) -> Iterator[Violation]:
    """Yield what no process of `components` can be given: a variable without a usable name, a NUL."""
    for index, target in enumerate(parameter.targets):
        if components.isdisjoint(target.components):
            continue  # AD-8: it matches nothing here
        if not is_variable(target.pointer):
            yield f"{path}.targets[{index}].pointer", "expected the name of an environment variable"
        if "\x00" in value_text(parameter.value):
            yield f"{path}.value", "expected text without NUL characters"


def timeout_of(text: str) -> timedelta:
    """Return the duration a `timeout` such as `8m30s` means (spec: AD-5); raise ValueError otherwise."""
    match = re.fullmatch(r"([0-9]{1,6})m([0-9]{1,6})s", text)
    if match is None:
        raise ValueError(f"{text[:40]!r}: expected minutes and seconds such as 8m30s")
    return timedelta(minutes=int(match[1]), seconds=int(match[2]))


def component_environment(deployment: ApplicationDeployment, component: str) -> dict[str, str]:
    """Return variable name to value for one Compose component (spec: AD-7).

    Where two parameters set one variable, the later in the document wins.
    """
    return {
        target.pointer: value_text(parameter.value)
        for parameter in deployment.spec.parameters.values()
        for target in parameter.targets
        if component in target.components
    }
