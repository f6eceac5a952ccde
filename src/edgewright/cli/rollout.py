"""`edgewright rollout`: what people do about a rollout, and the revisions of an assignment."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.arguments import command, commands, duration, run_command
from edgewright.cli.operator import add_operator_options, connect, every, read
from edgewright.cli.output import ago, print_table, print_value

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

HELP = """\
Steer a rollout: the way of a changed assignment to its devices. ROLLOUT is its id,
how that begins, or the name of its assignment for the newest one of that.

'edgewright get rollouts' lists them, 'edgewright describe rollout' tells all."""

_VERBS = {
    "pause": ("begin with no further device until somebody resumes", "paused"),
    "resume": ("go on with one that is paused or stopped", "resumed"),
    "proceed": ("go on to all devices, without batches and pauses", "goes on to all devices"),
    "cancel": ("end it for good; devices that have it keep it", "cancelled"),
}
_FOR_DEVICES = {
    "skip": ("leave devices out: neither give it to them nor wait for them", "+", "skipped"),
    "retry": ("try failed devices again (default: all of them)", "*", "to be tried again"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about rollouts."""
    group = commands(parser)
    status = command(group, "status", _status, summary="follow a rollout until it is over, or stands still")
    status.add_argument("rollout", metavar="ROLLOUT")
    status.add_argument("--timeout", type=duration, metavar="TIME", help="give up after this long, like 5m")
    status.add_argument("--context", metavar="FILE", help="which fleet manager")
    for verb, (summary, _) in _VERBS.items():
        _declare(command(group, verb, _act, summary=summary), verb)
    for verb, (summary, nargs, _) in _FOR_DEVICES.items():
        one = command(group, verb, _act, summary=summary)
        _declare(one, verb)
        one.add_argument("devices", metavar="DEVICE", nargs=nargs)
    history = command(group, "history", _history, summary="list the revisions of an assignment")
    history.add_argument("assignment", metavar="ASSIGNMENT")
    add_operator_options(history)
    undo = command(
        group,
        "undo",
        _undo,
        summary="have an assignment say what it said before",
        more="It becomes a new revision, and is rolled out as any other.",
    )
    undo.add_argument("assignment", metavar="ASSIGNMENT")
    undo.add_argument(
        "--to", type=int, metavar="N", help="the revision to go back to (default: the last but one)"
    )
    undo.add_argument("--dry-run", action="store_true", help="judge it, and change nothing")
    add_operator_options(undo)


run = run_command


def _declare(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("rollout", metavar="ROLLOUT")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; it is kept with the rollout")
    parser.set_defaults(verb=verb)
    add_operator_options(parser)


def _find(operator: Operator, given: str) -> str:
    """Return the id of the rollout that is meant."""
    from edgewright.cli.resources.registry import kind_called

    return str(kind_called("rollout").find(operator, given)["id"])


def _act(args: argparse.Namespace) -> int:
    from edgewright.cli.operator_client import segment

    operator = connect(args)
    rollout = _find(operator, args.rollout)
    value: dict[str, Any] = {"reason": args.reason}
    devices = getattr(args, "devices", None)
    if devices:
        value["devices"] = devices
    answer = operator.post(f"/rollouts/{segment(rollout)}/{args.verb}", value)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    shown: dict[str, Any] = read(answer, dict)
    done = _VERBS[args.verb][1] if args.verb in _VERBS else _FOR_DEVICES[args.verb][2]
    what = f"rollout/{rollout}" if args.verb in _VERBS else ", ".join(devices or ["failed devices"])
    print(f"{what} {done}: {shown.get('standing') or shown['state']}")
    return 0


def _status(args: argparse.Namespace) -> int:
    from edgewright.cli.resources.asking import Asked
    from edgewright.cli.resources.registry import kind_called
    from edgewright.cli.watch import follow

    operator = connect(args)
    wanted = Asked(kind=kind_called("rollout"), names=(_find(operator, args.rollout),))
    return follow(operator, [wanted], "table", timeout=args.timeout, until_settled=True)


def _history(args: argparse.Namespace) -> int:
    operator = connect(args)
    revisions = _revisions(operator, args.assignment)
    if args.output != "table":
        print_value(revisions, args.output)
        return 0
    now = datetime.now(UTC)
    rows = [
        (str(one["number"]), one["spec"]["version"], ago(one["created"], now), one["by"], one["reason"])
        for one in revisions
    ]
    print_table(["revision", "version", "since", "by", "because"], rows, empty="There are none.")
    return 0


def _undo(args: argparse.Namespace) -> int:
    from edgewright.cli.errors import UsageError
    from edgewright.cli.operator_client import segment
    from edgewright.cli.resources.applying import rehearsed

    operator = connect(args)
    target = args.to
    if target is None:
        revisions = _revisions(operator, args.assignment)
        if len(revisions) < 2:
            raise UsageError(f"{args.assignment} has one revision only; there is nothing to go back to")
        target = revisions[1]["number"]
    path = f"/assignments/{segment(args.assignment)}/revert"
    answer = operator.post(rehearsed(path) if args.dry_run else path, {"revision": target})
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    shown: dict[str, Any] = read(answer, dict)
    told = f"says again what it said in revision {target}, as revision {shown['revision']}"
    print(f"assignment/{args.assignment} {told}{' (dry run)' if args.dry_run else ''}")
    return 0


def _revisions(operator: Operator, assignment: str) -> list[dict[str, Any]]:
    """Return the revisions of an assignment, the newest first."""
    from edgewright.cli.operator_client import segment

    return every(operator, f"/assignments/{segment(assignment)}/revisions", dict[str, Any])
