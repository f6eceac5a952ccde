"""What a change would change, as plain values: what a person needs to see before they agree. Pure.

A summary is kept with the approval and reported, so that everybody sees the same:

    {"from": digest or null, "to": digest or null,
     "components": [{"name", "change": added | removed | changed, "from": version, "to": version}],
     "parameters": [{"name", "change", "from": text, "to": text}],
     "images":     [{"name": component, "change", "from": [image], "to": [image]}],
     "other": whether anything else in the document differs}

Only what differs is listed, and no more than a person reads. Values of parameters that look as if they were
secret are never told.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from edgewright.agent.work.desired import Desired
from edgewright.protocol.consent import HIDDEN
from edgewright.protocol.deployment import ApplicationDeployment, DeploymentParameter
from edgewright.protocol.profiles import Component
from edgewright.protocol.values import value_text

T = TypeVar("T")
Images = Mapping[str, Sequence[str]]
"""Component name to the images it runs, as far as they are known."""

_LONGEST: Final = 200
_MOST: Final = 100
_SECRET = re.compile(
    r"pass|pwd|secret|token|credential|private|auth|api.?key|(^|[._-])key($|[._-])", re.IGNORECASE
)


def summarise(
    current: Desired | None,
    desired: Desired | None,
    *,
    running: Images | None = None,
    coming: Images | None = None,
) -> dict[str, Any]:
    """Return what would change from `current` to `desired`; either is None where there is nothing.

    `running` and `coming` are the images of the two, where they are known.
    """
    old, new = _document(current), _document(desired)
    return {
        "from": None if current is None else current.digest,
        "to": None if desired is None else desired.digest,
        "components": _changes(_components(old), _components(new), _versions),
        "parameters": _changes(_parameters(old), _parameters(new), _values),
        "images": _changes(running or {}, coming or {}, _images) if coming or desired is None else [],
        "other": old is not None and new is not None and _rest(old, new) != _rest(new, old),
    }


def _document(desired: Desired | None) -> ApplicationDeployment | None:
    return None if desired is None else desired.document


def _components(document: ApplicationDeployment | None) -> Mapping[str, Component]:
    found = () if document is None else document.spec.deployment_profile.components
    return {each.name: each for each in found}


def _parameters(document: ApplicationDeployment | None) -> Mapping[str, DeploymentParameter]:
    return {} if document is None else document.spec.parameters


def _changes(old: Mapping[str, T], new: Mapping[str, T], tell: Any) -> list[dict[str, Any]]:
    """Return the entries that differ; `tell` says in JSON what one with a certain name was or will be."""
    found = []
    for name in dict.fromkeys((*new, *old)):
        if name not in old:
            found.append({"name": name, "change": "added", "to": tell(name, None, new[name])[1]})
        elif name not in new:
            found.append({"name": name, "change": "removed", "from": tell(name, old[name], None)[0]})
        elif old[name] != new[name]:
            was, becomes = tell(name, old[name], new[name])
            found.append({"name": name, "change": "changed", "from": was, "to": becomes})
    return found[:_MOST]


def _versions(_: str, old: Component | None, new: Component | None) -> tuple[str, str]:
    """Tell the versions; where they come from only if that is what differs."""
    moved = old is not None and new is not None and old.properties.repository != new.properties.repository

    def version(component: Component | None) -> str:
        if component is None:
            return ""
        of = component.properties
        return f"{of.repository}:{of.revision}" if moved else of.revision

    return version(old), version(new)


def _values(name: str, old: DeploymentParameter | None, new: DeploymentParameter | None) -> tuple[str, str]:
    names = {name, *(target.pointer for each in (old, new) if each is not None for target in each.targets)}

    def value(parameter: DeploymentParameter | None) -> str:
        if parameter is None:
            return ""
        return HIDDEN if _look_secret(names) else _short(value_text(parameter.value))

    return value(old), value(new)


def _images(_: str, old: Sequence[str] | None, new: Sequence[str] | None) -> tuple[list[str], list[str]]:
    return list(old or ()), list(new or ())


def _look_secret(names: Iterable[str]) -> bool:
    return any(_SECRET.search(name) for name in names)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _rest(document: ApplicationDeployment, other: ApplicationDeployment) -> dict[str, Any]:
    """Return what of a document is told nowhere else in a summary; the order of components is."""
    plain = document.to_plain()
    spec = dict(plain["spec"])
    spec.pop("parameters", None)
    profile = dict(spec["deploymentProfile"])
    profile["components"] = [name for name in _components(document) if name in _components(other)]
    return {**plain, "spec": {**spec, "deploymentProfile": profile}}
