"""`edgewright describe`: all that is known of single things, for people."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from edgewright.cli.resources.asking import NAMING, add_filters, add_names, asked

HELP = f"""\
Show all that is known of things, in words.
{NAMING}

example: edgewright describe device line-4"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright describe`."""
    add_names(parser)
    add_filters(parser)
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.operator import connect

    operator = connect(args)
    now = datetime.now(UTC)
    first = True
    for one in asked(args):
        # What lists show of a thing is less than what it shows alone.
        entries = one.entries(operator)
        whole = entries if one.names else [one.kind.find(operator, one.kind.key(entry)) for entry in entries]
        if not whole:
            print(one.kind.empty)
        for entry in whole:
            if not first:
                print("\n" + "-" * 60 + "\n")
            first = False
            one.kind.describe(entry, now)
            if one.kind.more is not None:
                one.kind.more(operator, entry, now)
    return 0
