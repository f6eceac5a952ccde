"""What one whole turn of `edgewright agent sync` costs when nothing has changed."""

import resource
import subprocess
import sys
from pathlib import Path

import watch
from measure import median_of

from edgewright.agent.clock import SYSTEM
from edgewright.agent.paths import Paths
from edgewright.agent.state.store import Store

TURNS = 11


def cpu_ms(directory: Path) -> float:
    """Return the median CPU time (ms) of turns over one enrolled device, after a first that settles it."""
    with watch.manager(directory) as (_, state):
        command = [
            sys.executable,
            "-I",
            "-m",
            "edgewright.cli.main",
            "agent",
            "sync",
            "--state",
            str(state),
        ]

        def turn() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return used * 1000

        turn()
        _settle(state)
        return median_of(TURNS, turn)


def _settle(state: Path) -> None:
    """Say that a round has just looked, so that an unchanged turn makes none, engine or not."""
    store = Store(Paths(str(state)).database)
    store.set_meta("sync.turn", f"{SYSTEM.boot} {SYSTEM.monotonic():.0f} -")
    store.close()
