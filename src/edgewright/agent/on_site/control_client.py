"""Asking the agent: over its control socket, or on its state directory where one may and nobody serves it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from edgewright.agent.on_site.control import VIA, user_name
from edgewright.agent.on_site.desk import open_desk
from edgewright.agent.paths import Paths
from edgewright.protocol.errors import EdgewrightError

_SECONDS: Final = 30.0


class ControlError(EdgewrightError):
    """The agent of this machine could not be asked."""

    code = "control.unreachable"


class RefusedRequestError(EdgewrightError):
    """The agent refused what it was asked for; `code` is the one it gave."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def ask(paths: Paths, request: Mapping[str, Any], *, policy: str | None = None) -> dict[str, Any]:
    """Return the agent's answer to `request`. Raises EdgewrightError when it is refused or nobody is there.

    The socket is asked first: files that this user makes in a directory of another one would be in its way.
    """
    refusal: ControlError | None = None
    for path in paths.control_sockets:
        try:
            connection = _connected(path)
        except ControlError as error:
            refusal = error
            continue
        if connection is not None:
            with connection:
                return _asked(connection, path, request)
    if may_write(paths):
        uid = os.getuid()
        with open_desk(paths, policy, via=VIA, uid=uid) as desk:
            return desk.answer({**request, "by": request.get("by") or user_name(uid)})
    raise refusal or ControlError(
        f"{paths.root}: you may not use this directory, and no agent answers for it;"
        " is it running, with 'control: group' in its agent.yaml?"
    )


def may_write(paths: Paths) -> bool:
    """Whether this user may use the state directory itself; also where there is none, to be told so."""
    try:
        os.stat(paths.root)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return os.access(paths.root, os.R_OK | os.W_OK | os.X_OK)


def _connected(path: str) -> socket.socket | None:
    """Return a connection to the socket at `path`, None where nobody listens."""
    if not os.path.exists(path):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_SECONDS)
    try:
        connection.connect(path)
    except PermissionError:
        connection.close()
        raise ControlError(
            f"{path}: you may not use it; whoever is in its group may (agent.yaml: control, group)"
        ) from None
    except OSError:
        connection.close()
        return None
    return connection


def _asked(connection: socket.socket, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        connection.sendall(json.dumps(request).encode("ascii") + b"\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            answer = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise ControlError(f"{path}: the agent gave no answer: {error}") from None
    if "error" in answer:
        raise RefusedRequestError(str(answer["error"]["code"]), str(answer["error"]["message"]))
    return dict(answer)
