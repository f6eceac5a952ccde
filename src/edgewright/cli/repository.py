"""`edgewright repository`: Git repositories of devices, hosted here or on other Git servers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.cli import repository_check, repository_external
from edgewright.cli.arguments import command, commands, run_command
from edgewright.cli.errors import UsageError
from edgewright.cli.operator import add_operator_options, connect, read
from edgewright.cli.output import print_value

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

HELP = """\
Git repositories through which devices get what they are to have and tell what they
have. 'edgewright get repositories' lists them, 'edgewright describe repository
DEVICE' tells all of one.

A device that enrolled here opens its repository with its certificate; others are
given a password or a token."""

_SIGNERS = "/repositories/signers"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about repositories."""
    group = commands(parser)
    create = _for_device(group, "create", _create, "host a repository for a device")
    create.epilog = "On the device: 'edgewright agent transport git' has it used."
    _for_device(
        group, "delete", _delete, "keep no repository for a device any more, and delete what is in it"
    )
    credentials = _for_device(group, "credentials", _credentials, "make a password or a token, shown once")
    how = credentials.add_mutually_exclusive_group()
    how.add_argument("--token", action="store_true", help="a bearer token (default: user name and password)")
    how.add_argument("--withdraw", choices=("basic", "token"), help="have none of this kind open it any more")
    bundle = _for_device(group, "bundle", _bundle, "write what a device is to have into a git bundle")
    bundle.add_argument("file", metavar="FILE", help="where to; '-' is stdout")
    bundle.add_argument("--since", metavar="COMMIT", help="leave out what a device with this commit has")
    take = _for_device(group, "read", _read, "read the git bundle in which a device reports")
    take.add_argument("file", metavar="FILE", help="what 'agent bundle export' wrote; '-' is stdin")
    take.add_argument(
        "--replace", action="store_true", help="also where it does not build on what was read before"
    )
    signers = command(
        group,
        "signers",
        _signers,
        summary="print who signs: the file that 'agent enroll --signers' takes",
    )
    add_operator_options(signers)
    rotate = command(
        group,
        "rotate-signer",
        _rotate,
        summary="replace the key that signs (administrators)",
        more="Each repository gets a commit of the old key by which its device trusts the new one. Files\n"
        "with the old key that were handed out and not used yet are worthless.",
    )
    add_operator_options(rotate)
    repository_external.configure(group)
    repository_check.configure(group)


run = run_command


def _for_device(group: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = command(group, name, function, summary=summary)
    parser.add_argument("device", metavar="DEVICE", help="the device's name, or how it begins")
    add_operator_options(parser)
    return parser


def _place(operator: Operator, args: argparse.Namespace) -> tuple[str, str]:
    """Return the device's name and the path of its repository."""
    from edgewright.cli.devices import find_device
    from edgewright.cli.operator_client import segment

    device = find_device(operator, args.device)
    return device, f"/devices/{segment(device)}/repository"


def _create(args: argparse.Namespace) -> int:
    operator = connect(args)
    device, path = _place(operator, args)
    answer = operator.put(path, {"kind": "hosted"})
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    made = read(answer, dict[str, Any])
    print(f"{device} has the repository {made['url']}")
    print(f"On the device: edgewright agent transport git\n{made['problem'] or ''}".rstrip())
    return 0


def _delete(args: argparse.Namespace) -> int:
    operator = connect(args)
    device, path = _place(operator, args)
    operator.delete(path)
    print(f"{device} has no repository any more")
    return 0


def _credentials(args: argparse.Namespace) -> int:
    operator = connect(args)
    device, path = _place(operator, args)
    if args.withdraw:
        operator.delete(f"{path}/credentials/{args.withdraw}")
        print(f"nothing of the kind '{args.withdraw}' opens the repository of {device} any more")
        return 0
    answer = operator.post(f"{path}/credentials", {"way": "token" if args.token else "basic"})
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    made = read(answer, dict[str, Any])
    # Alone on stdout, so that a script can take it; what it is for goes beside.
    print(made["secret"], flush=True)
    whose = f"user name {made['username']}, this password" if made["username"] else "this token"
    print(f"\nIt is shown this once: {whose}, for {made['url']}", file=sys.stderr)
    return 0


def _bundle(args: argparse.Namespace) -> int:
    operator = connect(args)
    device, path = _place(operator, args)
    content = operator.download(f"{path}/bundle" + (f"?since={_commit(args.since)}" if args.since else ""))
    if args.file == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return 0
    _write(Path(args.file), content)
    print(f"{args.file}: what {device} is to have. On it: edgewright agent bundle import {args.file}")
    return 0


def _read(args: argparse.Namespace) -> int:
    from edgewright.cli.context import read_file
    from edgewright.cli.resources.repositories import state

    content = sys.stdin.buffer.read() if args.file == "-" else read_file(Path(args.file))
    operator = connect(args)
    device, path = _place(operator, args)
    query = "?replace=true" if args.replace else ""
    answer = operator.upload(f"{path}/current{query}", content, media_type="application/x-git-bundle")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    taken = read(answer, dict[str, Any])
    told = "read" if taken["is_new"] else "nothing new in it"
    print(f"{device}: {told}; {state(taken['repository'])}")
    for one in taken["repository"]["unread"]:
        print(f"  {one['path']}: {one['message']}")
    return 0


def _signers(args: argparse.Namespace) -> int:
    answer = connect(args).get(_SIGNERS)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    sys.stdout.write(str(read(answer, dict[str, Any])["signers"]))
    return 0


def _rotate(args: argparse.Namespace) -> int:
    answer = connect(args).post(f"{_SIGNERS}/rotate", None)
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    made = read(answer, dict[str, Any])
    count = made["repositories"]
    told = "1 repository is told of it" if count == 1 else f"{count} repositories are told of it"
    print(f"{made['fingerprint']} signs from now on; {told}")
    return 0


def _commit(text: str) -> str:
    if len(text) != 40 or any(letter not in "0123456789abcdef" for letter in text):
        raise UsageError(f"--since {text}: expected a commit in 40 lower-case hex digits")
    return text


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
