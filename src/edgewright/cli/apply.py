"""`edgewright apply`: makes the fleet manager have what documents say."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.applying import Step

HELP = """\
Make the fleet manager have what documents say: create what is missing, change
what differs, leave alone what is as it should be. Nothing is ever deleted.

A document says apiVersion, kind, metadata and spec; 'edgewright get KIND -o yaml'
prints such documents. Files may hold several, separated by '---'; of a folder
every .yaml, .yml and .json is read. Everything is read and compared before
the first change is made.

--dry-run has the fleet manager judge and carry out every change without keeping
it, and says what would change where.

examples: edgewright apply -f fleet/
          edgewright apply -f shop.yaml --dry-run
          edgewright get assignment shop -o yaml | edgewright apply -f -"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright apply`."""
    from edgewright.cli.arguments import duration

    add_files(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--wait", action="store_true", help="watch what was changed until it has settled")
    parser.add_argument(
        "--timeout", type=duration, default=300.0, metavar="TIME", help="how long --wait waits (default: 5m)"
    )
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def add_files(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Give `parser` the option `-f`."""
    told = "a file, a folder, or - for standard input (repeatable)"
    parser.add_argument("-f", "--file", action="append", required=required, metavar="FILE", help=told)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.operator import connect
    from edgewright.cli.resources.applying import steps
    from edgewright.cli.resources.documents import read_files

    documents = read_files(args.file)
    operator = connect(args)
    planned = steps(operator, documents)
    done = carry_out_all(operator, planned, dry_run=args.dry_run)
    if args.wait and not args.dry_run:
        _wait(operator, done, args.timeout)
    return 0


def carry_out_all(operator: Operator, planned: Sequence[Step], *, dry_run: bool) -> list[Step]:
    """Carry out every step, say what was done, and return those that changed something.

    What is refused does not keep the others from being carried out; all refusals are raised at the end.
    """
    from edgewright.cli.errors import RefusedError
    from edgewright.cli.resources.applying import carry_out, declared_of

    refused: list[RefusedError] = []
    done: list[Step] = []
    for step in planned:
        try:
            answer = carry_out(operator, step, dry_run=dry_run)
        except RefusedError as error:
            refused.append(error)
            continue
        print(
            f"{step.document.title} {step.verb}{' (dry run)' if dry_run and step.change else ''}", flush=True
        )
        if step.change is not None:
            done.append(step)
            for line in () if dry_run else declared_of(step.kind).told(answer):
                print(f"  {line}", flush=True)
        if dry_run:
            for line in _preview(operator, step):
                print(f"  {line}", flush=True)
    if refused:
        worst = max(error.status for error in refused)
        raise RefusedError("\n  ".join(str(error) for error in refused), status=worst)
    return done


def _preview(operator: Operator, step: Step) -> Sequence[str]:
    from edgewright.cli.resources.applying import declared_of, difference

    if step.change is None:
        return []
    preview = declared_of(step.kind).preview
    if preview is not None:
        return preview(operator, step.document)
    return [line for line in difference(step) if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}]


def _wait(operator: Operator, done: Sequence[Step], timeout: float) -> None:
    from edgewright.cli.resources.applying import declared_of
    from edgewright.cli.resources.asking import Asked
    from edgewright.cli.watch import follow

    settling = []
    for step in done:
        declared = declared_of(step.kind)
        if declared.follows is not None:
            followed = declared.follows(operator, step.document)
            settling += [] if followed is None else [followed]
            continue
        if step.kind.settled is None:
            continue
        standing = declared.present(operator, step.document)
        if standing is not None:
            settling.append(Asked(kind=step.kind, names=(step.kind.key(standing.entry),)))
    if settling:
        follow(operator, settling, "table", timeout=timeout, until_settled=True)
