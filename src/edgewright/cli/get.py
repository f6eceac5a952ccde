"""`edgewright get`: lists, and single things, as tables or as documents."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgewright.cli.resources.asking import NAMING, add_filters, add_names, asked

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.asking import Asked

OUTPUTS = ("table", "wide", "json", "yaml", "name")

HELP = f"""\
Show things of the fleet manager: devices, packages, deployments and more.
{NAMING}

examples: edgewright get devices -l site=berlin --where state=failed
          edgewright get deployments -o wide
          edgewright get device/line-4 -o yaml > line-4.yaml

-o yaml prints documents that 'edgewright apply -f' takes back.
'edgewright get kinds' lists the kinds."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright get`."""
    add_names(parser)
    add_filters(parser)
    add_output(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="go on and show every change")
    parser.add_argument("--no-headers", action="store_true", help="leave out the line of column names")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options `-o` and `--context`."""
    told = "table (default), wide, json, yaml or name"
    parser.add_argument("-o", "--output", choices=OUTPUTS, default="table", metavar="FORMAT", help=told)
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.errors import UsageError
    from edgewright.cli.operator import connect

    if args.kind == "kinds":
        return _kinds()
    wanted = asked(args)
    if args.watch:
        from edgewright.cli.watch import follow

        if args.output in {"json", "yaml"}:
            raise UsageError("--watch shows lines: with -o table, wide or name")
        return follow(connect(args), wanted, args.output, timeout=None, until_settled=False)
    show(connect(args), wanted, args.output, headers=not args.no_headers)
    return 0


def show(operator: Operator, wanted: list[Asked], output: str, *, headers: bool = True) -> None:
    """Print what is asked for in the form that is asked for."""
    from edgewright.cli.resources.documents import render
    from edgewright.cli.resources.tables import columns_of, print_entries, rows_of

    found = [(one, one.entries(operator)) for one in wanted]
    if output == "name":
        for one, entries in found:
            for entry in entries:
                print(f"{one.kind.name}/{one.kind.key(entry)}")
        return
    if output in {"json", "yaml"}:
        documents = [
            one.kind.document(
                one.kind.find(operator, one.kind.key(entry)) if one.kind.is_short and not one.names else entry
            )
            for one, entries in found
            for entry in entries
        ]
        is_single = len(wanted) == 1 and len(wanted[0].names) == 1
        sys.stdout.write(render(documents, output, is_list=not is_single))
        return
    now = datetime.now(UTC)
    is_wide = output == "wide"
    for number, (one, entries) in enumerate(found):
        if number:
            print()
        if headers or not entries:
            print_entries(one.kind, entries, now, is_wide=is_wide)
            continue
        from edgewright.cli.output import plain_table

        columns = columns_of(one.kind, is_wide=is_wide)
        table = plain_table(
            [column.head for column in columns], rows_of(columns, entries, now, is_wide=is_wide)
        )
        print("\n".join(table.splitlines()[1:]))


def _kinds() -> int:
    from edgewright.cli.output import print_table
    from edgewright.cli.resources.registry import KINDS, kind_called

    rows = [
        (plural, ", ".join(short), title, "yes" if kind_called(name).declared else "no")
        for name, (plural, short, title) in KINDS.items()
    ]
    print_table(["kind", "short", "in documents", "can be applied"], rows, empty="")
    return 0
