"""`edgewright agent status`: what this device is told to run, how it stands, and what it waits for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.agent_requests import (
    add_json,
    add_policy,
    add_state,
    ask,
    folded,
    local,
    print_folded,
    typed,
)
from edgewright.cli.arguments import command

if TYPE_CHECKING:
    Group = argparse._SubParsersAction[argparse.ArgumentParser]

SHOWN_EVENTS = 5
NOUNS = {"install": "installation", "update": "update", "remove": "removal"}
UNDER_WAY = {"fetch": "a fetch from the repository", "push": "reports to the repository"}
Facts = Mapping[str, Any]


def configure(group: Group) -> None:
    """Add the command to `group`."""
    status = command(
        group,
        "status",
        _status,
        summary="show what this device is told to run, how it stands, and what waits",
    )
    add_json(status)
    add_state(status)
    add_policy(status)


def _status(args: argparse.Namespace) -> int:
    facts = ask(args, "status")
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(facts, args)
    return 0


def _print(facts: Facts, args: argparse.Namespace) -> None:
    from edgewright.agent.on_site.visible import visible
    from edgewright.cli.output import ago, print_plain

    now = datetime.now(UTC)
    print_folded([*_device(facts, now), *_site(facts)])
    print()
    rows = [
        (visible(each["name"]), each["id"], each["state"], str(each["adopted_manifest_version"]))
        for each in facts["deployments"]
    ]
    if rows:
        print_plain(("deployment", "id", "state", "version"), rows)
    else:
        print("no deployments")
    for line in (*_trouble(facts), *_waiting(facts, args)):
        print(line)
    if facts["events"]:
        print()
        for each in facts["events"][:SHOWN_EVENTS]:
            print(folded(f"{ago(each['at'], now)}, {each['kind']}: {each['message']}", 4))


def _device(facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    from edgewright.cli.output import ago

    identity, contact, manifest = facts["identity"], facts["contact"], facts["manifest"]
    yield "identity", identity.get("relation") or identity["problem"]
    if identity.get("transport") == "git":
        yield "transport", "git"
        yield "repository", identity["repository"]
        yield from _repository(facts["repository"], now)
    yield "fleet manager", identity.get("url", "")
    yield "device id", identity.get("device_id", "")
    yield "watch", f"running, process {facts['running']}" if facts["running"] else "not running"
    yield "last contact", ago(contact["last"], now)
    yield "problem", contact["problem"] or ""
    yield "manifest", f"version {manifest['version']}" if manifest["version"] else "none accepted yet"
    yield "waiting", manifest["waiting"] or ""
    yield "disk", _disk_trouble(facts["disk"])
    yield "reports to send", str(contact["reports_waiting"])


def _repository(repository: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    from edgewright.cli.output import ago

    yield "commit", (repository["commit"] or "none taken up yet")[:16]
    refused = repository["refused"]
    for each in repository["declined"]:
        times = "once" if each["tries"] == 1 else f"{each['tries']} times"
        told = f"{each['name']}, {times} since {local(each['since'])}, and is tried again: {each['reason']}"
        yield "declined", told
    if refused is not None:
        which = f"commit {refused['commit'][:12]}" if refused["commit"] else "the branch 'desired'"
        yield "refused", f"{which}, since {local(refused['since'])}: {refused['reason']}"
    at_work = repository["under_way"]
    if at_work is not None:
        begun = f"begun {ago(at_work['since'], now)}, process {at_work['process']}"
        yield "under way", f"{UNDER_WAY[at_work['doing']]}, {begun}"


def _disk_trouble(disk: Facts) -> str:
    """Return what a person has to know of the disk the state is on, "" while there is room."""
    free, needed = disk["free_bytes"], disk["needed_bytes"]
    if free is None or free >= needed:
        return ""
    return f"{free >> 20} MiB free; nothing is fetched while it is less than {needed >> 20} MiB"


def _site(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what the site lays down, where it differs from doing everything at once."""
    schedule, paused = facts["schedule"], facts["paused"]
    if schedule["downtime_until"]:
        yield "downtime", f"planned, until {local(schedule['downtime_until'])}"
    elif not schedule["may_poll"]:
        yield "next poll", local(schedule["next_poll"]) or "none that is known"
    if schedule["window_until"]:
        yield "changes", f"allowed until {local(schedule['window_until'])}"
    elif not schedule["may_change"]:
        yield "changes", f"from {local(schedule['next_window'])}" if schedule["next_window"] else "not now"
    if paused:
        until = f" until {local(paused['until'])}" if paused["until"] else ""
        reason = f": {paused['reason']}" if paused["reason"] else ""
        yield "paused", f"by {paused['by']}{until}{reason}"
    if not facts["clock"]["trusted"]:
        yield "clock", f"not trusted: {facts['clock']['reason']}"
    yield "policy", facts["policy"]["problem"] or ""


def _trouble(facts: Facts) -> Iterator[str]:
    """Yield what went wrong with deployments; what only waits is told by `_waiting`."""
    for each in facts["deployments"]:
        if each["error"] and not each["held"]:
            yield ""
            yield folded(f"{each['name']}: {each['error']}", 4)


def _waiting(facts: Facts, args: argparse.Namespace) -> Iterator[str]:
    """Yield what waits, for what and until when."""
    for each in facts["holds"]:
        until = f" (until {local(each['until'])})" if each["until"] else ""
        yield ""
        yield folded(
            f"{NOUNS.get(each['kind'], each['kind'])} of {each['name']} waits: {each['message']}{until}", 4
        )
        if each["approval"] is not None:
            yield "    " + typed(f"approvals show {each['approval']}", args)
