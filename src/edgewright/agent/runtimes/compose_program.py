"""The Compose v2 program: finding it, and running it with an environment that is ours alone.

Nothing of our own environment reaches it, so that no variable of whoever started the agent steers it, and no
parameter can: parameters are handed over in files (`compose_project`). It is run as the plain program,
without the `docker` command in front, and stays in our process group, so that what ends us ends it.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright.agent.runtimes import EngineError, ProgramKilledError

OLDEST = (2, 17)  # the first that takes several --env-file
PLUGIN_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
MAX_REASON_LINES = 12
_CANCELLED = 128 + signal.SIGINT  # what it ends with after SIGINT and SIGTERM alike

# What an author's file may name is inside the package (spec: CMP-7): nothing is fetched while reading it.
_NO_REMOTE_INCLUDES = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false"}
_PROGRESS = re.compile(
    r"^ *(?:Container|Network|Volume|Image|Secret|Config|Service)\b.*|^time=\S+ level=warning .*"
)
_LOST_ENGINE = re.compile(
    r"^(?:error during connect:|Cannot connect to the Docker daemon|unexpected EOF$)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a run of the program ended."""

    code: int
    output: bytes
    errors: str

    @property
    def reason(self) -> str:
        """What the program gave as the reason of its failure, without its reports of progress."""
        lines = [
            line.strip() for line in self.errors.splitlines() if line.strip() and not _PROGRESS.match(line)
        ]
        return "\n".join(lines[-MAX_REASON_LINES:]) or f"ended with exit code {self.code}"

    @property
    def lost_engine(self) -> bool:
        """Whether it failed because the engine went away, maybe for a moment, as when it is restarted."""
        return self.code != 0 and _LOST_ENGINE.search(self.errors) is not None


class ProgramTimeoutError(Exception):
    """The program was ended because its time was over; `errors` is what it had said until then."""

    def __init__(self, errors: str) -> None:
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeProgram:
    """A Compose v2 program at `path`."""

    path: str
    version: str

    def run(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float,
        keep_open: Sequence[int] = (),
    ) -> Finished:
        """Run it with `environment` and nothing else in its environment; `timeout` in seconds.

        The descriptors in `keep_open` stay open in it: a lock held by one lasts until the program ended too.
        Raises ProgramTimeoutError, and EngineError where the program cannot be started; ProgramKilledError
        where a signal ended it, as the kernel does when memory is short: that is nobody's verdict.
        """
        try:
            done = subprocess.run(
                [self.path, "--ansi=never", "--progress=plain", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=_NO_REMOTE_INCLUDES | dict(environment),
                cwd="/",
                timeout=timeout,
                pass_fds=tuple(keep_open),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ProgramTimeoutError((error.stderr or b"").decode("utf-8", "replace")) from error
        except OSError as error:
            raise EngineError(f"{self.path}: cannot be started: {error.strerror}") from error
        if done.returncode < 0 or done.returncode == _CANCELLED:
            raise ProgramKilledError(f"{self.path}: {_killed_by(done.returncode)} before it was done")
        return Finished(
            code=done.returncode, output=done.stdout, errors=done.stderr.decode("utf-8", "replace")
        )


def _killed_by(code: int) -> str:
    if code == _CANCELLED:
        return "was asked to end"
    hint = " (by a person, or because memory ran out)" if code == -signal.SIGKILL else ""
    return f"was killed by signal {-code}{hint}"


def program_candidates(configured: str | None, environment: Mapping[str, str]) -> list[str]:
    """List where a Compose program may lie, best first; a configured one stands alone."""
    if configured:
        return [configured]
    search = environment.get("PATH") or "/usr/local/bin:/usr/bin:/bin"
    found = [f"{directory}/docker-compose" for directory in search.split(":") if directory.startswith("/")]
    if environment.get("HOME"):
        found.append(f"{environment['HOME']}/.docker/cli-plugins/docker-compose")
    return [*found, *(f"{directory}/docker-compose" for directory in PLUGIN_DIRECTORIES)]


def find_compose_program(configured: str | None, environment: Mapping[str, str]) -> ComposeProgram:
    """Return the first Compose v2 program there is; raises EngineError that says what was found instead."""
    rejected = []
    for path in program_candidates(configured, environment):
        if not configured and not os.access(path, os.X_OK):
            continue
        try:
            told = program_version(path)
        except EngineError as error:
            rejected.append(str(error))
            continue
        if parse_version(told) >= OLDEST:
            return ComposeProgram(path=path, version=told)
        rejected.append(f"{path}: version {told or 'unknown'}")
    raise EngineError(
        "no Compose program of version {}.{} or newer was found ({}). Install the package docker-compose-v2 "
        "or docker-compose-plugin, or name the program in agent.yaml".format(
            *OLDEST, "; ".join(rejected) or "there is none"
        )
    )


def program_version(path: str) -> str:
    """Ask a program for its version; "" if it is no Compose v2. Raises EngineError if it does not answer."""
    try:
        done = subprocess.run(
            [path, "version", "--short"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={},
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{path}: does not answer") from error
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace").strip().removeprefix("v") if done.returncode == 0 else ""


def parse_version(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, () if there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
