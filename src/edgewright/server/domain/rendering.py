"""Renders the document a device is given from what the author wrote and the operator chose (spec: section
11).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from edgewright.protocol import yaml
from edgewright.protocol.deployment import (
    ApplicationDeployment,
    DeploymentMetadata,
    DeploymentParameter,
    DeploymentProfile,
    DeploymentSpec,
)
from edgewright.protocol.description import ApplicationDescription, DescriptionProfile
from edgewright.protocol.values import Value
from edgewright.server.domain.parameters import targets_in
from edgewright.server.errors import Fault, InvalidError

OWN_EXTENSION = "x-edgewright-extensions"
# Helm takes release names of at most 53 characters, Kubernetes namespaces of 63.
MAX_NAME, MAX_NAMESPACE = 53, 63
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def render_deployment(
    description: ApplicationDescription,
    profile: DescriptionProfile,
    values: Mapping[str, Value],
    *,
    deployment_id: str,
    device_id: str,
    name: str,
    attempt: int = 0,
) -> ApplicationDeployment:
    """Return the deployment of one profile: all its components in file order, and only those (spec: PKG-2,
    AD-2).

    `values` are effective ones. Extensions of the profile and its components go along, those at the
    description's root do not (spec: AD-10). `attempt` makes another document of the same, as a device does
    not try again what failed.
    """
    return ApplicationDeployment(
        id=deployment_id,
        metadata=DeploymentMetadata(name=name, namespace=namespace_of(description.id), device_id=device_id),
        spec=DeploymentSpec(
            application_id=description.id,
            deployment_profile=DeploymentProfile(
                type=profile.type,
                components=profile.components,
                device_constraints=profile.device_constraints,
                extensions=profile.extensions,
            ),
            parameters={
                parameter: DeploymentParameter(
                    value=value,
                    targets=targets_in(profile, description.parameters[parameter].targets),
                )
                for parameter, value in values.items()
            },
            extensions={OWN_EXTENSION: {"attempt": attempt}} if attempt else {},
        ),
    )


def render_document(deployment: ApplicationDeployment, profile_id: str, description: bytes) -> bytes:
    """Return the bytes to serve; raises `DocumentError` if a device would have to refuse them.

    Constraints are carried exactly as the author wrote them in `description`, members unknown to this
    program included (spec: AD-11).
    """
    plain = deployment.to_plain()
    if (constraints := _constraints_in(description, profile_id)) is not None:
        plain["spec"]["deploymentProfile"]["deviceConstraints"] = constraints
    document = yaml.dump(plain)
    ApplicationDeployment.parse(document, source="deployment")
    return document


def check_name(name: str) -> str:
    """Return `name` if clusters and container engines can take it; else raise `InvalidError`."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        message = f"expected at most {MAX_NAME} lower-case letters, digits and dashes, no dash at the ends"
        raise InvalidError("the name cannot be used", Fault(field="name", message=message))
    return name


def default_name(application_id: str, deployment_id: str) -> str:
    """Return a name that no other deployment has: the application's with a part of the id."""
    suffix = f"-{deployment_id[:8]}"
    return (application_id[: MAX_NAME - len(suffix)].strip("-") or "app") + suffix


def namespace_of(application_id: str) -> str:
    """Return the namespace of an application's deployments."""
    return application_id[:MAX_NAMESPACE].strip("-") or "app"


@lru_cache(maxsize=256)
def _constraints_in(description: bytes, profile_id: str) -> Any:
    plain: Any = yaml.load(description, source="description")
    profiles = (profile for profile in plain["deploymentProfiles"] if profile["id"] == profile_id)
    return next(profiles).get("deviceConstraints")
