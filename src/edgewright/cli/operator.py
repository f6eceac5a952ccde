"""What all operator commands share: their options, and the connection to the fleet manager."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from edgewright.cli.errors import RefusedError
from edgewright.cli.output import add_format_option

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

T = TypeVar("T")
_PAGE = 500


class Listed(msgspec.Struct, frozen=True):
    """One page of a list; `next` says where the next one begins."""

    items: list[Any]
    next: str | None = None


def add_operator_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of every command that asks the fleet manager."""
    add_format_option(parser)
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def connect(args: argparse.Namespace) -> Operator:
    """Return the connection that `--context`, the environment or the last login says."""
    from edgewright.cli.context import context_path, load_context
    from edgewright.cli.operator_client import Operator

    return Operator(load_context(context_path(args.context, os.environ)))


def every(operator: Operator, path: str, kind: type[T]) -> list[T]:
    """Return all entries of the list at `path`, page by page, each as `kind`."""
    return read(pages(operator, path), list[kind])  # type: ignore[valid-type]


def pages(operator: Operator, path: str) -> list[object]:
    """Return all entries of the list at `path` as the server says them, page by page."""
    sign = "&" if "?" in path else "?"
    found: list[object] = []
    after: str | None = ""
    while after is not None:
        page = read(operator.get(f"{path}{sign}limit={_PAGE}{after}"), Listed)
        found += page.items
        after = None if page.next is None else f"&after={quote(page.next, safe='')}"
    return found


def read(answer: object, kind: type[T]) -> T:
    """Return the server's `answer` as `kind`; members nobody here knows are ignored.

    Raises RefusedError when the server says something else than its interface promises.
    """
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the fleet manager's answer is not as expected: {error}", status=502) from error
