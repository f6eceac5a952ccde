"""`edgewright agent`: the commands on a device. `run` becomes the watch; the others do one thing and end."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.agent.paths import DEFAULT_CONFIG, DEFAULT_STATE, Paths
from edgewright.cli.arguments import command, commands, run_command
from edgewright.cli.errors import OutcomeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewright.agent.integrity import Finding
    from edgewright.agent.settings import Settings
    from edgewright.agent.store import Store

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
        more="Either with a TOKEN made by 'edgewright enrollment create' (this device makes its own key),\n"
        "or with --svid, --key, --trust-bundle and --server: files made by another authority.\n"
        "Everything is checked before anything is written.",
    )
    enroll.add_argument(
        "token", nargs="?", metavar="TOKEN", help="the one-time token; '-' reads it from stdin"
    )
    enroll.add_argument("--svid", metavar="FILE", help="certificate (PEM) and its intermediates")
    enroll.add_argument("--key", metavar="FILE", help="private key (PEM, not encrypted)")
    enroll.add_argument("--trust-bundle", metavar="FILE", help="trust anchors: SPIFFE bundle (JSON) or PEM")
    enroll.add_argument("--server", metavar="URL", help="https address of the fleet manager's device API")
    enroll.add_argument("--device-id", metavar="ID", help="the id to report (default: the client id)")
    enroll.add_argument("--replace", action="store_true", help="replace an identity that is there already")
    _add_state(enroll, config=False)

    run_parser = command(
        group,
        "run",
        _run,
        summary="look after this device until stopped",
        more="SIGTERM ends it, SIGHUP makes it poll at once. Killing it at any moment loses nothing.",
    )
    _add_state(run_parser)
    run_parser.add_argument(
        "--poll", metavar="TIME", help="how often to poll, such as 60s (default: agent.yaml)"
    )

    sync_parser = command(
        group,
        "sync",
        _sync,
        summary="poll once, do what is to be done, report, and end",
        more="For a timer instead of 'run'. Ends with 1 when the fleet manager was not reached or refused.",
    )
    _add_state(sync_parser)

    reconcile = command(
        group,
        "reconcile",
        _reconcile,
        summary="bring what runs in line with what was accepted, without asking the fleet manager for news",
    )
    reconcile.add_argument("--retry", action="store_true", help="try again what failed for good")
    _add_state(reconcile)

    retry = command(
        group,
        "retry",
        _retry,
        summary="try again what failed and was given up",
        more="A revision that failed is not tried again by itself. What runs in its place goes on running\n"
        "until the new try has everything it needs.",
    )
    retry.add_argument(
        "deployment", nargs="?", metavar="DEPLOYMENT", help="its id (default: all that were given up)"
    )
    _add_state(retry, config=False)

    status = command(
        group, "status", _status, summary="show what this device is told to run, and how it stands"
    )
    status.add_argument("--json", action="store_true", help="for programs")
    _add_state(status, config=False)

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

    reset = command(
        group,
        "reset-version",
        _reset_version,
        summary="accept the next manifest whatever its version",
        more="For a fleet manager that was restored from a backup and counts from an older version.\n"
        "Until then this device is open to being sent back to an older state.",
    )
    _add_state(reset, config=False)


run = run_command


def _add_state(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    parser.add_argument(
        "--state",
        metavar="DIR",
        default=os.environ.get("EDGEWRIGHT_STATE") or DEFAULT_STATE,
        help=f"where the agent keeps its state (default: $EDGEWRIGHT_STATE or {DEFAULT_STATE})",
    )
    if config:
        parser.add_argument(
            "--config", metavar="FILE", help=f"the site's settings (default: {DEFAULT_CONFIG} if it is there)"
        )


def _run(args: argparse.Namespace) -> int:
    """Become the watch: this process's imports are gone then, and with them their memory."""
    words = ["--state", str(Path(args.state).absolute())]
    if args.config:
        words += ["--config", str(Path(args.config).absolute())]
    seconds = _poll_seconds(args)
    if seconds is not None:
        words += ["--poll", str(seconds)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-m", "edgewright.agent.watch", *words])  # noqa: S606 - no shell


def _poll_seconds(args: argparse.Namespace) -> float | None:
    """Return the polling rate asked for; without settings nothing needed to read them is imported."""
    if args.poll is None and args.config is None and not Path(DEFAULT_CONFIG).exists():
        return None
    from edgewright.agent.settings import Settings, seconds_of

    settings = Settings.load(args.config)
    if args.poll is None:
        return settings.poll_seconds
    try:
        return seconds_of(args.poll)
    except ValueError as error:
        raise UsageError(f"--poll {error}") from None


def _sync(args: argparse.Namespace) -> int:
    from edgewright.agent.sync import sync

    problem = sync(Paths(args.state), args.config)
    if problem:
        raise OutcomeError(problem)
    return 0


def _reconcile(args: argparse.Namespace) -> int:
    from edgewright.agent.locks import AlreadyRunningError
    from edgewright.agent.round import BUSY, main

    words = ["--state", args.state, *(["--config", args.config] if args.config else [])]
    code = main([*words, "--retry"] if args.retry else words)
    if code == BUSY:
        raise AlreadyRunningError(f"{args.state}: a round is at work already; try again when it has ended")
    return code


def _retry(args: argparse.Namespace) -> int:
    """Leave word for the next round, and have the watch start it now."""
    import signal

    from edgewright.agent.ledger import Ledger
    from edgewright.agent.locks import holder
    from edgewright.agent.outbox import Outbox
    from edgewright.agent.revisions import GIVEN_UP, reported

    store = _open_store(args.state)
    try:
        ledger = Ledger(store, Outbox(store), device_id="", notify=lambda: None)
        known = reported(ledger.revisions())
        asked = [each for each in known if args.deployment in (None, each.deployment_id)]
        if not asked and args.deployment is not None:
            raise UsageError(f"there is no deployment {args.deployment} on this device")
        given_up = [each for each in asked if each.stage in GIVEN_UP]
        for each in given_up:
            ledger.wish_retry(each.deployment_id)
    finally:
        store.close()
    if not given_up:
        raise OutcomeError("nothing was given up, so there is nothing to try again")
    watch = holder(Paths(args.state).watch_lock)
    if watch is not None:
        os.kill(watch, signal.SIGHUP)
    when = "is tried again" if watch is not None else "is tried again when the agent runs"
    for each in given_up:
        print(f"deployment {each.name} ({each.deployment_id}) {when}")
    return 0


def _enroll(args: argparse.Namespace) -> int:
    from edgewright.agent.enroll import enroll_with_files, enroll_with_token

    files = {
        "--svid": args.svid,
        "--key": args.key,
        "--trust-bundle": args.trust_bundle,
        "--server": args.server,
    }
    missing = [name for name, value in files.items() if value is None]
    if (args.token is None) == (len(missing) == len(files)) or (args.token is None and missing):
        without = (
            f"; {', '.join(missing)} not given" if args.token is None and len(missing) < len(files) else ""
        )
        raise UsageError(f"expected either a TOKEN, or {', '.join(files)} together{without}")
    paths = Paths(args.state)
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
    print(f"enrolled as {material.client}")
    print(f"fleet manager {material.url}, device id {material.device_id}")
    print("next: edgewright agent run" + (f" --state {args.state}" if args.state != DEFAULT_STATE else ""))
    return 0


def _capabilities(args: argparse.Namespace) -> int:
    import json

    from edgewright.agent.capabilities import describe, read_machine
    from edgewright.agent.engines import find_profiles
    from edgewright.agent.settings import Settings

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
    from edgewright.agent.session import Identity, NotEnrolledError

    if settings.device_id is not None:
        return settings.device_id
    try:
        return Identity(paths.identity).device_id
    except NotEnrolledError:
        return "not-enrolled"


def _verify(args: argparse.Namespace) -> int:
    from edgewright.agent.locks import AlreadyRunningError
    from edgewright.agent.session import Identity
    from edgewright.agent.settings import Settings
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


def _reset_version(args: argparse.Namespace) -> int:
    store = _open_store(args.state)
    try:
        store.forget_version()
    finally:
        store.close()
    print("the next manifest is accepted whatever its version")
    return 0


def _status(args: argparse.Namespace) -> int:
    store = _open_store(args.state)
    try:
        facts = _facts(Paths(args.state), store)
    finally:
        store.close()
    if args.json:
        import json

        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print_status(facts)
    return 0


def _open_store(state: str) -> Store:
    from edgewright.agent.mirror import path_beside
    from edgewright.agent.store import Store

    paths = Paths(state)
    left = (paths.database, path_beside(paths.database), paths.identity)
    if not any(Path(each).exists() for each in left):
        raise UsageError(
            f"{paths.root}: no agent has been at work here; begin with 'edgewright agent enroll'"
        )
    return Store(paths.database)


def _facts(paths: Paths, store: Store) -> dict[str, Any]:
    """Return everything `status` shows, as plain values; times are ISO 8601."""
    from edgewright.agent.contact import Contact
    from edgewright.agent.ledger import Ledger
    from edgewright.agent.link import LAST_CONTACT, LAST_PROBLEM
    from edgewright.agent.locks import holder
    from edgewright.agent.outbox import Outbox
    from edgewright.agent.revisions import reported
    from edgewright.agent.runtimes.image_space import RESERVE_BYTES, free_bytes
    from edgewright.agent.session import Identity
    from edgewright.protocol.errors import EdgewrightError

    outbox = Outbox(store)
    identity: dict[str, Any] = {}
    try:
        known = Identity(paths.identity)
        identity = {
            "client": str(known.client),
            "server": str(known.server),
            "url": known.url,
            "device_id": known.device_id,
            "expires": _moment(known.not_after),
        }
    except EdgewrightError as error:
        identity = {"problem": str(error)}
    accepted, received = store.accepted(), store.received()
    noted = float(store.meta(LAST_CONTACT) or 0)
    contact = max(Contact(paths.root).last() or 0.0, noted)
    ledger = Ledger(store, outbox, device_id="", notify=lambda: None)
    return {
        "identity": identity,
        "running": holder(paths.watch_lock),
        "disk": {"free_bytes": free_bytes(paths.root), "needed_bytes": RESERVE_BYTES},
        "contact": {
            "last": _moment(contact) if contact else None,
            "problem": store.meta(LAST_PROBLEM) or None,
            "reports_waiting": len(outbox),
        },
        "manifest": {
            "version": None if accepted is None else accepted.version,
            "digest": None if accepted is None else accepted.digest,
            "waiting": None if received is None else (received.problem or "not judged yet"),
        },
        "deployments": [_deployment(revision) for revision in reported(ledger.revisions())],
        "events": [
            {"at": _moment(each.at), "kind": each.kind, "message": each.message} for each in store.events()
        ],
    }


def _deployment(revision: Any) -> dict[str, Any]:
    from edgewright.agent.status import failure_of, state_of

    failure = failure_of(revision)
    return {
        "id": revision.deployment_id,
        "name": revision.name,
        "digest": revision.digest,
        "stage": revision.stage.value,
        "state": state_of(revision).value,
        "adopted_manifest_version": revision.adopted,
        "error": None if failure is None else failure.message,
        "components": [
            {
                "name": each.name,
                "state": each.state.value,
                "error": None if each.failure is None else each.failure.message,
            }
            for each in revision.components
        ],
    }


def _disk_trouble(disk: dict[str, Any]) -> str:
    """Return what a person has to know of the disk the state is on, "" while there is room."""
    free, needed = disk["free_bytes"], disk["needed_bytes"]
    if free is None or free >= needed:
        return ""
    return f"{free >> 20} MiB free; nothing is fetched while it is less than {needed >> 20} MiB"


def _moment(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _print_status(facts: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    from edgewright.cli.output import ago, print_facts, print_plain

    identity, contact, manifest = facts["identity"], facts["contact"], facts["manifest"]
    now = datetime.now(UTC)
    print_facts(
        [
            ("identity", identity.get("client") or identity["problem"]),
            ("fleet manager", identity.get("url", "")),
            ("device id", identity.get("device_id", "")),
            ("watch", f"running, process {facts['running']}" if facts["running"] else "not running"),
            ("last contact", ago(contact["last"], now)),
            ("problem", contact["problem"] or ""),
            ("manifest", f"version {manifest['version']}" if manifest["version"] else "none accepted yet"),
            ("waiting", manifest["waiting"] or ""),
            ("disk", _disk_trouble(facts["disk"])),
            ("reports to send", str(contact["reports_waiting"])),
        ]
    )
    print()
    rows = [
        (each["name"], each["id"], each["state"], str(each["adopted_manifest_version"]), each["error"] or "")
        for each in facts["deployments"]
    ]
    if rows:
        print_plain(("deployment", "id", "state", "version", "error"), rows)
    else:
        print("no deployments")
    if facts["events"]:
        print()
        recent = [(ago(each["at"], now), each["kind"], each["message"]) for each in facts["events"][:5]]
        print_plain(("when", "kind", "event"), recent)
