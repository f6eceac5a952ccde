"""The demo's own processes: started with a log each, watched, and ended by their process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from edgewright.cli.errors import OutcomeError

TAIL_LINES = 15
TAIL_COLUMNS = 300
POLL_SECONDS = 0.05
T = TypeVar("T")


class Background:
    """A process that runs beside the demo, in a session of its own so that Ctrl-C does not reach it."""

    def __init__(self, name: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def wait_for(self, look: Callable[[], T | None], *, what: str, timeout: float) -> T:
        """Return what `look` gives as soon as it gives something.

        Raises OutcomeError when the process ends before, or `timeout` seconds have passed.
        """
        return wait_for(look, what=f"{self.name}: {what}", timeout=timeout, alive=self._check)

    def stop(self, *, grace: float = 10.0) -> None:
        """End the process and what it left in its group; repeating it is harmless."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _check(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise OutcomeError(f"{self.name} ended with exit code {code}")


def wait_for(
    look: Callable[[], T | None], *, what: str, timeout: float, alive: Callable[[], None] = lambda: None
) -> T:
    """Return what `look` gives as soon as it gives something; `alive` may raise to give up early."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found is not None:
            return found
        alive()
        if time.monotonic() > deadline:
            raise OutcomeError(f"{what}: not within {timeout:.0f} s")
        time.sleep(POLL_SECONDS)


def edgewright(words: Sequence[str]) -> list[str]:
    """Return the command line that runs `edgewright WORDS` with this very installation."""
    return [sys.executable, "-I", "-m", "edgewright.cli.main", *words]


def run_edgewright(words: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> str:
    """Return what `edgewright WORDS` printed; raises OutcomeError with its error message."""
    try:
        done = subprocess.run(
            edgewright(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=dict(environment),
            timeout=timeout,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OutcomeError(f"edgewright {' '.join(words)}: no answer within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise _failure(words, done.returncode, done.stderr)
    return done.stdout


def follow_edgewright(
    words: Sequence[str], environment: Mapping[str, str], log: Path, tell: Callable[[str], None]
) -> None:
    """Carry out `edgewright WORDS`, which has a time limit of its own, and `tell` every line as it comes.

    Raises OutcomeError with its error message; that goes to `log`, so that no pipe can fill up.
    """
    with (
        log.open("w+") as errors,
        subprocess.Popen(
            edgewright(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
            start_new_session=True,
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                tell(line.rstrip())
            process.wait()
        except BaseException:
            process.kill()
            raise
        if process.returncode != 0:
            errors.seek(0)
            raise _failure(words, process.returncode, errors.read())


def _failure(words: Sequence[str], code: int, errors: str) -> OutcomeError:
    message = errors.strip().removeprefix("edgewright: error: ") or f"exit code {code}"
    return OutcomeError(f"edgewright {' '.join(words[:2])}: {message}")


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def tail(log: Path) -> str:
    """Return the last lines of `log`, the long ones cut."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join(line if len(line) <= TAIL_COLUMNS else f"{line[:TAIL_COLUMNS]}…" for line in lines)
