"""`edgewright agent enroll --git`, `edgewright agent transport`: the desired state from a Git repository."""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from edgewright.agent.paths import DEFAULT_STATE, Paths
from edgewright.cli.agent_requests import add_state, typed
from edgewright.cli.arguments import command
from edgewright.cli.errors import OutcomeError, UsageError

if TYPE_CHECKING:
    from edgewright.agent.git.enrolling import Found, Wish

    Group = argparse._SubParsersAction[argparse.ArgumentParser]

_NEW_REPOSITORY_SECONDS = 20.0
_NOT_YET = ("git.not-found", "git.denied", "git.no-repository")
_OPTIONS = (
    ("--git", "URL", "https://host/path, user@host:path or ssh://…, file:///path; 'none:' for bundles alone"),
    ("--signers", "FILE", 'whose commits are believed: lines NAME namespaces="git" ssh-ed25519 AAAA…'),
    ("--username", "NAME", "with --password-file: let in by Basic authentication"),
    ("--password-file", "FILE", "the password, alone on its line"),
    ("--token-file", "FILE", "let in by a Bearer token, alone on its line"),
    ("--certificate", "FILE", "with --key: let in by a TLS client certificate (PEM)"),
    ("--ssh-key", "FILE", "let in by this private key of ssh, without a passphrase"),
    ("--known-hosts", "FILE", "the ssh server's host key, as in known_hosts(5)"),
    ("--proxy", "URL", "http://[user@]host:port between here and an https server"),
    ("--proxy-password-file", "FILE", "the password of the proxy's user"),
    ("--minutes", "N", "how long one fetch or push may take (default: 30)"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that tell of a repository; `--key` and `--ca` the caller adds."""
    group = parser.add_argument_group("a Git repository; credentials come as files, which are copied")
    for option, value, told in _OPTIONS:
        group.add_argument(option, metavar=value, help=told)
    group.add_argument("--offline", action="store_true", help="do not try whether the repository answers")


def given(args: argparse.Namespace) -> list[str]:
    """Return which of the options of `add_options` were given."""
    found = [name for name, _, _ in _OPTIONS if getattr(args, _attribute(name)) is not None]
    return found + (["--offline"] if args.offline else [])


def enroll(args: argparse.Namespace) -> int:
    """Enrol with a repository alone."""
    from edgewright.agent.git import enrolling

    if args.git is None:
        raise UsageError(f"{', '.join(given(args))}: only together with --git URL, or in 'agent transport'")
    if args.client is None and args.name is None:
        raise UsageError("--git: give --name as well, which is what this device is called")
    others = {
        "TOKEN": args.token,
        "--svid": args.svid,
        "--trust-bundle": args.trust_bundle,
        "--server": args.server,
        "--pin": args.pin,
        "--device-id": args.device_id,
    }
    found = [name for name, value in others.items() if value is not None]
    if found:
        raise UsageError(
            f"{', '.join(found)}: not together with --git; to have both, enroll with the fleet manager "
            "first and then say 'edgewright agent transport git'"
        )
    paths = Paths(args.state)
    name = args.name or args.client.rpartition("/")[2]
    found_there = enrolling.enroll(
        paths,
        _wish(args, args.git),
        device_id=name,
        client=args.client,
        replace=args.replace,
        offline=args.offline,
    )
    print(f"enrolled as {name}")
    _tell_repository(args.git, found_there)
    if args.git == "none:":
        print(f"next: {typed('bundle import FILE', args)}")
    print("next: edgewright agent run" + (f" --state {args.state}" if args.state != DEFAULT_STATE else ""))
    return 0


def configure(group: Group) -> None:
    """Add the command `transport` to `group`."""
    transport = command(
        group,
        "transport",
        _transport,
        summary="show or change whether this device talks by its fleet manager's API or by Git",
        more="Nothing is installed, restarted or removed by a change, and nothing accepted is\n"
        "forgotten. 'transport git' asks the fleet manager where the repository is and\n"
        "whose commits to believe, or takes what --git and --signers say. What is not said\n"
        "stays: to replace a password alone, give --username and --password-file.\n"
        "The repository is tried first; if that fails nothing is changed.",
    )
    transport.add_argument(
        "transport", nargs="?", choices=("api", "git"), help="the one to change to; shows which it is without"
    )
    add_options(transport)
    transport.add_argument("--key", metavar="FILE", help="the certificate's private key (PEM, not encrypted)")
    transport.add_argument("--ca", metavar="FILE", help="authority (PEM) of the repository's server")
    add_state(transport)


def _transport(args: argparse.Namespace) -> int:
    said = given(args) + [f"--{name}" for name in ("key", "ca") if getattr(args, name) is not None]
    if args.transport != "git" and said:
        raise UsageError(f"{', '.join(said)}: only together with 'transport git'")
    if args.transport is None:
        return _show(args)
    return to_git(args, said) if args.transport == "git" else _to_api(args)


def _show(args: argparse.Namespace) -> int:
    from edgewright.agent.git.access import GitAccess
    from edgewright.agent.talk.session import Identity
    from edgewright.cli.agent_requests import print_folded

    identity = Identity(Paths(args.state).identity)
    access = GitAccess.load(identity.directory)
    lines = [("transport", identity.transport), ("device id", identity.device_id)]
    lines.append(("fleet manager", identity.url))
    if access is not None:
        lines += [
            ("repository", str(access.url)),
            ("let in by", f"{access.kind}{f', as {access.username}' if access.username else ''}"),
            ("proxy", access.proxy),
        ]
    print_folded(lines)
    return 0


def _to_api(args: argparse.Namespace) -> int:
    from edgewright.agent.git.enrolling import move
    from edgewright.agent.talk.session import Identity

    paths = Paths(args.state)
    move(paths, "api")
    print(f"from now on by the API of {Identity(paths.identity).url}")
    _wake(paths)
    return 0


def to_git(args: argparse.Namespace, said: list[str]) -> int:
    """Move to Git, with the repository that the options, the fleet manager or the last time tell of."""
    from dataclasses import replace

    from edgewright.agent.git.access import GitAccess
    from edgewright.agent.git.enrolling import ask_where, move
    from edgewright.agent.talk.session import Identity

    paths = Paths(args.state)
    identity = Identity(paths.identity)
    access = GitAccess.load(identity.directory)
    if args.git is not None:
        wish = _wish(args, args.git)
    elif identity.server is not None and (
        access is None or not [each for each in said if each != "--offline"]
    ):
        told = ask_where(paths)
        typed_in = _wish(args, told.url)
        wish = replace(
            typed_in,
            signers=typed_in.signers or told.signers,
            authority=typed_in.authority or told.authority,
        )
    elif access is not None:
        wish = _wish(args, access.url.text)
    else:
        raise UsageError("this device knows no repository; give --git URL and --signers FILE")
    found = move(paths, "git", wish, offline=args.offline)
    print("from now on by Git")
    _tell_repository(wish.url, found)
    _wake(paths)
    return 0


def _tell_repository(url: str, found: Found | None) -> None:
    print(f"repository {url}")
    if found is None:
        print("it was not tried whether it answers")
    elif found.desired is None:
        print("it answers; nothing is desired of this device yet (there is no branch 'desired')")
    else:
        print(f"it answers; branch 'desired' is at {found.desired[:12]}")


def _wake(paths: Paths) -> None:
    """Let a running watch look now, which finds another transport then."""
    from edgewright.agent.state.locks import holder

    process = holder(paths.watch_lock)
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGHUP)


def _wish(args: argparse.Namespace, url: str) -> Wish:
    from edgewright.agent.git.enrolling import Wish

    return Wish(
        url=url,
        signers=args.signers,
        username=args.username,
        password=args.password_file,
        token=args.token_file,
        certificate=args.certificate,
        key=args.key,
        ssh_key=args.ssh_key,
        known_hosts=args.known_hosts,
        authority=args.ca,
        proxy=args.proxy,
        proxy_password=args.proxy_password_file,
        minutes=_minutes(args.minutes),
    )


def _minutes(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 1 <= minutes <= 24 * 60:
        raise UsageError(f"--minutes {text!r}: expected a number from 1 to 1440")
    return minutes


def _attribute(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def after_enrolling(args: argparse.Namespace) -> None:
    """Move a device that has just been enrolled to Git, as its token said; raises OutcomeError where not."""
    from edgewright.protocol.errors import EdgewrightError

    deadline = time.monotonic() + _NEW_REPOSITORY_SECONDS
    while True:
        try:
            to_git(args, [])
        except EdgewrightError as error:
            # The repository has just been ordered: it is made while we ask.
            if time.monotonic() < deadline and (error.retryable or error.code in _NOT_YET):
                time.sleep(1.0)
                continue
            raise OutcomeError(
                f"enrolled, but not yet moved to Git: {error}\n  try again: {typed('transport git', args)}"
            ) from error
        return
