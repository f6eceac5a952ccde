"""Runs `git http-backend` for one request: with an environment made here, with bounds, and gone when it ends.

It inherits nothing of the server's environment, reads no configuration of a user or the system, and what is
set here outranks what a repository's own file says; hooks are those of one folder of ours. A request may
take so much memory, processor time and disk; a shell that becomes Git sets that before Git runs.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgewright.net.git.environment import environment
from edgewright.protocol.problem import ProblemType
from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.problems import ProblemError
from edgewright.server.repositories.incoming import GoneError, StalledError

log = logging.getLogger(__name__)

MOST_SECONDS = 300.0
# How long one piece of an answer may take to reach a client that hardly reads.
STALL_SECONDS = 60.0
QUEUE_SECONDS = 20.0
PUSH_BYTES = 16 * 1024 * 1024

_MEMORY_BYTES = 1024 * 1024 * 1024
_CPU_SECONDS = 60
_FILE_BYTES = 640 * 1024 * 1024
_PIECE = 64 * 1024
_HEAD_BYTES = 16 * 1024
_TOLD_BYTES = 4096
_END_SECONDS = 2.0
_LIMITED = 'set -e; ulimit -v "$1"; ulimit -t "$2"; ulimit -f "$3"; shift 3; exec "$@"'


def configuration(hooks: Path) -> Sequence[tuple[str, str]]:
    """Return Git's settings for hosted repositories; `hooks` is the folder of ours."""
    return (
        ("safe.directory", "*"),
        ("core.hooksPath", str(hooks)),
        ("core.fsmonitor", "false"),
        ("core.fsync", "objects,derived-metadata,reference"),
        ("core.attributesFile", "/dev/null"),
        ("core.packedGitLimit", "128m"),
        ("core.packedGitWindowSize", "16m"),
        ("core.bigFileThreshold", "4m"),
        ("pack.threads", "1"),
        ("pack.windowMemory", "64m"),
        ("gc.auto", "0"),
        ("http.getanyfile", "false"),
        ("http.uploadpack", "true"),
        ("http.receivepack", "true"),
        ("transfer.fsckObjects", "true"),
        ("receive.fsckObjects", "true"),
        ("receive.maxInputSize", str(PUSH_BYTES)),
        ("receive.denyDeletes", "true"),
        ("receive.denyNonFastForwards", "true"),
        ("receive.denyCurrentBranch", "ignore"),
        ("receive.shallowUpdate", "false"),
        ("receive.autogc", "false"),
        ("receive.updateServerInfo", "false"),
        ("receive.advertisePushOptions", "false"),
        ("uploadpack.allowFilter", "false"),
        ("uploadpack.hideRefs", "refs"),
        ("uploadpack.hideRefs", f"!{DESIRED}"),
        ("uploadpack.hideRefs", f"!{CURRENT}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRequest:
    """One request for Git, already checked: `path` is below the folder of repositories, with a slash."""

    client_id: str
    method: str
    path: str
    query: str = ""
    content_type: str = ""
    protocol: str = ""
    address: str = ""
    length: int = 0


class Backend:
    """Runs Git for requests, a few at once."""

    def __init__(self, root: Path, hooks: Path, *, at_once: int | None = None) -> None:
        self._root = root
        self._turns = asyncio.Semaphore(at_once or max(4, 2 * (os.cpu_count() or 1)))
        self.environment = environment(settings=configuration(hooks)) | {"GIT_HTTP_EXPORT_ALL": "1"}

    async def answer(self, request: GitRequest, body: IO[bytes] | None, receive: Any, send: Any) -> None:
        """Have Git answer `request`; all of the request's body has been received.

        What Git says goes to a file and from there to the client, so that Git never waits for a slow one.
        Raises `ProblemError` when too much goes on already or Git did not answer, and `GoneError` when the
        client went away meanwhile, as Git is ended then; `StalledError` when it does not read the answer.
        """
        with tempfile.TemporaryFile(dir=self._root) as output:
            async with self._turn():
                await self._run(request, body, output, receive)
            await _pass_on(output, request, send)

    async def _run(
        self, request: GitRequest, body: IO[bytes] | None, output: IO[bytes], receive: Any
    ) -> None:
        """Run Git to its end, or end it."""
        if body is not None:
            os.lseek(body.fileno(), 0, os.SEEK_SET)
        process = await start(
            ("git", "http-backend"),
            environment={**self.environment, **_gateway(request, self._root)},
            folder=self._root,
            stdin=body,
            stdout=output,
        )
        told = asyncio.create_task(_told(process))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({told, gone}, timeout=MOST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_gone = gone.done()
            await asyncio.shield(end(process, told))
            # Nobody is left who could hold the pipe open, so it is at its end at once.
            await asyncio.wait({told}, timeout=_END_SECONDS)
            for task in (told, gone):
                task.cancel()
            said = (await asyncio.gather(told, gone, return_exceptions=True))[0]
        if is_gone:
            raise GoneError
        if process.returncode and isinstance(said, str):
            log.warning(
                "%s: %s: git ended with %d: %s", request.client_id, request.path, process.returncode, said
            )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise ProblemError(
                ProblemType.BLANK, "too many Git requests are being answered just now", status=503
            ) from error
        try:
            yield
        finally:
            self._turns.release()


async def start(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> asyncio.subprocess.Process:
    """Start a program of Git's with bounds, in a process group of its own, with a pipe for its errors."""
    return await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        _LIMITED,
        "sh",
        *_limits(),
        *words,
        stdin=stdin if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=stdout if stdout is not None else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )


def _limits() -> Iterator[str]:
    """Return the limits in the units of a shell; one that this server has itself is not exceeded."""
    for kind, most, unit in (
        (resource.RLIMIT_AS, _MEMORY_BYTES, 1024),
        (resource.RLIMIT_CPU, _CPU_SECONDS, 1),
        (resource.RLIMIT_FSIZE, _FILE_BYTES, 512),
    ):
        hard = resource.getrlimit(kind)[1]
        yield str((most if hard == resource.RLIM_INFINITY else min(most, hard)) // unit)


def _gateway(request: GitRequest, root: Path) -> dict[str, str]:
    """Return the request as the Common Gateway Interface has it (RFC 3875)."""
    made = {
        "GIT_PROJECT_ROOT": str(root),
        "PATH_INFO": request.path,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.content_type,
        "REMOTE_USER": request.client_id,
        "REMOTE_ADDR": request.address,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    if request.method == "POST":
        made["CONTENT_LENGTH"] = str(request.length)
    if request.protocol:
        made["GIT_PROTOCOL"] = request.protocol
    return made


async def _pass_on(output: IO[bytes], request: GitRequest, send: Any) -> None:
    output.seek(0)
    head = output.read(_HEAD_BYTES).partition(b"\r\n\r\n")[0]
    content_type = _read_head(head, request)
    length = output.seek(0, os.SEEK_END) - len(head) - 4
    output.seek(len(head) + 4)
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % length),
        (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    is_whole = False
    # Also an empty answer has an end: git asks first whether a large push may come, and is told so by one.
    while not is_whole:
        piece = output.read(min(_PIECE, length))
        length -= len(piece)
        is_whole = length <= 0 or not piece
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": not is_whole})
        except TimeoutError as error:
            raise StalledError from error


def _read_head(head: bytes, request: GitRequest) -> bytes:
    """Return the media type of Git's answer; raises `ProblemError` for anything but a success."""
    lines = (line.partition(b":") for line in head.split(b"\r\n") if line)
    fields = {name.strip().lower(): value.strip() for name, _, value in lines}
    media = fields.get(b"content-type")
    status = fields.get(b"status", b"200").partition(b" ")[0]
    if status == b"200" and media is not None:
        return media
    if status in {b"400", b"403", b"404"}:
        raise ProblemError(
            ProblemType.BLANK, f"git does not do this: {request.method} {request.path}", status=int(status)
        )
    raise ProblemError(ProblemType.BLANK, "git could not answer; the server's log says why", status=500)


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _told(process: asyncio.subprocess.Process) -> str:
    """Return the beginning of what Git said beside its answer, as soon as all of Git has ended."""
    assert process.stderr is not None  # noqa: S101 - piped above
    kept = b""
    while piece := await process.stderr.read(_PIECE):
        kept += piece[: _TOLD_BYTES - len(kept)]
    return kept.decode(errors="replace").strip()


async def end(process: asyncio.subprocess.Process, told: "asyncio.Task[str]") -> None:
    """Have the process and all that it started end, so that Git can remove its locks.

    What they say (`told`) is at its end when the last of them is: who was started first may end first, and
    the others need their time as well. Where all of them ended by themselves there is nothing to do.
    """
    is_by_itself = told.done()
    if not is_by_itself:
        _signal(process, signal.SIGTERM)
    await asyncio.wait({told}, timeout=_END_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    if not is_by_itself or process.returncode is None:
        _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
