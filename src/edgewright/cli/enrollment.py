"""`edgewright enrollment`: invitations, each a token that makes one device known and trusted."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgewright.cli.arguments import command, commands, duration, run_command
from edgewright.cli.errors import UsageError
from edgewright.cli.operator import add_operator_options, connect, pages, read
from edgewright.cli.output import ago, moment, print_table, print_value

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

# Of a fingerprint, on the command line: 32 bits tell the devices of one queue apart.
_FEWEST_DIGITS = 8
HELP = """\
Invite devices. An invitation is a token that works once: on the device,
'edgewright agent enroll TOKEN' makes a key, proves the fleet manager's identity
by what the token says of it, and gets a certificate.

Or let devices ask: 'edgewright agent enroll --server URL --name NAME --pin PIN'
shows a fingerprint and waits. Compare it with what 'requests' lists; then approve."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands for invitations, and for devices that ask."""
    group = commands(parser)
    create = command(group, "create", _create, summary="make a token for one device")
    create.add_argument(
        "name", metavar="NAME", help="what the device will be called here, for example line-4"
    )
    valid = "how long the token works (default: 24h)"
    create.add_argument("--valid", type=duration, default=86400.0, metavar="TIME", help=valid)
    create.add_argument(
        "--git", action="store_true", help="the device gets a repository here, and talks by Git"
    )
    add_operator_options(create)
    add_operator_options(command(group, "list", _list, summary="list invitations and what became of them"))

    asked = command(group, "requests", _requests, summary="list devices that ask to be let in")
    asked.add_argument("--all", action="store_true", help="also those that were decided in the last days")
    add_operator_options(asked)
    which = "the fingerprint that the device shows; its first 8 digits will do"
    approve = command(
        group,
        "approve",
        _approve,
        summary="let in a device that asks",
        more="Type the fingerprint from the device, not from the list: that is the comparison.",
    )
    approve.add_argument("fingerprint", nargs="+", metavar="FINGERPRINT", help=which)
    approve.add_argument("--as", dest="name", metavar="NAME", help="call it so (default: what it wishes)")
    taken = "give it the name even if that is taken: who has it is locked out"
    approve.add_argument("--replace", action="store_true", help=taken)
    add_operator_options(approve)
    reject = command(group, "reject", _reject, summary="turn down a device that asks")
    reject.add_argument("fingerprint", nargs="+", metavar="FINGERPRINT", help=which)
    reject.add_argument("--reason", default="", metavar="TEXT", help="what the device is told")
    add_operator_options(reject)


run = run_command


def _create(args: argparse.Namespace) -> int:
    from edgewright.cli.views import EnrollmentView

    wanted = {"name": args.name, "valid_minutes": max(1, round(args.valid / 60))}
    if args.git:
        wanted["transport"] = "git"
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


def _requests(args: argparse.Namespace) -> int:
    from edgewright.cli.views import RequestView

    answer = pages(connect(args), "/enrollments/requests" + ("" if args.all else "?state=waiting"))
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    now = datetime.now(UTC)
    rows = [
        (one.fingerprint, one.name, one.hostname, one.address, ago(one.asked, now), one.told)
        for one in read(answer, list[RequestView])
    ]
    columns = ["fingerprint", "wishes", "host name", "from", "asked", "state"]
    print_table(columns, rows, empty="No device asks to be let in.")
    return 0


def _approve(args: argparse.Namespace) -> int:
    from edgewright.cli.views import RequestView

    operator = connect(args)
    wanted = {"replace": args.replace} | ({} if args.name is None else {"name": args.name})
    answer = operator.post(f"{_path(operator, args.fingerprint)}/approve", wanted)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    one = read(answer, RequestView)
    print(f"{one.client_id} is let in ({one.fingerprint}): it gets its certificate when it asks again")
    return 0


def _reject(args: argparse.Namespace) -> int:
    from edgewright.cli.views import RequestView

    operator = connect(args)
    answer = operator.post(f"{_path(operator, args.fingerprint)}/reject", {"reason": args.reason})
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    one = read(answer, RequestView)
    print(f"{one.name} is turned down ({one.fingerprint}), and told so when it asks again")
    return 0


def _path(operator: Operator, words: list[str]) -> str:
    """Return the path of the request whose fingerprint begins so; raises UsageError."""
    from edgewright.cli.views import RequestView

    text = "".join(words)
    digits = "".join(each for each in text.lower() if each not in " -:")
    if len(digits) < _FEWEST_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise UsageError(
            f"{' '.join(words)!r}: expected a fingerprint as the device shows it, "
            f"at least {_FEWEST_DIGITS} of its digits"
        )
    known = read(pages(operator, "/enrollments/requests"), list[RequestView])
    found = [one.id for one in known if one.id.startswith(digits)]
    if len(found) != 1:
        told = "no device with this fingerprint asks to be let in" if not found else "it fits several"
        raise UsageError(f"{' '.join(words)!r}: {told}; 'edgewright enrollment requests' lists them")
    return f"/enrollments/requests/{found[0]}"
