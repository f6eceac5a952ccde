"""`edgewright agent pause`, `resume`, `apply-now`, `poll`, `retry`, `reset-version`, `accept-clock`, `page`.

Each asks the running agent over its control socket, or uses the state directory itself where none answers.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from edgewright.cli.agent_requests import add_person, add_state, ask, local, typed, until, when
from edgewright.cli.arguments import command, commands

if TYPE_CHECKING:
    Group = argparse._SubParsersAction[argparse.ArgumentParser]


def configure(group: Group) -> None:
    """Add the commands to `group`."""
    pause = command(
        group,
        "pause",
        _pause,
        summary="let no change begin until somebody resumes",
        more="What runs goes on running, is watched and repaired; what has begun is finished.",
    )
    pause.add_argument("--until", metavar="TIME", help="such as 2h, 18:00, tomorrow or 'Mon 06:00'")
    add_person(pause, reason="why; shown to everybody")
    add_state(pause)

    resume = command(group, "resume", _resume, summary="let changes begin again")
    add_person(resume, reason="why")
    add_state(resume)

    now = command(
        group,
        "apply-now",
        _apply_now,
        summary="let one change that waits begin now, in an emergency",
        more="Windows, approvals, a pause, a clock that is not trusted: nothing holds this one change then.\n"
        "It is written down who did it and why, and reported.",
    )
    now.add_argument("deployment", metavar="DEPLOYMENT", help="its id, as 'agent status' shows it")
    add_person(now, reason="why; needed")
    add_state(now)

    poll = command(
        group,
        "poll",
        _poll,
        summary="ask the fleet manager now",
        more="Also outside the polling periods, but not in a planned downtime.",
    )
    add_person(poll)
    add_state(poll)

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
    add_person(retry)
    add_state(retry)

    reset = command(
        group,
        "reset-version",
        _reset_version,
        summary="accept the next manifest whatever its version",
        more="For a fleet manager that was restored from a backup and counts from an older version.\n"
        "Until then this device is open to being sent back to an older state.",
    )
    add_person(reset, reason="why")
    add_state(reset)

    clock = command(
        group,
        "accept-clock",
        _accept_clock,
        summary="say that this machine's clock is right",
        more="A clock that jumped, or shows less than it did before, is not trusted: nothing starts that\n"
        "depends on the time of day. Look at 'date' first.",
    )
    add_person(clock, reason="how you know")
    add_state(clock)

    page = group.add_parser("page", help="the local page of this device")
    password = command(
        commands(page),
        "password",
        _password,
        summary="make a new password for the local page, and show it once",
        more="The one before is of no use any more, and everybody who was signed in is signed out.",
    )
    add_state(password)


def _pause(args: argparse.Namespace) -> int:
    end = until(args.until)
    answer = ask(args, "pause", until=end)
    print(f"no change begins any more, {when(answer)}")
    print(f"it lasts{_until(end)}")
    return 0


def _until(seconds: float | None) -> str:
    if seconds is None:
        return " until 'edgewright agent resume'"
    from datetime import UTC, datetime

    return f" until {local(datetime.fromtimestamp(seconds, UTC).isoformat())}"


def _resume(args: argparse.Namespace) -> int:
    print(f"changes may begin again, {when(ask(args, 'resume'))}")
    return 0


def _apply_now(args: argparse.Namespace) -> int:
    answer = ask(args, "override", deployment=args.deployment)
    print(f"deployment {answer['deployment']}")
    print(f"revision {answer['digest'].rpartition(':')[2][:12]} begins {when(answer)}")
    return 0


def _poll(args: argparse.Namespace) -> int:
    ask(args, "poll")
    print(f"the fleet manager is asked at once; see: {typed('status', args)}")
    return 0


def _retry(args: argparse.Namespace) -> int:
    answer = ask(args, "retry", deployment=args.deployment)
    done = "is tried again" if answer["running"] else "is tried again when the agent runs"
    for each in answer["deployments"]:
        print(f"deployment {each['name']} ({each['id']}) {done}")
    if answer["needs_approval"]:
        print(f"once somebody has approved it: {typed('approvals list', args)}")
    return 0


def _reset_version(args: argparse.Namespace) -> int:
    ask(args, "reset-version")
    print("the next manifest is accepted whatever its version")
    return 0


def _accept_clock(args: argparse.Namespace) -> int:
    from datetime import datetime

    ask(args, "accept-clock")
    print(f"the clock is trusted: it is {datetime.now().astimezone():%A, %Y-%m-%d %H:%M:%S %Z}")
    return 0


def _password(args: argparse.Namespace) -> int:
    from edgewright.agent.on_site.control import VIA, user_name
    from edgewright.agent.on_site.desk import has_state, open_desk
    from edgewright.agent.page import password
    from edgewright.agent.paths import Paths

    paths = Paths(args.state)
    paths.make()
    made = password.make(paths)
    if has_state(paths):
        with open_desk(paths, None, via=VIA, uid=os.getuid()) as desk:
            desk.note(user_name(os.getuid()), "made a new password for the local page")
    print(made)
    return 0
