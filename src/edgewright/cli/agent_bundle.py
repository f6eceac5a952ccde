"""`edgewright agent bundle`: the desired state in, and the reports out, by files that people carry."""

from __future__ import annotations

import argparse
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.agent.paths import Paths
from edgewright.cli.agent_requests import add_state, typed
from edgewright.cli.arguments import command, commands
from edgewright.cli.errors import OutcomeError

if TYPE_CHECKING:
    Group = argparse._SubParsersAction[argparse.ArgumentParser]


def configure(group: Group) -> None:
    """Add the commands to `group`."""
    bundle = group.add_parser(
        "bundle",
        help="bring the desired state in, and the reports out, by a file",
        description="For sites without a link: the desired state comes in by a file, the reports go out.\n"
        "\n"
        "The files are bundles of Git, made and read by 'edgewright repository bundle' and\n"
        "'read', or by 'git bundle' and 'git fetch' with a clone of this device's repository.\n"
        "A device without any link is enrolled by\n"
        "'edgewright agent enroll --git none: --signers FILE --name NAME'.",
    )
    parts = commands(bundle)
    into = command(
        parts,
        "import",
        _import,
        summary="take up what is desired, from a bundle with the branch 'desired'",
        more="The same is checked as over a connection: who signed it, that it follows what was\n"
        "taken up before, and everything in it. Ends with 1 when it is refused; nothing has\n"
        "changed then.",
    )
    into.add_argument("file", metavar="FILE", help="the bundle")
    add_state(into)
    out = command(
        parts,
        "export",
        _export,
        summary="write what there is to report into a bundle with the branch 'current'",
        more="The bundle is complete: whoever reads it needs no earlier one.",
    )
    out.add_argument("file", metavar="FILE", help="the bundle to write; replaced if it is there")
    add_state(out)


def _import(args: argparse.Namespace) -> int:
    from edgewright.agent.git.carrying import NotTaken, bring_in, has_news
    from edgewright.agent.state.locks import holder

    paths = Paths(args.state)
    outcome = bring_in(paths, args.file)
    if isinstance(outcome, NotTaken):
        raise OutcomeError(
            f"{args.file}: commit {outcome.commit[:12]} was refused: {outcome.reason}\n"
            "  nothing was changed on this device"
        )
    if not outcome.is_new:
        print(f"commit {outcome.commit[:12]} was taken up before; nothing is new")
        return 0
    print(f"taken in: commit {outcome.commit[:12]} of 'desired'")
    process = holder(paths.watch_lock)
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGUSR1)
        print("the agent brings it about now; 'edgewright agent status' shows how it goes")
    elif has_news(paths):
        print(f"next: {typed('reconcile', args)}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from edgewright.agent.git.carrying import take_out

    commits = take_out(Paths(args.state), args.file)
    size = Path(args.file).stat().st_size
    print(f"{args.file}: {commits} commit{'' if commits == 1 else 's'} of 'current', {size} bytes")
    print("next: 'edgewright repository read DEVICE FILE' where the fleet manager is")
    return 0
