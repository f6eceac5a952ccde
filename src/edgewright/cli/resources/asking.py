"""What the commands share: how things are named on the command line, and how they are fetched."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError
from edgewright.cli.resources.registry import kind_called

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.kind import Entry, Kind

NAMING = """
KIND is singular, plural or short: device, devices, dev. Several are written with
commas (get packages,deployments); KIND/NAME names one thing and may be
repeated. A name may be given by its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Things of one kind: those named, or all that the query lets through when none is."""

    kind: Kind
    names: tuple[str, ...] = ()
    query: str = ""

    def entries(self, operator: Operator) -> list[Entry]:
        """Return them as the operator API shows them; a name that is nothing is an error."""
        if self.names:
            return [self.kind.find(operator, name) for name in self.names]
        return self.kind.entries(operator, self.query)


def add_names(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Give `parser` the words that say which things are meant."""
    kind = parser.add_argument(
        "kind", metavar="KIND", nargs=None if required else "?", help="such as devices, or device/line-4"
    )
    names = parser.add_argument("names", metavar="NAME", nargs="*", help="which of them (default: all)")
    kind.completes = "kind"  # type: ignore[attr-defined]
    names.completes = "name"  # type: ignore[attr-defined]


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that narrow a list."""
    parser.add_argument(
        "-l", "--selector", metavar="SELECTOR", help="only devices with such labels: 'site=berlin, !spare'"
    )
    told = "only those: state=failed, application=shop, device=line-4 (repeatable)"
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help=told)


def asked(args: argparse.Namespace) -> list[Asked]:
    """Return what is asked for; raises UsageError for words that do not go together."""
    words: list[str] = [args.kind, *args.names]
    if any("/" in word for word in words[:1]):
        return _by_pairs(words)
    kinds = [kind_called(word) for word in args.kind.split(",")]
    if len(kinds) > 1 and args.names:
        raise UsageError("names go with one kind; for several write KIND/NAME")
    selector, where = getattr(args, "selector", None), getattr(args, "where", [])
    if args.names and (selector or where):
        raise UsageError("either name things, or narrow the list with -l and --where")
    return [
        Asked(kind=kind, names=tuple(args.names), query=query_of(kind, selector, where)) for kind in kinds
    ]


def _by_pairs(words: Sequence[str]) -> list[Asked]:
    """Return what `device/a device/b package/shop@1` asks for, neighbours of one kind together."""
    found: list[Asked] = []
    for word in words:
        kind_word, sign, name = word.partition("/")
        if not sign or not name:
            raise UsageError(f"'{word}': expected KIND/NAME, as in device/line-4")
        kind = kind_called(kind_word)
        if found and found[-1].kind is kind:
            found[-1] = Asked(kind=kind, names=(*found[-1].names, name))
        else:
            found.append(Asked(kind=kind, names=(name,)))
    return found


def query_of(kind: Kind, selector: str | None, where: Sequence[str]) -> str:
    """Return the query of the list of `kind`; raises UsageError for what it cannot be narrowed by."""
    from urllib.parse import urlencode

    pairs: list[tuple[str, str]] = []
    if selector:
        if kind.selector is None:
            raise UsageError(f"{kind.plural} have no labels; -l goes with devices")
        pairs.append((kind.selector, selector))
    allowed = [*kind.filters, *([kind.search] if kind.search else [])]
    for condition in where:
        name, sign, value = condition.partition("=")
        if not sign:
            raise UsageError(f"'--where {condition}': expected NAME=VALUE")
        if name not in allowed:
            there = ", ".join(allowed) or "nothing"
            raise UsageError(f"{kind.plural} are not narrowed by '{name}'; there is: {there}")
        pairs.append((name, value))
    return f"?{urlencode(pairs)}" if pairs else ""
