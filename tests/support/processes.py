"""Long-lived programs beside the tests: started so that they cannot outlive us, stopped by their pid."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


class StartError(Exception):
    """A program did not come up; the message carries the last lines it wrote."""


def start(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    The kernel ends it when this process dies, however that happens; a terminal's Ctrl-C does not
    reach it. Call from a thread that lives on: the kernel watches the thread, not the process.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, grace_seconds: float = 30.0) -> None:
    """End `process` and reap it: SIGTERM first, SIGKILL when the grace is over."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    found: Callable[[], T | None],
    *,
    what: str,
    seconds: float = 30.0,
    alive: Callable[[], bool] = lambda: True,
) -> T:
    """Return the first value of `found` that is not None or False.

    Raises StartError naming `what` after `seconds`, or as soon as `alive` says that it cannot happen.
    """
    deadline = time.monotonic() + seconds
    while True:
        # Asked before looking, so that what appeared just before the end is still found.
        last_chance = not alive() or time.monotonic() > deadline
        value = found()
        if value:
            return value
        if last_chance:
            raise StartError(what)
        time.sleep(POLL_SECONDS)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of `log`, for the message of a failure."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no output)"


def own_environment(**extra: str) -> dict[str, str]:
    """Return a small environment for programs that must not inherit this machine's peculiarities."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR") if name in os.environ
    }
    kept["PATH"] = kept.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return kept | extra
