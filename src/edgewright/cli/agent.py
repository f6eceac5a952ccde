"""`edgewright agent`: the commands on a device. `run` becomes the watch; the others do one thing and end."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.agent.paths import DEFAULT_CONFIG, DEFAULT_STATE, Paths
from edgewright.cli import agent_approvals, agent_bundle, agent_control, agent_git, agent_policy, agent_status
from edgewright.cli.agent_requests import add_policy, add_state
from edgewright.cli.arguments import command, commands, run_command
from edgewright.cli.errors import OutcomeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewright.agent.enrollment.identity import Material
    from edgewright.agent.settings import Settings
    from edgewright.agent.work.integrity import Finding

HELP = """\
The agent runs on a device. It fetches what shall run here from a fleet manager,
runs it with Docker or Podman, and reports back. It opens no port.

Begin with 'edgewright agent enroll TOKEN', then 'edgewright agent run'."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the agent's commands to `parser`."""
    group = commands(parser)
    enroll = command(
        group,
        "enroll",
        _enroll,
        summary="make this device known to a fleet manager",
        more="With a TOKEN made by 'edgewright enrollment create' (this device makes its own key), or by\n"
        "asking: --server, --name and --ca or --pin. Then a person compares the fingerprint shown here with\n"
        "the one on the enrolment page; the same command goes on where it was after a restart.\n"
        "Or with --svid, --key, --trust-bundle and --server: files made by another authority.\n"
        "Or with --git, --signers and --name: the desired state comes from a Git repository,\n"
        "on any server, and no fleet manager is asked. The device is let in by one of:\n"
        "--username with --password-file, --token-file, --certificate with --key,\n"
        "--ssh-key with --known-hosts.\n"
        "Everything is checked before anything is written.",
    )
    enroll.add_argument(
        "token", nargs="?", metavar="TOKEN", help="the one-time token; '-' reads it from stdin"
    )
    enroll.add_argument("--svid", metavar="FILE", help="certificate (PEM) and its intermediates")
    enroll.add_argument("--key", metavar="FILE", help="private key (PEM, not encrypted)")
    enroll.add_argument("--trust-bundle", metavar="FILE", help="trust anchors: SPIFFE bundle (JSON) or PEM")
    enroll.add_argument(
        "--server",
        metavar="URL",
        help="https address of the fleet manager: of its pages where this device "
        "asks, of its device API where files are given",
    )
    enroll.add_argument("--name", metavar="NAME", help="be called so; without --git, ask to be let in")
    known = enroll.add_mutually_exclusive_group()
    known.add_argument("--ca", metavar="FILE", help="authority (PEM) of the server")
    known.add_argument("--pin", metavar="PIN", help="its key's hash instead, as the enrolment page shows it")
    enroll.add_argument("--no-wait", action="store_true", help="ask once, and do not wait for the decision")
    enroll.add_argument("--json", action="store_true", help="asking: one JSON object a line, for programs")
    enroll.add_argument("--device-id", metavar="ID", help="the id to report (default: the client id)")
    agent_git.add_options(enroll)
    enroll.add_argument(
        "--client",
        metavar="ID",
        help="with --git: the spiffe:// id by which a fleet manager knows this device",
    )
    enroll.add_argument("--replace", action="store_true", help="replace an identity that is there already")
    _add_state(enroll)

    run_parser = command(
        group,
        "run",
        _run,
        summary="look after this device until stopped",
        more="SIGTERM ends it, SIGHUP makes it poll at once. Killing it at any moment loses nothing.",
    )
    _add_state(run_parser)
    add_policy(run_parser)
    run_parser.add_argument(
        "--poll", metavar="TIME", help="how often to poll, such as 60s, whatever the policy says"
    )

    sync_parser = command(
        group,
        "sync",
        _sync,
        summary="poll once, do what is to be done, report, and end",
        more="For a timer instead of 'run'. Ends with 1 when the fleet manager was not reached or refused.",
    )
    _add_state(sync_parser)
    add_policy(sync_parser)

    reconcile = command(
        group,
        "reconcile",
        _reconcile,
        summary="bring what runs in line with what was accepted, without asking the fleet manager for news",
    )
    reconcile.add_argument("--retry", action="store_true", help="try again what failed for good")
    _add_state(reconcile)
    add_policy(reconcile)

    capabilities = command(
        group, "capabilities", _capabilities, summary="show what this device reports it can do"
    )
    capabilities.add_argument("--device-id", metavar="ID", help="as if the device had this id")
    _add_state(capabilities)

    verify = command(
        group,
        "verify",
        _verify,
        summary="look for damage in everything this device holds",
        more="Reads the database, documents, projects and images byte by byte; ends with 1 if something is\n"
        "damaged and was not mended.",
    )
    verify.add_argument("--mend", action="store_true", help="bring back what is damaged, and start it again")
    verify.add_argument("--json", action="store_true", help="for programs")
    _add_state(verify)
    agent_git.configure(group)
    agent_bundle.configure(group)
    agent_status.configure(group)
    agent_approvals.configure(group)
    agent_control.configure(group)
    agent_policy.configure(group)


run = run_command


def _add_state(parser: argparse.ArgumentParser) -> None:
    add_state(parser)
    parser.add_argument(
        "--config", metavar="FILE", help=f"the site's settings (default: {DEFAULT_CONFIG} if it is there)"
    )


def _run(args: argparse.Namespace) -> int:
    """Become the watch: this process's imports are gone then, and with them their memory."""
    words = ["--state", str(Path(args.state).absolute())]
    if args.config:
        words += ["--config", str(Path(args.config).absolute())]
    if args.policy:
        words += ["--policy", str(Path(args.policy).absolute())]
    if args.poll is not None:
        words += ["--poll", str(_poll_seconds(args.poll))]
    words += _settings_words(args.config)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-m", "edgewright.agent.watch", *words])  # noqa: S606 - no shell


def _poll_seconds(text: str) -> float:
    """Return the polling rate asked for."""
    from edgewright.protocol.durations import seconds_of

    try:
        return seconds_of(text)
    except ValueError as error:
        raise UsageError(f"--poll {error}") from None


def _settings_words(config: str | None) -> list[str]:
    """Return what the watch is told of the settings; without any nothing needed to read them is imported."""
    if config is None and not Path(DEFAULT_CONFIG).exists():
        return []
    from edgewright.agent.settings import Settings

    settings = Settings.load(config)
    group = settings.control.group
    told = (
        ("--control-group", None if group is None else str(_group_id(group))),
        ("--page", settings.page.listen),
        ("--drop", settings.drop.directory),
    )
    return [word for name, value in told if value is not None for word in (name, value)]


def _group_id(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(f"agent.yaml: $.control.group: there is no group {name!r} on this machine") from None


def _sync(args: argparse.Namespace) -> int:
    from edgewright.agent.sync import sync

    problem = sync(Paths(args.state), args.config, args.policy)
    if problem:
        raise OutcomeError(problem)
    return 0


def _reconcile(args: argparse.Namespace) -> int:
    from edgewright.agent.resident.rounds import BUSY
    from edgewright.agent.round import main
    from edgewright.agent.state.locks import AlreadyRunningError

    words = ["--state", args.state]
    for name, value in (("--config", args.config), ("--policy", args.policy)):
        words += [name, value] if value else []
    code = main([*words, "--retry"] if args.retry else words)
    if code == BUSY:
        raise AlreadyRunningError(f"{args.state}: a round is at work already; try again when it has ended")
    return code


def _enroll(args: argparse.Namespace) -> int:
    from edgewright.agent.enrollment.enroll import enroll_with_files, enroll_with_token
    from edgewright.agent.settings import Settings
    from edgewright.protocol.enrollment import EnrollmentToken

    files = {
        "--svid": args.svid,
        "--key": args.key,
        "--trust-bundle": args.trust_bundle,
        "--server": args.server,
    }
    if agent_git.given(args) or args.client is not None:
        return agent_git.enroll(args)
    if args.name is not None or args.ca is not None or args.pin is not None:
        from edgewright.cli import agent_asking

        _refuse_mixture(args)
        return agent_asking.ask(args, told=_tell_enrolled)
    for name, given in (("--no-wait", args.no_wait), ("--json", args.json)):
        if given:
            raise UsageError(f"{name} goes with --server, --name and --ca or --pin")
    missing = [name for name, value in files.items() if value is None]
    if (args.token is None) == (len(missing) == len(files)) or (args.token is None and missing):
        without = (
            f"; {', '.join(missing)} not given" if args.token is None and len(missing) < len(files) else ""
        )
        raise UsageError(
            "expected either a TOKEN, or --server and --name with --ca or --pin, "
            f"or {', '.join(files)} together{without}"
        )
    paths, settings = Paths(args.state), Settings.load(args.config)
    if args.token is not None:
        token = sys.stdin.readline() if args.token == "-" else args.token  # noqa: S105 - stdin, not a secret
        material = enroll_with_token(paths, token, device_id=args.device_id, replace=args.replace)
    else:
        material = enroll_with_files(
            paths,
            svid=args.svid,
            key=args.key,
            trust_bundle=args.trust_bundle,
            server=args.server,
            device_id=args.device_id,
            replace=args.replace,
        )
    _tell_enrolled(args, paths, settings, material)
    if args.token is not None and EnrollmentToken.parse(token).transport == "git":
        agent_git.after_enrolling(args)
    return 0


def _refuse_mixture(args: argparse.Namespace) -> None:
    """Raise unless everything is there for asking, and nothing else."""
    others = (("TOKEN", args.token), ("--svid", args.svid), ("--key", args.key))
    given = [name for name, value in (*others, ("--trust-bundle", args.trust_bundle)) if value is not None]
    if given:
        raise UsageError(f"{', '.join(given)}: not together with --name, --ca or --pin, which are for asking")
    missing = [name for name in ("--server", "--name") if getattr(args, name[2:]) is None]
    missing += ["--ca or --pin"] if args.ca is None and args.pin is None else []
    if missing:
        raise UsageError(f"to ask to be let in, give {' and '.join(missing)} as well")


def _tell_enrolled(args: argparse.Namespace, paths: Paths, settings: Settings, material: Material) -> None:
    print(f"enrolled as {material.client}")
    print(f"fleet manager {material.url}, device id {material.device_id}")
    if settings.page.listen is not None and not Path(paths.page_secret).exists():
        from edgewright.agent.page import password

        print(f"password of the local page, shown only now: {password.make(paths)}")
    print("next: edgewright agent run" + (f" --state {args.state}" if args.state != DEFAULT_STATE else ""))


def _capabilities(args: argparse.Namespace) -> int:
    import json

    from edgewright.agent.settings import Settings
    from edgewright.agent.work.capabilities import describe, read_machine
    from edgewright.agent.work.engines import find_profiles

    paths = Paths(args.state)
    settings = Settings.load(args.config)
    directory = paths.root if Path(paths.root).is_dir() else "/"
    described = describe(
        read_machine(directory),
        settings.capabilities,
        device_id=args.device_id or _device_id(paths, settings),
        profiles=find_profiles(settings),
    )
    print(json.dumps(described.to_plain(), indent=2, ensure_ascii=False))
    return 0


def _device_id(paths: Paths, settings: Settings) -> str:
    from edgewright.agent.talk.session import Identity, NotEnrolledError

    if settings.device_id is not None:
        return settings.device_id
    try:
        return Identity(paths.identity).device_id
    except NotEnrolledError:
        return "not-enrolled"


def _verify(args: argparse.Namespace) -> int:
    from edgewright.agent.settings import Settings
    from edgewright.agent.state.locks import AlreadyRunningError
    from edgewright.agent.talk.session import Identity
    from edgewright.agent.verify import verify

    paths, settings = Paths(args.state), Settings.load(args.config)
    Identity(paths.identity)  # raises where no agent has been at work
    try:
        findings = verify(paths, settings, mend=args.mend)
    except AlreadyRunningError:
        raise AlreadyRunningError(f"{args.state}: a round is at work; try again when it has ended") from None
    _print_findings(findings, as_json=args.json)
    return 0 if all(each.mended for each in findings) else 1


def _print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from edgewright.cli.output import print_plain

    if as_json:
        print(json.dumps([asdict(each) for each in findings], indent=2, ensure_ascii=False))
    elif findings:
        rows = [(each.part, each.name, each.problem, each.outcome) for each in findings]
        print_plain(("part", "name", "what is wrong", "what was done"), rows)
    else:
        print("everything is whole")
