"""Sends a file to an engine without holding it in memory, which the client for everything else would."""

import http.client
import os
import socket

from edgewright.agent.runtimes import EngineError, StorageFullError
from edgewright.agent.runtimes.files import tells_of_full_disk

MAX_ANSWER_BYTES = 64 * 1024


def upload(socket_path: str, target: str, path: str, *, timeout: float) -> None:
    """PUT the tar archive `path` to `target` at the engine; `timeout` (seconds) bounds every silence."""
    connection = _UnixConnection(socket_path, timeout)
    try:
        with open(path, "rb") as file:
            headers = {
                "Content-Type": "application/x-tar",
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            }
            connection.request("PUT", target, body=file, headers=headers)
            answer = connection.getresponse()
            told = answer.read(MAX_ANSWER_BYTES).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"container engine {socket_path}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        kind = StorageFullError if tells_of_full_disk(told) else EngineError
        raise kind(f"{socket_path}: PUT {target.partition('?')[0]}: {told}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
