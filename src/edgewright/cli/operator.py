"""What all operator commands share: their options, and the connection to the fleet manager."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, TypeVar

import msgspec

from edgewright.cli.errors import RefusedError
from edgewright.cli.output import add_format_option

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

T = TypeVar("T")


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


def read(answer: object, kind: type[T]) -> T:
    """Return the server's `answer` as `kind`; members nobody here knows are ignored.

    Raises RefusedError when the server says something else than its interface promises.
    """
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the fleet manager's answer is not as expected: {error}", status=502) from error
