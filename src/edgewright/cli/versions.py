"""Which version of an application is meant: the one named, or the newest the fleet manager has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError
from edgewright.cli.operator import every
from edgewright.cli.operator_client import segment
from edgewright.cli.views import PackageView

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

# Orders as Semantic Versioning 2.0 does (section 11): numbers, pre-release before release, its parts.
Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def find_package(operator: Operator, given: str) -> tuple[str, str]:
    """Return (id, version) of the package `given` names as `ID` or `ID@VERSION`.

    Raises UsageError, saying what there is, when the fleet manager has no such package.
    """
    name, _, version = given.partition("@")
    known = every(operator, "/packages", PackageView)
    versions = [package.version for package in known if package.id == name]
    if not versions:
        there = ", ".join(sorted({package.id for package in known})) or "none; 'package import' brings one"
        raise UsageError(f"there is no package '{name}'; there is: {there}")
    if not version:
        return name, max(versions, key=precedence)
    if version not in versions:
        there = ", ".join(sorted(versions, key=precedence))
        raise UsageError(f"there is no version {version} of '{name}'; there is: {there}")
    return name, version


def precedence(version: str) -> Precedence:
    """Return what `version` sorts by; what is no SemVer comes first."""
    core, _, pre = version.partition("_")[0].partition("+")[0].partition("-")
    numbers = tuple(int(part) if part.isdecimal() else -1 for part in core.split("."))
    parts = tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in pre.split(".") if pre
    )
    return numbers, not pre, parts


def package_path(name: str, version: str) -> str:
    """Return the operator API's path of one package."""
    return f"/packages/{segment(name)}/{segment(version)}"
