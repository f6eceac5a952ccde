"""`edgewright token`: tokens with which programs ask the fleet manager."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from edgewright.cli.arguments import command, commands, duration, run_command
from edgewright.cli.operator import add_operator_options, connect, read
from edgewright.cli.output import moment, print_value

HELP = """\
Tokens for programs. 'edgewright get tokens' lists them, 'edgewright delete token N'
revokes one."""

CREATE = """
The token is printed alone on stdout, this once; it may do what you may, or less.

examples: edgewright token create backup --scope read --valid 720h
          edgewright token create pipeline --role operator --scope packages"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about tokens."""
    group = commands(parser)
    create = command(group, "create", _create, summary="make a token", more=CREATE)
    create.add_argument("name", metavar="NAME", help="what it is for")
    create.add_argument(
        "--role", choices=("viewer", "operator", "admin"), metavar="ROLE", help="viewer, operator or admin"
    )
    scope = "only this: read, or an area such as packages (repeatable)"
    create.add_argument("--scope", action="append", default=[], metavar="SCOPE", help=scope)
    create.add_argument(
        "--valid", type=duration, metavar="TIME", help="how long it works (default: for ever)"
    )
    add_operator_options(create)


run = run_command


def _create(args: argparse.Namespace) -> int:
    expires = None if args.valid is None else datetime.now(UTC) + timedelta(seconds=args.valid)
    wanted: dict[str, Any] = {
        "name": args.name,
        "role": args.role,
        "scopes": args.scope,
        "expires": None if expires is None else expires.isoformat(),
    }
    answer = connect(args).post("/tokens", wanted)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    made: dict[str, Any] = read(answer, dict)
    print(made["token"], flush=True)
    until = made["about"].get("expires")
    told = f"until {moment(until)}" if until else "until it is revoked"
    print(f"\nIt is shown this once, and works {told}.", file=sys.stderr)
    return 0
