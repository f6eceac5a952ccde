"""What application descriptions and deployments share: components and parameter targets."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Final

from edgewright.protocol.conversion import matching
from edgewright.protocol.documents import ExtensiblePart, Part, Text, Violation

# Names become directory and project names, so neither `..` nor a leading dash gets this far.
ComponentName = Annotated[
    str, matching(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z", "letters, digits and dashes, at most 200")
]
Tag = Annotated[str, matching(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", "a version that is a valid OCI tag")]
Repository = Annotated[str, matching(r"^oci://[^\s\x00-\x1f]+\Z", "an oci:// reference")]
Timeout = Annotated[str, matching(r"^[0-9]{1,6}m[0-9]{1,6}s\Z", "minutes and seconds such as 8m30s")]

# SemVer 2.0 without `v`, `+` written `_` (spec: PKG-1; the pattern of the published API description).
SEMVER_TAG: Final = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:_([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?\Z"
)


class ProfileType(StrEnum):
    """Which kind of components a profile consists of; never mixed (spec: AD-2)."""

    HELM = "helm"
    COMPOSE = "compose"
    CUSTOM = "custom"


class ComponentProperties(Part, frozen=True, kw_only=True):
    """Where a component comes from and how its installation is waited for.

    `timeout` is text such as `8m30s`, None when the author gave none.
    """

    repository: Repository
    revision: Tag
    wait: bool = True
    timeout: Timeout | None = None


class Component(ExtensiblePart, frozen=True, kw_only=True):
    """One deployable unit of a profile."""

    name: ComponentName
    properties: ComponentProperties


class Target(Part, frozen=True, kw_only=True):
    """Where a parameter goes: an environment variable (Compose) or a dotted values path (Helm)."""

    pointer: Text
    components: tuple[str, ...]


def is_variable(pointer: str) -> bool:
    """Whether an environment variable can have that name, as Compose components need it."""
    return not re.search(r"[=\s\x00]", pointer)


def duplicate_names(components: Sequence[Component], path: str) -> Iterator[Violation]:
    """Yield components whose name another one has already; `path` is the list's."""
    seen: set[str] = set()
    for index, component in enumerate(components):
        if component.name in seen:
            yield f"{path}[{index}].name", f"component {component.name} appears twice"
        seen.add(component.name)
