"""What an approval is about, line by line: how it is, and how it would be. Pure, from its summary.

The summary's shape is that of `consent/summary.py`; one that came from another version may lack members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from edgewright.protocol.consent import HIDDEN

_PARTS: Final = (("components", ""), ("parameters", "parameter "), ("images", "images of "))


class Change(NamedTuple):
    """One line: `what` changes from `old` to `new`; empty is nothing at all."""

    what: str
    old: str
    new: str


def changes(summary: Mapping[str, Any]) -> list[Change]:
    """Return the lines of a summary: components, parameters, images, and the rest in one line."""
    return list(_lines(summary))


def _lines(summary: Mapping[str, Any]) -> Iterator[Change]:
    for member, prefix in _PARTS:
        for each in summary.get(member) or ():
            yield Change(f"{prefix}{each['name']}", *_both(each))
    if summary.get("other"):
        yield Change("the rest of the deployment document", "as it is", "changed")


def _both(entry: Mapping[str, Any]) -> tuple[str, str]:
    old, new = _text(entry.get("from")), _text(entry.get("to"))
    if entry.get("change") == "changed":
        return old or "(empty)", _changed(old, new)
    return old, new


def _changed(old: str, new: str) -> str:
    if old != new:
        return new or "(empty)"
    return "another value (hidden)" if new == HIDDEN else f"{new} (set up differently)"


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
