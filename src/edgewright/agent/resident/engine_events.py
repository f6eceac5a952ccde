"""What a container engine says of our containers as it happens: a hint that something is to be looked at.

A subscription on the engine's socket, filtered there by our owner's label. It is read in the watch's one wait
and never blocks it. Nothing is decided by an event: it starts a round, which looks for itself; and what was
missed while there was no subscription is found by the round that follows a new one.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
import socket

from edgewright.agent import log
from edgewright.agent.backoff import jitter, pause
from edgewright.agent.clock import SYSTEM, Clock

# Docker's words and Podman's; `die` covers stops and kills.
_ENDINGS = ("die", "died", "destroy", "remove", "oom", "pause")
_HEALTH = "health_status"
_MAX_BYTES = 256 * 1024  # of one event, or of the answer's head


class EventsError(Exception):
    """The engine's answer is not a stream of events."""


class Events:
    """Takes an answer of HTTP/1.1 apart as it arrives and yields the events in it; no sockets, no clock."""

    __slots__ = ("_body", "_chunk", "_chunked", "_line", "_wire")

    def __init__(self) -> None:
        self._wire = b""
        self._line = b""
        self._body = False
        self._chunked = False
        self._chunk = 0

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """Take in what came; return the events that are whole now. Raises EventsError."""
        self._wire += data
        if not self._body and not self._read_head():
            return []
        self._line += self._unchunked()
        *lines, self._line = self._line.split(b"\n")
        if max(len(self._line), len(self._wire)) > _MAX_BYTES:
            raise EventsError("an event is larger than allowed")
        return [_parse(line) for line in lines if line.strip()]

    def _read_head(self) -> bool:
        head, end, rest = self._wire.partition(b"\r\n\r\n")
        if not end:
            if len(head) > _MAX_BYTES:
                raise EventsError("the head of the answer is larger than allowed")
            return False
        status, _, fields = head.partition(b"\r\n")
        if status[:9] != b"HTTP/1.1 " or status[9:12] != b"200":
            raise EventsError(f"it answered {status[:80].decode('ascii', 'replace')!r}")
        self._chunked = b"\r\ntransfer-encoding: chunked" in b"\r\n" + fields.lower()
        self._body, self._wire = True, rest
        return True

    def _unchunked(self) -> bytes:
        """Return the body that is in what came so far; what is left waits for more."""
        if not self._chunked:
            body, self._wire = self._wire, b""
            return body
        pieces = []
        while self._wire:
            if not self._chunk:
                line, end, rest = self._wire.partition(b"\r\n")
                if not end:
                    break
                self._chunk, self._wire = _size(line) + 2, rest
                continue
            piece, self._wire = self._wire[: self._chunk], self._wire[self._chunk :]
            self._chunk -= len(piece)
            line_end = max(2 - self._chunk, 0)  # of the two bytes behind a chunk, those that are here
            pieces.append(piece[: max(len(piece) - line_end, 0)])
        return b"".join(pieces)


def _size(line: bytes) -> int:
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        raise EventsError("a chunk has no size") from None
    if size <= 0:
        raise EventsError("the stream has ended")
    return size


def _parse(line: bytes) -> dict[str, object]:
    try:
        told = json.loads(line)
    except ValueError:
        raise EventsError("an event is not JSON") from None
    if not isinstance(told, dict):
        raise EventsError("an event is not an object")
    return told


def concerns(event: dict[str, object], label: str) -> bool:
    """Whether something that carries `label` ("name=value") may not run any more as it should."""
    name, _, value = label.partition("=")
    actor = event.get("Actor")
    attributes = actor.get("Attributes") if isinstance(actor, dict) else None
    if not isinstance(attributes, dict) or attributes.get(name) != value:
        return False
    action = str(event.get("Action") or event.get("status") or "")
    if not action.startswith(_HEALTH):
        return action in _ENDINGS
    # Docker says it in the action, Podman beside it: the word of before the check that made the event.
    word = action.partition(": ")[2] or str(event.get("HealthStatus") or "")
    return word != "healthy"


class EngineEvents:
    """One subscription, renewed when it ends; without an engine to listen to it does nothing.

    `fd` is what to wait for (-1 for nothing), `due` when (monotonic) to call `connect` again.
    """

    __slots__ = ("_clock", "_events", "_failures", "_health", "_label", "_missed", "_path", "_socket", "due")

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._path = ""
        self._label = ""
        self._health = True
        self._socket: socket.socket | None = None
        self._events = Events()
        self._failures = 0
        self._missed = False
        self.due = float("inf")

    @property
    def fd(self) -> int:
        """The descriptor that becomes readable when the engine says something; -1 while there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def listen_to(self, path: str, label: str, *, health: bool) -> None:
        """Listen to the engine behind the socket `path` for what carries `label`; at once if it is news.

        `health` is False where our own rounds run the health checks: their results are known there.
        """
        if (path, label, health) != (self._path, self._label, self._health):
            self.close()
            self._path, self._label, self._health = path, label, health
            self._failures, self._missed = 0, False
            self.due = 0.0

    def connect(self) -> None:
        """Subscribe if it is time to."""
        if self._socket is not None or self._clock.monotonic() < self.due:
            return
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.connect(self._path)
            made.sendall(_request(self._label, health=self._health))
        except OSError as error:
            made.close()
            self._failed(error.strerror or str(error))
            return
        self._socket, self._events = made, Events()
        self.due = float("inf")

    def hear(self) -> bool:
        """Take in what the engine says; return whether a round has to look.

        Also when the subscription has ended: the first thing heard of a new one is that nobody listened
        for a while.
        """
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(65536)
            if not data:
                raise EventsError("it ended the stream of events")
            events = self._events.feed(data)
        except BlockingIOError:
            return False
        except (OSError, EventsError) as error:
            self._failed(str(error))
            return False
        if self._failures:
            log.info(f"{self._path}: the engine tells its events again")
        self._failures = 0
        missed, self._missed = self._missed, False
        return missed or any(concerns(event, self._label) for event in events)

    def _failed(self, why: str) -> None:
        """Say once that nobody listens, and listen again later."""
        self.close()
        if not self._failures:
            log.warning(f"{self._path}: no events from the container engine: {why}")
        self._failures += 1
        self._missed = True
        self.due = self._clock.monotonic() + pause(self._failures, jitter())

    def close(self) -> None:
        """End the subscription."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _request(label: str, *, health: bool) -> bytes:
    wanted = [*_ENDINGS, _HEALTH] if health else _ENDINGS
    filters = json.dumps({"type": ["container"], "event": wanted, "label": [label]}, separators=(",", ":"))
    quoted = "".join(
        character if character.isalnum() and character.isascii() else f"%{byte:02X}"
        for character in filters
        for byte in character.encode()[:1]
    )
    return f"GET /events?filters={quoted} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode("ascii")
