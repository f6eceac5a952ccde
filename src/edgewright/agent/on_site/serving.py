"""Serving a listening socket that was handed over, until nobody asks for anything any more.

The watch keeps the socket and starts such a process when somebody knocks (`doors.py`); here it is served by a
thread a connection. Who comes while it ends is not lost: the connection waits in the socket, and the watch
starts the next process for it.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from edgewright.agent import log
from edgewright.protocol.errors import EdgewrightError

CONNECTIONS: Final = 32
"""At work at the same time; more wait in the socket. Each ends by its deadline, so nobody waits for ever."""

Handle = Callable[[socket.socket], None]


def serve(listener: socket.socket, handle: Handle, *, idle: float) -> None:
    """Call `handle` with every connection, each in a thread; return after `idle` seconds without one."""
    free = threading.BoundedSemaphore(CONNECTIONS)
    busy: set[threading.Thread] = set()

    def work(connection: socket.socket) -> None:
        try:
            with connection:
                handle(connection)
        except OSError as error:
            log.info(f"a connection ended: {error}")
        finally:
            free.release()

    listener.setblocking(False)
    last = time.monotonic()
    while True:
        busy = {each for each in busy if each.is_alive()}
        left = last + idle - time.monotonic()
        if left <= 0 and not busy:
            return
        readable, _, _ = select.select([listener], [], [], max(left, 0.1))
        if not readable:
            continue
        last = time.monotonic()
        free.acquire()
        connection = _accepted(listener)
        if connection is None:
            free.release()
            continue
        thread = threading.Thread(target=work, args=(connection,), daemon=True)
        busy.add(thread)
        thread.start()


def _accepted(listener: socket.socket) -> socket.socket | None:
    """Return the next connection, None when whoever knocked has gone again."""
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    connection.setblocking(True)
    return connection


class WordsError(EdgewrightError):
    """The process was started with words it does not know."""

    code = "usage.invalid"


class Words:
    """What such a process is told: `--state DIR --fd N --idle SECONDS [--config FILE] [--policy FILE]`."""

    def __init__(self, words: Sequence[str]) -> None:
        told = dict(zip(words[::2], words[1::2], strict=False))
        missing = {"--state", "--fd", "--idle"} - told.keys()
        if len(words) % 2 or missing:
            raise WordsError(f"expected {', '.join(sorted(missing)) or 'pairs of words'}")
        self.state = told["--state"]
        self.fd = int(told["--fd"])
        self.idle = float(told["--idle"])
        self.config = told.get("--config")
        self.policy = told.get("--policy")
