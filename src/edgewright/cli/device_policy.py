"""`edgewright device policy`: what is suggested to devices, and what is in force on their sites."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli.arguments import command, commands
from edgewright.cli.errors import UsageError
from edgewright.cli.operator import add_operator_options, connect, read
from edgewright.cli.output import moment, print_value

if TYPE_CHECKING:
    from edgewright.cli.views import DeviceDetailView, SuggestedPolicyView

_EVERYBODY = "/policy"


def configure(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `policy` and its commands to the commands about devices."""
    parser = group.add_parser(
        "policy",
        help="suggest when devices talk and change; their sites' own files outrank it",
        description="A suggested policy holds where a site's own policy.yaml says nothing else.",
    )
    inner = commands(parser)
    show = command(
        inner,
        "show",
        _show,
        summary="show the policy in force on a device's site, and what is suggested",
        more="Each line says who said it: local (the site's own file), suggested, or default.",
    )
    suggest = command(
        inner,
        "suggest",
        _suggest,
        summary="suggest a policy to a device, or to all of them",
        more="A device's own suggestion takes the place of the one for all; they are not mixed.\n"
        "'edgewright agent policy check FILE' says beforehand what a policy means.",
    )
    withdraw = command(inner, "withdraw", _withdraw, summary="suggest nothing any more")
    for one in (show, suggest, withdraw):
        one.add_argument("device", nargs="?", metavar="DEVICE", help="the device's name, or how it begins")
        one.add_argument("--all", action="store_true", help="all devices without a suggestion of their own")
        add_operator_options(one)
    suggest.add_argument("file", metavar="FILE", help="the policy; '-' reads stdin")


def _show(args: argparse.Namespace) -> int:
    from edgewright.cli.devices import find_device
    from edgewright.cli.operator_client import segment
    from edgewright.cli.views import DeviceDetailView, SuggestedPolicyView

    _check_whom(args)
    operator = connect(args)
    path = _EVERYBODY if args.all else f"/devices/{segment(find_device(operator, args.device))}"
    answer = operator.get(path)
    if args.output != "table":
        print_value(answer if args.all else _policies(answer), args.output)
    elif args.all:
        _print_suggestion(read(answer, SuggestedPolicyView))
    else:
        _print_policies(read(answer, DeviceDetailView))
    return 0


def _policies(device: object) -> dict[str, object]:
    """Return what a device's answer says of policies."""
    assert isinstance(device, dict)  # noqa: S101 - as the server's interface promises
    return {name: device.get(name) for name in ("client_id", "suggested_policy", "site")}


def _print_policies(device: DeviceDetailView) -> None:
    from edgewright.cli.device_site import print_policy

    if device.site is None:
        print(f"{device.client_id} has not told what is in force there.")
    else:
        print_policy(device.site)
    print()
    if device.suggested_policy is None:
        print("Nothing is suggested to it.")
    else:
        _print_suggestion(device.suggested_policy)


def _suggest(args: argparse.Namespace) -> int:
    from edgewright.cli.views import SuggestedPolicyView
    from edgewright.protocol.media_types import YAML
    from edgewright.protocol.policy import parse_layer

    _check_whom(args)
    content = sys.stdin.buffer.read() if args.file == "-" else _bytes(Path(args.file))
    parse_layer(content, source="stdin" if args.file == "-" else args.file)
    path, name = _target(args)
    answer = connect(args).put_file(path, content, YAML)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    print(
        f"suggested to {name} (tag {read(answer, SuggestedPolicyView).tag}); it is taken up at the next poll"
    )
    return 0


def _withdraw(args: argparse.Namespace) -> int:
    _check_whom(args)
    path, name = _target(args)
    answer = connect(args).delete(path)
    if args.output == "table":
        print(f"nothing of its own is suggested to {name} any more")
    else:
        print_value(answer, args.output)
    return 0


def _check_whom(args: argparse.Namespace) -> None:
    if (args.device is None) != args.all:
        raise UsageError("name a device, or say --all")


def _target(args: argparse.Namespace) -> tuple[str, str]:
    """Return the path of the suggestion that is meant, and for whom it is in words."""
    from edgewright.cli.devices import find_device
    from edgewright.cli.operator_client import segment

    if args.all:
        return _EVERYBODY, "all devices"
    device = find_device(connect(args), args.device)
    return f"/devices/{segment(device)}/policy", device


def _print_suggestion(suggestion: SuggestedPolicyView) -> None:
    whom = suggestion.device or "all devices without one of their own"
    print(f"# suggested to {whom} by {suggestion.by}, {moment(suggestion.suggested)}, tag {suggestion.tag}")
    print(suggestion.text.rstrip())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
