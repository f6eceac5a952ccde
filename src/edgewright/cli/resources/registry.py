"""All kinds by all their names; the module of a kind is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError

if TYPE_CHECKING:
    from edgewright.cli.resources.kind import Kind

# name -> (plural, short names, the kind's word in documents); the order is that of help and completion
KINDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "device": ("devices", ("dev",), "Device"),
    "package": ("packages", ("pkg",), "Package"),
    "deployment": ("deployments", ("deploy", "dep"), "Deployment"),
    "assignment": ("assignments", ("as",), "Assignment"),
    "rollout": ("rollouts", ("ro",), "Rollout"),
    "enrollment": ("enrollments", ("enr",), "Enrollment"),
    "source": ("sources", ("src",), "Source"),
    "repository": ("repositories", ("repo",), "Repository"),
    "user": ("users", (), "User"),
    "token": ("tokens", (), "Token"),
    "policy": ("policies", ("pol",), "Policy"),
}
TITLES = {title: name for name, (_, _, title) in KINDS.items()}
_NAMES = {word: name for name, (plural, short, _) in KINDS.items() for word in (name, plural, *short)}


def kind_called(word: str) -> Kind:
    """Return the kind of that name, singular, plural or short; raises UsageError with the nearest one."""
    name = _NAMES.get(word.lower())
    if name is None:
        from edgewright.cli.arguments import unknown

        near = unknown(word, sorted(_NAMES))
        told = near if "did you mean" in near else unknown(word, list(KINDS))
        raise UsageError(f"{told}\nKinds: {', '.join(plural for plural, _, _ in KINDS.values())}")
    found: Kind = import_module(f"edgewright.cli.resources.{KINDS[name][0]}").KIND
    return found


def words() -> list[str]:
    """Return the plural of every kind."""
    return [plural for plural, _, _ in KINDS.values()]
