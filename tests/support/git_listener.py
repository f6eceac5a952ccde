"""Talks to the Git listener byte by byte, as no program of Git's would."""

import base64
import os
import socket
import ssl
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from support.hosted import PASSWORD, Scene

LIST = "0014command=ls-refs\n0000"
GIT2 = "git-protocol: version=2\r\n"


class Wire:
    """A TLS connection to the Git listener, without a client certificate, for bytes as they are."""

    def __init__(self, scene: Scene) -> None:
        parts = urlsplit(scene.server.git_url)
        context = ssl.create_default_context(cafile=str(scene.authority))
        plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        self.socket = context.wrap_socket(plain, server_hostname=parts.hostname)
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, text: str | bytes) -> "Wire":
        """Send all of it, unless the server ends the connection before; its answer says why, then."""
        with suppress(ConnectionError):
            self.socket.sendall(text.encode("latin-1") if isinstance(text, str) else text)
        return self

    def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Read one answer that says its length."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return int(first.split()[1]), headers, body

    def is_at_end(self) -> bool:
        """Whether the server closes the connection, with nothing more to say."""
        return self._left == b"" and self.socket.recv(65536) == b""

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        assert piece, f"closed after {self._left!r}"
        self._left += piece


def shown(scene: Scene) -> str:
    """Return the header by which the device shows its password."""
    secret = base64.b64encode(f"{scene.name}:{PASSWORD}".encode()).decode()
    return f"authorization: Basic {secret}\r\n"


def fill(scene: Scene, size: int) -> None:
    """Have something large on the branch that the device fetches."""
    noise = os.urandom(size)
    blob = scene.bare.good("hash-object", "-w", "--stdin", data=noise)
    tree = scene.bare.good("mktree", data=f"100644 blob {blob}\tnoise\n".encode())
    head = scene.bare.good("commit-tree", "-m", "noise", "-p", "refs/heads/desired", tree)
    scene.bare.good("update-ref", "refs/heads/desired", head)


def fetching(scene: Scene) -> Wire:
    """Begin a fetch and do not read it; the server is answering when this returns."""
    head = scene.bare.good("rev-parse", "refs/heads/desired")
    body = f"0011command=fetch000100{len(head) + 10:02x}want {head}\n0009done\n0000".encode()
    wire = Wire(scene)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.send(
        f"POST /{scene.name}.git/git-upload-pack HTTP/1.1\r\nhost: x\r\n{shown(scene)}{GIT2}"
        f"content-type: application/x-git-upload-pack-request\r\ncontent-length: {len(body)}\r\n\r\n"
    ).send(body)
    assert wire.socket.recv(12) == b"HTTP/1.1 200"
    return wire
