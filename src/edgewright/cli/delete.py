"""`edgewright delete`: takes things away, each by its name or as documents name them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgewright.cli.apply import add_files
from edgewright.cli.errors import UsageError
from edgewright.cli.resources.asking import NAMING, Asked, add_names, asked

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

HELP = f"""\
Delete deployments, packages, policies and more, each by its name.
{NAMING}

A device is retired: it is not let in any more, and what runs there goes on
running. The data of a deleted deployment goes with it.

examples: edgewright delete deployment shop --wait
          edgewright delete -f shop.yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright delete`."""
    from edgewright.cli.arguments import duration

    add_names(parser, required=False)
    add_files(parser, required=False)
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.add_argument("--wait", action="store_true", help="watch until devices have taken it off")
    parser.add_argument(
        "--timeout", type=duration, default=300.0, metavar="TIME", help="how long --wait waits (default: 5m)"
    )
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.operator import connect
    from edgewright.cli.resources.applying import rehearsed

    if (args.kind is None) == (not args.file):
        raise UsageError("say what: KIND NAME, or -f FILE")
    operator = connect(args)
    # All are looked up before the first one goes.
    gone = _named(operator, asked(args)) if args.kind else _written(operator, args.file)
    for one in gone:
        for key in one.names:
            path = one.kind.path_of(key)
            operator.delete(rehearsed(path) if args.dry_run else path)
            print(f"{one.kind.name}/{key} {one.kind.ends}{' (dry run)' if args.dry_run else ''}", flush=True)
    if args.wait and not args.dry_run:
        from edgewright.cli.watch import follow

        settling = [one for one in gone if one.kind.settled is not None]
        if settling:
            follow(operator, settling, "table", timeout=args.timeout, until_settled=True)
    return 0


def _named(operator: Operator, wanted: list[Asked]) -> list[Asked]:
    """Return the whole keys of what was named."""
    for one in wanted:
        if not one.names:
            raise UsageError(f"say which {one.kind.name}: 'edgewright get {one.kind.plural}' shows them")
        if one.kind.ends is None:
            raise UsageError(f"a {one.kind.name} is not deleted")
    return [
        Asked(
            kind=one.kind,
            names=tuple(one.kind.key(one.kind.find(operator, name, exactly=True)) for name in one.names),
        )
        for one in wanted
    ]


def _written(operator: Operator, files: list[str]) -> list[Asked]:
    """Return what documents name and is there, in the opposite order of applying them."""
    from edgewright.cli.resources.applying import steps
    from edgewright.cli.resources.documents import read_files

    found = []
    for step in reversed(steps(operator, read_files(files))):
        if step.skipped:
            print(f"{step.document.title} {step.verb}")
        elif step.standing is None:
            print(f"{step.document.title} is not there")
        else:
            found.append(Asked(kind=step.kind, names=(step.kind.key(step.standing.entry),)))
    return found
