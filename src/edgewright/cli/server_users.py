"""`edgewright server user`: accounts from the machine itself, for whoever can read the data directory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli.errors import UsageError

if TYPE_CHECKING:
    from edgewright.server.settings import DataDirectory

ROLES = ("viewer", "operator", "admin")

HELP = """Users of the fleet manager's pages, from the machine itself: for the first ones, and for
whoever lost the password. It asks for no password: who can read the data directory may
do anything already. The server may run meanwhile."""


def configure(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to those of `edgewright server`."""
    user = actions.add_parser(
        "user", help="users: list, add, passwd, role, disable, enable", description=HELP
    )
    doing = user.add_subparsers(dest="user_action", metavar="ACTION", required=True)
    _data(doing.add_parser("list", help="who there is, with which role"))
    add = doing.add_parser("add", help="make a user, and print a password for the first sign-in")
    _named(add)
    add.add_argument("--role", choices=ROLES, default="viewer", help="(default: viewer)")
    _stdin(add)
    passwd = doing.add_parser("passwd", help="print a new password for the next sign-in; all sessions end")
    _named(passwd)
    _stdin(passwd)
    role = doing.add_parser("role", help="say what a user may do")
    _named(role)
    role.add_argument("role", choices=ROLES)
    _named(doing.add_parser("disable", help="lock a user out, at once"))
    _named(doing.add_parser("enable", help="let a user in again"))


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action; raises `SetupError` and other errors of the project."""
    from edgewright.server.commands import people
    from edgewright.server.domain.roles import Role
    from edgewright.server.settings import DataDirectory

    directory = DataDirectory(args.data)
    match args.user_action:
        case "list":
            _show(directory)
        case "add":
            made = people.add_user(directory, args.name, Role(args.role), _given(args))
            print(f"made the user {args.name} ({args.role})")
            _tell(made)
        case "passwd":
            made = people.set_password(directory, args.name, _given(args))
            print(f"changed the password of {args.name}; all sessions ended")
            _tell(made)
        case "role":
            user = people.change_user(directory, args.name, role=Role(args.role))
            print(f"{user.name} is {user.role}")
        case action:
            user = people.change_user(directory, args.name, is_disabled=action == "disable")
            print(f"{user.name} is {'locked out' if user.disabled else 'let in'}")
    return 0


def _show(directory: DataDirectory) -> None:
    from edgewright.server.commands import people

    for user in people.list_users(directory):
        notes = [
            "disabled" if user.disabled else "",
            f"from {user.issuer}" if user.issuer else "",
            f"last signed in {user.signed_in:%Y-%m-%d %H:%M} UTC" if user.signed_in else "never signed in",
        ]
        print(f"{user.name:<24} {user.role:<9} {', '.join(filter(None, notes))}")


def _tell(made: str | None) -> None:
    if made is not None:
        print(f"password for the first sign-in, shown this once: {made}")


def _given(args: argparse.Namespace) -> str | None:
    if not args.stdin:
        return None
    line: str = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise UsageError("there is no password on standard input: give it one line, or leave --stdin out")
    return line


def _named(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument("name", metavar="NAME")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the server's data directory")


def _stdin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stdin", action="store_true", help="take the password from standard input instead of making one up"
    )
