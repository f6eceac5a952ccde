"""`edgewright diff`: what `apply` would change, as a diff."""

from __future__ import annotations

import argparse

from edgewright.cli.apply import add_files

HELP = """\
Show what 'edgewright apply' would change, as a unified diff; nothing is changed.
Exit code 0 when there is no difference, 1 when there is one.

example: edgewright diff -f fleet/"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright diff`."""
    add_files(parser)
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.operator import connect
    from edgewright.cli.resources.applying import difference, steps
    from edgewright.cli.resources.documents import read_files

    documents = read_files(args.file)
    lines = [line for step in steps(connect(args), documents) for line in difference(step)]
    for line in lines:
        print(line)
    return 1 if lines else 0
