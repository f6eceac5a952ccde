"""`edgewright repository external|status|look|webhook|restore`: repositories on other Git servers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.cli.arguments import command
from edgewright.cli.errors import UsageError
from edgewright.cli.operator import add_operator_options, connect
from edgewright.cli.output import print_value

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

_EXTERNAL = """\
The fleet manager tries the access before it stores anything. Credentials are read
from files, kept by the fleet manager alone, and never shown again. Of a repository
that is there already, only what is given is changed."""
_RESTORE = """\
Without --replace both histories are joined by a commit with the fleet manager's
content, which every Git server takes. With it the fleet manager's history is put in
the place of the other, by force."""


def configure(group: Any) -> None:
    """Declare the commands about repositories on other Git servers."""
    external = command(
        group, "external", _external, summary="keep a repository on another Git server", more=_EXTERNAL
    )
    external.add_argument("device", metavar="DEVICE")
    external.add_argument("--url", metavar="URL", help="https://… or ssh://… of the repository")
    external.add_argument("--username", metavar="NAME", help="with --password-file")
    for name, told in _FILES.items():
        external.add_argument(f"--{name}", type=Path, metavar="FILE", help=told)
    external.add_argument("--no-credentials", action="store_true", help="nobody has to be known there")
    external.add_argument("--ca", type=Path, metavar="FILE", help="whose certificate the server has (PEM)")
    external.add_argument("--proxy", metavar="URL", help="http://host:port; with a password: --proxy-file")
    external.add_argument("--proxy-file", type=Path, metavar="FILE", help="a file with the proxy's URL in it")
    external.add_argument("--minutes", type=int, metavar="N", help="how often to ask for news (default: 5)")
    add_operator_options(external)
    for name, action, summary in (
        ("status", _status, "tell how a repository on another Git server stands"),
        ("look", _look, "ask the Git server for news now"),
        ("webhook", _webhook, "make a secret with which the Git server tells of news"),
    ):
        one = command(group, name, action, summary=summary)
        one.add_argument("device", metavar="DEVICE")
        add_operator_options(one)
    restore = command(
        group, "restore", _restore, summary="go on after somebody rewrote the branch desired", more=_RESTORE
    )
    restore.add_argument("device", metavar="DEVICE")
    restore.add_argument("--replace", action="store_true", help="put our history in place of the other")
    add_operator_options(restore)


_FILES = {
    "password-file": "a file with the password, with --username",
    "token-file": "a file with a token (Bearer)",
    "certificate": "a client certificate (PEM), with --key",
    "key": "its private key (PEM)",
    "ssh-key": "a private key for ssh, with --known-hosts",
    "known-hosts": "lines of ssh that say which host key is the server's",
}


def _external(args: argparse.Namespace) -> int:
    operator = connect(args)
    path = _path(args.device)
    before: dict[str, Any] = {}
    if args.url is None or _credentials(args) is None:
        before = _object(operator.get(path))
    credentials = _credentials(args)
    value: dict[str, Any] = {
        "url": before["url"] if args.url is None else args.url,
        "ca": before.get("ca") if args.ca is None else _read(args.ca),
        "proxy": before.get("proxy") if _proxy(args) is None else _proxy(args),
        "minutes": before.get("minutes", 5) if args.minutes is None else args.minutes,
    }
    if credentials is not None:
        value["credentials"] = credentials
    return _show(args, operator.put(path, value))


def _status(args: argparse.Namespace) -> int:
    return _show(args, connect(args).get(_path(args.device)))


def _look(args: argparse.Namespace) -> int:
    return _show(args, connect(args).post(f"{_path(args.device)}/look", None))


def _restore(args: argparse.Namespace) -> int:
    return _show(args, connect(args).post(f"{_path(args.device)}/restore", {"replace": args.replace}))


def _webhook(args: argparse.Namespace) -> int:
    operator: Operator = connect(args)
    made = _object(operator.post(f"{_path(args.device)}/webhook", None))
    if args.output != "table":
        print_value(made, args.output)
        return 0
    print(f"address  {made['url']}")
    print(f"secret   {made['secret']}")
    print("The secret is shown this once; the one before counts no more.")
    return 0


def _credentials(args: argparse.Namespace) -> dict[str, str] | None:
    """Return what is given of credentials, None for nothing; raises `UsageError` for two kinds."""
    given = {
        "basic": {"username": args.username, "password": args.password_file},
        "bearer": {"token": args.token_file},
        "certificate": {"certificate": args.certificate, "key": args.key},
        "ssh": {"ssh_key": args.ssh_key, "known_hosts": args.known_hosts},
    }
    kinds = [how for how, members in given.items() if any(members.values())]
    if args.no_credentials:
        kinds.append("none")
    if len(kinds) > 1:
        raise UsageError(f"credentials of one kind are needed, not of {' and '.join(kinds)}")
    if not kinds:
        return None
    how = kinds[0]
    members = given.get(how, {})
    lacking = [name for name, value in members.items() if not value]
    if lacking:
        options = {"username": "--username", "password": "--password-file", "token": "--token-file"}
        option = options.get(lacking[0], f"--{lacking[0].replace('_', '-')}")
        raise UsageError(f"{option} is needed as well")
    shown = {name: _read(value) if isinstance(value, Path) else value for name, value in members.items()}
    for name in ("password", "token"):
        if name in shown:
            shown[name] = shown[name].rstrip("\r\n")
    return {"how": how, **shown}


def _proxy(args: argparse.Namespace) -> str | None:
    proxy: str | None = args.proxy
    return _read(args.proxy_file).strip() if args.proxy_file is not None else proxy


def _read(path: Path) -> str:
    try:
        # Some editors begin a file with a byte order mark, which is part of no secret and no certificate.
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path}: {reason}") from error


def _path(device: str) -> str:
    from edgewright.cli.operator_client import segment

    return f"/devices/{segment(device)}/repository/external"


def _object(answer: object) -> dict[str, Any]:
    assert isinstance(answer, dict)  # noqa: S101 - the API answers so
    return answer


def _show(args: argparse.Namespace, answer: object) -> int:
    """Show a repository; 1 where something keeps it from going on."""
    shown = _object(answer)
    if args.output != "table":
        print_value(shown, args.output)
    else:
        rows = {
            "repository": shown["url"],
            "credentials": shown["credentials"],
            "asked": f"every {shown['minutes']} min{', and by webhook' if shown['has_webhook'] else ''}",
            "desired": shown["desired_commit"] or "nothing was pushed yet",
            "current": shown["current_commit"] or "nothing was read yet",
            "refused": shown["refused"] or "-",
            "problem": shown["problem"] or "-",
        }
        for name, text in rows.items():
            print(f"{name:<12} {text}")
    return 1 if shown["problem"] else 0
