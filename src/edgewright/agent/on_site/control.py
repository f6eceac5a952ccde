"""The control socket: what a person at this machine asks of the agent, without rights on its files.

    python -I -m edgewright.agent.on_site.control --state DIR --fd N --idle SECONDS [--policy FILE]

One request a line, one answer a line, both JSON (docs/reference/control-socket.md). Who may connect is a
matter of the socket's group; who it was is told by the kernel, and written down. The watch hands the socket
over when somebody connects, and the process ends when nobody has for a while.
"""

from __future__ import annotations

import functools
import json
import pwd
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgewright.agent import log
from edgewright.agent.on_site.desk import RequestError, open_desk
from edgewright.agent.on_site.serving import Words, serve
from edgewright.agent.paths import Paths
from edgewright.protocol.errors import EdgewrightError

VIA: Final = "command line"
MAX_LINE_BYTES: Final = 64 * 1024
SECONDS_A_LINE: Final = 15.0
_CREDENTIALS: Final = struct.Struct("3i")


def main(arguments: list[str]) -> int:
    """Serve until nobody asks any more; return the exit code."""
    try:
        words = Words(arguments)
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    with socket.socket(fileno=words.fd) as listener:
        serve(listener, functools.partial(handle, Paths(words.state), words.policy), idle=words.idle)
    return 0


def handle(paths: Paths, policy: str | None, connection: socket.socket) -> None:
    """Answer the requests that come on `connection`, until it is closed or says nothing for a while."""
    uid = peer(connection)
    for line in lines(connection):
        answer = respond(paths, policy, line, uid)
        connection.settimeout(SECONDS_A_LINE)
        connection.sendall(json.dumps(answer, ensure_ascii=True).encode("ascii") + b"\n")


def respond(paths: Paths, policy: str | None, line: bytes, uid: int) -> Mapping[str, Any]:
    """Return the answer to one line from the user `uid`; an `error` has a code and a message."""
    try:
        request = parse(line)
        with open_desk(paths, policy, via=VIA, uid=uid) as desk:
            return desk.answer({**request, "by": request.get("by") or user_name(uid)})
    except EdgewrightError as error:
        return _error(error.code, str(error))
    except Exception:  # one request that fails must not take the others with it
        log.error(f"a request to the control socket failed: {traceback.format_exc()}")
        return _error(EdgewrightError.code, "the agent failed to answer; its log tells why")


def _error(code: str, message: str) -> Mapping[str, Any]:
    return {"error": {"code": code, "message": message}}


def parse(line: bytes) -> dict[str, Any]:
    """Return the request a line holds. Raises RequestError."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError("expected one JSON object on a line") from None
    if not isinstance(request, dict):
        raise RequestError("expected one JSON object on a line")
    return request


def lines(connection: socket.socket) -> Iterator[bytes]:
    """Yield the lines that come in; end when it is closed, or a line takes too long or is too large."""
    data = bytearray()
    deadline = time.monotonic() + SECONDS_A_LINE
    while True:
        line, newline, rest = data.partition(b"\n")
        if newline:
            yield bytes(line)
            data, deadline = bytearray(rest), time.monotonic() + SECONDS_A_LINE
            continue
        left = deadline - time.monotonic()
        if left <= 0 or len(data) > MAX_LINE_BYTES:
            return
        connection.settimeout(left)
        try:
            more = connection.recv(4096)
        except TimeoutError:
            return
        if not more:
            return
        data += more


def peer(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(told)
    return int(uid)


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
