"""`edgewright enrollment`: invitations, each a token that makes one device known and trusted."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from edgewright.cli.arguments import command, commands, duration, run_command
from edgewright.cli.operator import add_operator_options, connect, pages, read
from edgewright.cli.output import ago, moment, print_table, print_value

HELP = """\
Invite devices. An invitation is a token that works once: on the device,
'edgewright agent enroll TOKEN' makes a key, proves the fleet manager's identity
by what the token says of it, and gets a certificate."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `enrollment create` and `enrollment list`."""
    group = commands(parser)
    create = command(group, "create", _create, summary="make a token for one device")
    create.add_argument(
        "name", metavar="NAME", help="what the device will be called here, for example line-4"
    )
    valid = "how long the token works (default: 24h)"
    create.add_argument("--valid", type=duration, default=86400.0, metavar="TIME", help=valid)
    add_operator_options(create)
    add_operator_options(command(group, "list", _list, summary="list invitations and what became of them"))


run = run_command


def _create(args: argparse.Namespace) -> int:
    from edgewright.cli.views import EnrollmentView

    wanted = {"name": args.name, "valid_minutes": max(1, round(args.valid / 60))}
    answer = connect(args).post("/enrollments", wanted)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    made = read(answer, EnrollmentView)
    # Alone on stdout, so that a script can take it; what to do with it goes beside.
    print(made.token, flush=True)
    told = f"It works once, until {moment(made.expires)}. On the device: edgewright agent enroll TOKEN"
    print(f"\n{told}", file=sys.stderr)
    return 0


def _list(args: argparse.Namespace) -> int:
    from edgewright.cli.views import EnrollmentView

    answer = pages(connect(args), "/enrollments")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    now = datetime.now(UTC)
    rows = [
        (one.name, one.state, ago(one.created, now), ago(one.used, now))
        for one in read(answer, list[EnrollmentView])
    ]
    empty = "No invitations yet; 'edgewright enrollment create NAME' makes one."
    print_table(["name", "state", "created", "used"], rows, empty=empty)
    return 0
