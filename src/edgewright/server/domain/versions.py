"""The order of an application's versions: by SemVer where they follow it, else as a person would sort them.

The specification leaves the form of a version open (spec: OP-28), so everything a tag can be has a place:
`v1.2`, `2024.11`, `1.0.0_build.7` and `nightly` alike.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Key = tuple[Any, ...]

_NUMBERED = re.compile(
    r"[vV]?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:(?P<mark>[-.]?)(?P<rest>[A-Za-z0-9-][A-Za-z0-9.-]*))?"
    r"(?:_(?P<build>.*))?\Z"
)
# What comes before the release it names although no dash says so, as in 1.0rc1.
_EARLY = re.compile(
    r"(?:[abc](?=[0-9])|(?:rc|alpha|beta|dev|pre|preview|snapshot|nightly)(?:[0-9.-]|\Z))", re.IGNORECASE
)
_DIGITS = re.compile(r"([0-9]+)")


def version_key(version: str) -> Key:
    """Return what to sort versions by, oldest first; versions without a number come before all others."""
    match = _NUMBERED.match(version)
    if match is None:
        return (0, _natural(version), version)
    release = [int(number) for number in match["release"].split(".")]
    rest = match["rest"] or ""
    if _is_date(match):
        release += [int(number) for number in rest.split("-")]
        rest = ""
    while len(release) > 1 and not release[-1]:
        release.pop()
    if not rest:
        stage: Key = (1,)
    elif _is_early(match["mark"], rest):
        stage = (0, tuple(map(_identifier, rest.split("."))))
    else:
        stage = (2, _natural(rest))
    return (1, tuple(release), stage, _natural(match["build"] or ""), version)


def is_prerelease(version: str) -> bool:
    """Whether a version says of itself that it is not the finished one."""
    match = _NUMBERED.match(version)
    if match is None:
        return True
    return bool(match["rest"]) and not _is_date(match) and _is_early(match["mark"], match["rest"])


def newest_first(items: Iterable[Item], version_of: Callable[[Item], str]) -> list[Item]:
    """Return the items, the newest version first."""
    return sorted(items, key=lambda item: version_key(version_of(item)), reverse=True)


def newest(versions: Iterable[str]) -> str:
    """Return the newest finished version; the newest of all where none is. There has to be at least one."""
    ordered = newest_first(versions, str)
    return next((version for version in ordered if not is_prerelease(version)), ordered[0])


def _is_date(match: re.Match[str]) -> bool:
    """Whether numbers go on behind a dash, as in 2024-11-05: a pre-release has three numbers before it."""
    rest = match["rest"] or ""
    return "." not in match["release"] and re.fullmatch(r"[0-9]+(-[0-9]+)*", rest) is not None


def _is_early(mark: str, rest: str) -> bool:
    return mark == "-" or _EARLY.match(rest) is not None


def _identifier(text: str) -> Key:
    """Return the rank of one part of a pre-release: numbers by value, before all words (SemVer 2.0, 11)."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _natural(text: str) -> Key:
    """Return a key by which `part10` follows `part9`."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in _DIGITS.split(text) if part
    )
