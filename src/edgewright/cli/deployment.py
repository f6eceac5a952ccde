"""`edgewright deployment`: what shall run on which device, and what does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli.arguments import command, commands, duration, run_command
from edgewright.cli.operator import add_operator_options, connect, every, pages, read
from edgewright.cli.output import print_table, print_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewright.cli.operator_client import Operator
    from edgewright.cli.views import DeploymentView
    from edgewright.protocol.description import ApplicationDescription

HELP = "Deployments: one application on one device, with its parameters."

CREATE = """
example: edgewright deployment create shop@1.4.0 --device line-4 \\
             --set greeting='Good morning' --set port=8080 --wait

Without @VERSION the newest is taken. What can be set: 'edgewright package show
shop'. A list is written a,b,c."""

CHANGE = """
example: edgewright deployment change shop --version 1.5.0 --set port=8081

What is not named stays as it is. The deployment keeps its id and the
application its volumes."""

DELETE = """
The data in its named volumes goes with it; an update ('edgewright deployment
change') keeps them. The device acts when it next asks."""

WATCH = """
Ends when all have settled: exit code 0 when they are as desired, 1 when one
failed or the time ran out. It watches every deployment when none is named."""

WHICH = "its id, how that begins, or an application deployed once"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about deployments."""
    group = commands(parser)
    create = command(group, "create", _create, summary="run an application on a device", more=CREATE)
    create.add_argument("application", metavar="APP[@VERSION]")
    create.add_argument("--device", required=True, metavar="D", help="the device, or how its name begins")
    create.add_argument("--profile", metavar="ID", help="which profile (default: the first that fits)")
    create.add_argument("--name", metavar="N", help="name in the device's documents")
    _add_values(create)
    _add_waiting(create)

    change = command(group, "change", _change, summary="change version or parameters", more=CHANGE)
    change.add_argument("deployment", metavar="DEPLOYMENT", help=WHICH)
    change.add_argument("--version", metavar="V", help="the version to change to")
    unset = "back to the package's default (repeatable)"
    change.add_argument("--unset", action="append", default=[], metavar="NAME", help=unset)
    _add_values(change)
    _add_waiting(change)

    delete = command(group, "delete", _delete, summary="take an application off its device", more=DELETE)
    delete.add_argument("deployment", metavar="DEPLOYMENT", help=WHICH)
    _add_waiting(delete)

    listed = command(group, "list", _list, summary="list deployments and how it stands with them")
    listed.add_argument("--device", metavar="D", help="only those of this device")
    add_operator_options(listed)

    show = command(group, "show", _show, summary="show a deployment: desired beside current")
    show.add_argument("deployment", metavar="DEPLOYMENT", help=WHICH)
    show.add_argument("--history", action="store_true", help="every report the device sent")
    add_operator_options(show)

    watching = command(group, "watch", _watch, summary="watch until it runs, or cannot", more=WATCH)
    watching.add_argument("deployments", metavar="DEPLOYMENT", nargs="*", help=WHICH)
    watching.add_argument("--timeout", type=duration, metavar="TIME", help="give up after this long, like 5m")
    watching.add_argument("--context", metavar="FILE", help="which fleet manager")


run = run_command


def _add_values(parser: argparse.ArgumentParser) -> None:
    told = "a parameter's value (repeatable)"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=told)
    parser.add_argument("--values", type=Path, metavar="FILE", help="parameters as YAML or JSON")


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="watch until it is done; exit code 1 if it failed"
    )
    told = "how long --wait waits (default: 5m)"
    parser.add_argument("--timeout", type=duration, default=300.0, metavar="TIME", help=told)
    add_operator_options(parser)


def _create(args: argparse.Namespace) -> int:
    from edgewright.cli.deployment_values import parameters
    from edgewright.cli.devices import find_device
    from edgewright.cli.versions import find_package

    operator = connect(args)
    application, version = find_package(operator, args.application)
    description = _description(operator, application, version)
    chosen = {"profile": args.profile, "name": args.name}
    wanted = {
        "application": application,
        "version": version,
        "device": find_device(operator, args.device),
        "parameters": parameters(description, file=args.values, settings=args.set),
        **{key: text for key, text in chosen.items() if text is not None},
    }
    return _changed(args, operator, operator.post("/deployments", wanted), "created")


def _change(args: argparse.Namespace) -> int:
    from edgewright.cli.deployment_values import parameters
    from edgewright.cli.errors import UsageError
    from edgewright.cli.operator_client import segment
    from edgewright.cli.versions import find_package
    from edgewright.cli.views import DeploymentView

    if not (args.version or args.set or args.values or args.unset):
        raise UsageError("nothing to change: give --version, --set, --values or --unset")
    operator = connect(args)
    path = f"/deployments/{segment(find_deployment(operator, args.deployment))}"
    present = read(operator.get(path), DeploymentView)
    _, version = find_package(operator, f"{present.application}@{args.version or present.version}")
    description = _description(operator, present.application, version)
    values = parameters(description, file=args.values, settings=args.set, unset=args.unset)
    return _changed(args, operator, operator.put(path, {"version": version, "parameters": values}), "changed")


def _delete(args: argparse.Namespace) -> int:
    from edgewright.cli.deployment_watch import look_at, watch
    from edgewright.cli.operator_client import segment

    operator = connect(args)
    identifier = find_deployment(operator, args.deployment)
    operator.delete(f"/deployments/{segment(identifier)}")
    if args.output != "table":
        if args.wait:
            _wait_silently(operator, identifier, args.timeout)
        print_value({"id": identifier, "state": look_at(operator, identifier).state}, args.output)
        return 0
    print(f"deleted {identifier}; the device takes it off, with its data, when it next asks")
    if args.wait:
        watch(operator, [identifier], timeout=args.timeout)
    return 0


def _changed(args: argparse.Namespace, operator: Operator, answer: object, done: str) -> int:
    """Tell of a deployment that was created or changed, and wait for it if asked to."""
    from edgewright.cli.deployment_watch import watch
    from edgewright.cli.operator_client import segment
    from edgewright.cli.views import DeploymentView

    made = read(answer, DeploymentView)
    if args.output != "table":
        if args.wait:
            _wait_silently(operator, made.id, args.timeout)
            answer = operator.get(f"/deployments/{segment(made.id)}")
        print_value(answer, args.output)
        return 0
    print(f"{done} {made.id}: {made.application} {made.version} on {made.device}")
    if args.wait:
        watch(operator, [made.id], timeout=args.timeout)
    return 0


def _wait_silently(operator: Operator, identifier: str, timeout: float) -> None:
    """Wait without a word, because stdout belongs to a program; raises OutcomeError like `watch`."""
    from edgewright.cli.deployment_watch import judge, look_at, until_settled

    judge(until_settled(lambda: [look_at(operator, identifier)], lambda _seen: None, timeout))


def _list(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from edgewright.cli.deployment_tables import COLUMNS, deployment_rows
    from edgewright.cli.devices import find_device
    from edgewright.cli.operator_client import segment
    from edgewright.cli.views import DeploymentView

    operator = connect(args)
    chosen = f"?device={segment(find_device(operator, args.device))}" if args.device else ""
    answer = pages(operator, f"/deployments{chosen}")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    rows = deployment_rows(read(answer, list[DeploymentView]), datetime.now(UTC))
    empty = "No deployments yet; 'edgewright deployment create APP --device D' makes one."
    print_table(COLUMNS, rows, empty=empty)
    return 0


def _show(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from edgewright.cli.deployment_tables import print_deployment, print_history
    from edgewright.cli.operator_client import segment
    from edgewright.cli.views import DeploymentView, StatusView

    operator = connect(args)
    path = f"/deployments/{segment(find_deployment(operator, args.deployment))}"
    answer = pages(operator, f"{path}/history") if args.history else operator.get(path)
    if args.output != "table":
        print_value(answer, args.output)
    elif args.history:
        print_history(read(answer, list[StatusView]), datetime.now(UTC))
    else:
        print_deployment(read(answer, DeploymentView), datetime.now(UTC))
    return 0


def _watch(args: argparse.Namespace) -> int:
    from edgewright.cli.deployment_watch import watch

    operator = connect(args)
    known = _known(operator)
    chosen = [pick_deployment(given, known) for given in args.deployments] or [one.id for one in known]
    if not chosen:
        print("No deployments yet; 'edgewright deployment create APP --device D' makes one.")
    watch(operator, chosen, timeout=args.timeout)
    return 0


def find_deployment(operator: Operator, given: str) -> str:
    """Return the id of the deployment that `given` names (see `pick_deployment`)."""
    return pick_deployment(given, _known(operator))


def pick_deployment(given: str, known: Sequence[DeploymentView]) -> str:
    """Return the id of the one in `known` that `given` names: an application that is deployed once, or an id.

    An id may be given by its beginning. Raises UsageError when it is none, or several.
    """
    from edgewright.cli.errors import UsageError
    from edgewright.cli.operator_client import choose

    same = [one for one in known if one.application == given and one.deleted is None]
    if len(same) > 1:
        there = "\n  ".join(f"{one.id}  on {one.device}" for one in same)
        raise UsageError(f"'{given}' is deployed {len(same)} times; say which by its id:\n  {there}")
    return same[0].id if same else choose(given, [one.id for one in known], kind="deployment")


def _known(operator: Operator) -> list[DeploymentView]:
    from edgewright.cli.views import DeploymentView

    return every(operator, "/deployments", DeploymentView)


def _description(operator: Operator, application: str, version: str) -> ApplicationDescription:
    """Return the package's description as the fleet manager has it."""
    from edgewright.cli.versions import package_path
    from edgewright.cli.views import PackageView
    from edgewright.protocol.description import ApplicationDescription

    package = read(operator.get(package_path(application, version)), PackageView)
    return ApplicationDescription.from_plain(package.description, source=f"package {application} {version}")
