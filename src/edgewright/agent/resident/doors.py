"""Sockets people and programs on this device may knock at; who serves them is started when somebody does.

The watch only listens. When a connection comes in and nobody serves, it starts the door's process and hands
it the listening socket; that one serves until nobody has come for a while, and ends. Then the watch listens
again, and a connection that came in between waits in the socket. One that breaks is started later each time.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import socket
import stat
from contextlib import suppress

from edgewright.agent import log
from edgewright.agent.backoff import jitter, pause
from edgewright.agent.clock import SYSTEM, Clock
from edgewright.agent.paths import RUN
from edgewright.agent.resident.child import Child
from edgewright.protocol.errors import EdgewrightError

IDLE_SECONDS = 20.0
_LEAST_SECONDS = 1.0  # who ends sooner has not waited for anybody, whatever its exit code
_BACKLOG = 16
LONGEST_PATH = 107  # of a unix socket's address


class DoorError(EdgewrightError):
    """This is nowhere to listen at; names the address and why."""

    code = "door.address"


class Door:
    """One listening socket. `command` is started with `--fd N --idle SECONDS` added to it."""

    __slots__ = (
        "_address",
        "_child",
        "_clock",
        "_command",
        "_failures",
        "_group",
        "_rests_until",
        "_socket",
        "_started",
    )

    def __init__(self, address: str, command: list[str], *, group: int = -1, clock: Clock = SYSTEM) -> None:
        """Prepare to listen at `address`: `host:port`, or `unix:/path` for the group with the id `group`."""
        self._address = address
        self._command = command
        self._group = group
        self._clock = clock
        self._socket: socket.socket | None = None
        self._child: Child | None = None
        self._started = 0.0
        self._failures = 0
        self._rests_until = 0.0

    @property
    def fd(self) -> int:
        """What becomes readable when there is something to do: a knock, or the end of who serves; else -1."""
        if self._child is not None:
            return self._child.fd
        return -1 if self._socket is None or self._rests else self._socket.fileno()

    @property
    def due(self) -> float:
        """When (monotonic) to look again without being told: after a rest."""
        return self._rests_until if self._rests else float("inf")

    @property
    def _rests(self) -> bool:
        return self._clock.monotonic() < self._rests_until

    def open(self) -> None:
        """Listen, if nobody does yet."""
        if self._socket is None and not self._rests:
            try:
                self._socket = _listen(self._address, self._group)
            except (OSError, DoorError) as error:
                self._failed(f"nobody can knock at {self._address}: {error}")

    def hear(self) -> None:
        """Do what is to be done when `fd` is readable."""
        if self._child is None:
            self._start()
        elif self._child.read() is None:
            child, self._child = self._child, None
            self._ended(child.reap())

    def close(self) -> None:
        """Listen no more and end who serves."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _start(self) -> None:
        assert self._socket is not None  # noqa: S101 - it has just been readable
        fd = self._socket.fileno()
        words = ["--fd", str(fd), "--idle", f"{IDLE_SECONDS:g}"]
        self._started = self._clock.monotonic()
        self._child = Child([*self._command, *words], handed=fd)

    def _ended(self, code: int) -> None:
        if code or self._clock.monotonic() - self._started < _LEAST_SECONDS:
            self._failed(f"who serves {self._address} ended with code {code}")
        else:
            self._failures = 0

    def _failed(self, why: str) -> None:
        if not self._failures:
            log.warning(why)
        self._failures += 1
        self._rests_until = self._clock.monotonic() + pause(self._failures, jitter())


def _listen(address: str, group: int) -> socket.socket:
    kind, _, path = address.partition(":")
    if kind == "unix":
        return _listen_at_path(path, group)
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():  # an empty host is every address of this machine
        raise DoorError("expected host:port or unix:/path")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _make_way(directory: str) -> None:
    """Make the directory of a socket, and let everybody pass through our own, whatever the umask was."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    found = os.stat(directory)
    if directory == RUN and found.st_uid == os.geteuid():
        os.chmod(directory, 0o755)  # noqa: S103 - the sockets in it have owners and groups of their own


def _listen_at_path(path: str, group: int) -> socket.socket:
    """Listen at a path that only its owner, and who is in `group`, can connect to.

    What lies there from before is in the way of a new socket; nobody serves it, as there is one watch only.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise DoorError(f"a socket's path has {LONGEST_PATH} bytes at most")
    _make_way(os.path.dirname(path))
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            os.unlink(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        made.bind(path)
        if group >= 0:
            os.chown(path, -1, group)
            os.chmod(path, 0o660)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made
