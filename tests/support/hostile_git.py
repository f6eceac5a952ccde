"""A Git server that may lie: smart HTTP over TLS, on real repositories, with tricks between.

    with HostileGit(tmp_path / "repositories", authority) as server:
        server.trick = Cut("fetch", share=0.5)
        …
        server.requests       # what was asked, in words: "refs", "ls-refs", "fetch", "push refs", "push"

Without a trick it is honest. A trick may be put in and taken away at any time; it counts from the next
request. What a repository itself has of lies (rewound, forged, oversized) is made with `support.git_fleet`.
"""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from support.certificates import Authority
from support.git_servers import Access, Credentials
from support.processes import own_environment, wait_until

BLOCK = 1 << 16


@dataclass(slots=True)
class Answer:
    """An answer on its way: `pieces` are sent one by one, as a chunked body unless there is a length."""

    status: int
    headers: dict[str, str]
    pieces: Iterator[bytes]


class Trick(Protocol):
    """What is done to the answers of some requests; None where it has nothing to do with one."""

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None: ...


@dataclass(frozen=True, slots=True)
class Say:
    """Answer `what` (or everything) with just this."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    what: str | None = None

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if self.what not in (None, what):
            return None
        length = {"Content-Length": str(len(self.body))}
        return Answer(self.status, {**length, **self.headers}, iter([self.body]))


@dataclass(frozen=True, slots=True)
class Cut:
    """Say how long the answer to `what` is, send the first `share` of it, and hang up."""

    what: str
    share: float = 0.5

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if what != self.what:
            return None
        part = honest[: int(len(honest) * self.share)]
        return Answer(200, {**_type(what), "Content-Length": str(len(honest))}, iter([part]))


@dataclass(frozen=True, slots=True)
class Stall:
    """Send the first `first` bytes of the answer to `what` and then nothing, the connection being open."""

    what: str
    first: int = 10

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if what != self.what:
            return None

        def pieces() -> Iterator[bytes]:
            yield honest[: self.first]
            over.wait()

        return Answer(200, {**_type(what), "Content-Length": str(len(honest))}, pieces())


@dataclass(frozen=True, slots=True)
class Trickle:
    """Send the answer to `what` byte by byte, `pause` seconds apart."""

    what: str
    pause: float = 0.2

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if what != self.what:
            return None

        def pieces() -> Iterator[bytes]:
            for place in range(len(honest)):
                yield honest[place : place + 1]
                if over.wait(self.pause):
                    return

        return Answer(200, {**_type(what), "Content-Length": str(len(honest))}, pieces())


@dataclass(frozen=True, slots=True)
class Endless:
    """Answer `what` with the honest beginning up to `after`, then `first`, then `piece` without end."""

    what: str
    piece: bytes
    after: bytes = b""
    first: bytes = b""

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if what != self.what:
            return None

        def pieces() -> Iterator[bytes]:
            yield honest[: honest.index(self.after) + len(self.after)] if self.after else b""
            yield self.first
            block = self.piece * max(1, BLOCK // len(self.piece))
            while not over.is_set():
                yield block

        return Answer(200, _type(what), pieces())


@dataclass(frozen=True, slots=True)
class Garble:
    """Change one byte in the middle of the answer to `what`."""

    what: str

    def play(self, what: str, honest: bytes, over: threading.Event) -> Answer | None:
        if what != self.what:
            return None
        middle = len(honest) // 2
        changed = honest[:middle] + bytes([honest[middle] ^ 0xFF]) + honest[middle + 1 :]
        return Answer(200, {**_type(what), "Content-Length": str(len(changed))}, iter([changed]))


def packet(text: str | bytes) -> bytes:
    """Return a pkt-line (gitprotocol-common(5))."""
    data = text.encode() if isinstance(text, str) else text
    return f"{len(data) + 4:04x}".encode() + data


def refs(**branches: str) -> bytes:
    """Return an answer to `ls-refs`: commit ids by branch, whether there is such a commit or not."""
    lines = [packet(f"{commit} refs/heads/{branch}\n") for branch, commit in branches.items()]
    return b"".join(lines) + b"0000"


def endless_pack() -> Endless:
    """Return a pack of one file that has no end; all of it is right as far as it goes."""
    size, header = 1 << 40, bytearray([0xB0 | (1 << 40) & 0x0F])  # a blob, its size in groups of 7 bits
    size >>= 4
    while size:
        header.append(0x80 | size & 0x7F)
        size >>= 7
    header[-1] &= 0x7F
    first = b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(header) + b"\x78\x01"
    stored = b"\x00\x00\x80\xff\x7f" + noise(1 << 15)  # a block of deflate that is not compressed
    return Endless("fetch", packet(b"\x01" + stored), b"packfile\n", packet(b"\x01" + first))


class HostileGit:
    """The server; `trick` may be set at any time. `sent` counts the bytes of bodies, `asked` the requests."""

    def __init__(self, repositories: Path, authority: Authority) -> None:
        self.repositories = repositories
        self.trick: Trick | None = None
        self.requests: list[str] = []
        self.sent = 0
        self._directory = Path(tempfile.mkdtemp(prefix="edgewright-hostile-"))
        self._authority = authority
        self._over = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        files = self._authority.web_server().write(self._directory, "web")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        self._server = _Server(self, context)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._directory)

    def access(self, name: str) -> Access:
        """Return how to get at repository `name`."""
        assert self._server is not None
        credentials = Credentials(self._directory / "credentials", self._authority)
        url = f"https://127.0.0.1:{self._server.server_address[1]}/{name}.git"
        return Access(url, credentials.ca())

    def asked(self, what: str) -> int:
        """Return how often `what` was asked so far."""
        return self.requests.count(what)

    def wait_for(self, what: str, more: int = 1) -> None:
        """Return when `what` was asked `more` times more."""
        wanted = self.asked(what) + more
        wait_until(
            lambda: self.asked(what) >= wanted, what=f"{more} more times {what}: {self.requests[-20:]}"
        )

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request, with a trick where there is one for it."""
        parts = urlsplit(target)
        what = _what(method, parts.path, parts.query, body)
        trick = self.trick
        status, content_type, honest = self._honest(method, parts.path, parts.query, headers, body)
        played = None if trick is None else trick.play(what, honest, self._over)
        self.requests.append(what)
        if played is not None:
            return played
        length = {"Content-Type": content_type, "Content-Length": str(len(honest))}
        return Answer(status, length, iter([honest]))

    def _honest(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        environment = own_environment(
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_PROJECT_ROOT=str(self.repositories),
            GIT_HTTP_EXPORT_ALL="1",
            REQUEST_METHOD=method,
            PATH_INFO=path,
            QUERY_STRING=query,
            CONTENT_TYPE=headers.get("content-type", ""),
            CONTENT_LENGTH=str(len(body)),
            REMOTE_USER="device",
            GIT_PROTOCOL=headers.get("git-protocol", ""),
            HTTP_CONTENT_ENCODING=headers.get("content-encoding", ""),
        )
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, check=False, env=environment
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        status = int(told.get("Status", "200").split()[0])
        return status, told.get("Content-Type", "text/plain"), content


def _what(method: str, path: str, query: str, body: bytes) -> str:
    if method == "GET":
        return "push refs" if "git-receive-pack" in query else "refs"
    if path.endswith("git-receive-pack"):
        return "push"
    return "ls-refs" if b"command=ls-refs" in body else "fetch"


def _type(what: str) -> dict[str, str]:
    kinds = {
        "refs": "application/x-git-upload-pack-advertisement",
        "push refs": "application/x-git-receive-pack-advertisement",
        "push": "application/x-git-receive-pack-result",
    }
    return {"Content-Type": kinds.get(what, "application/x-git-upload-pack-result")}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: HostileGit, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self.context = context

    def get_request(self) -> tuple[Any, Any]:
        accepted, address = super().get_request()
        accepted.settimeout(60)
        wrapped = self.context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.owner.answer(self.command, self.path, headers, self._body(headers))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        is_chunked = "Content-Length" not in answer.headers
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        told = 0
        with suppress(OSError):
            for piece in answer.pieces:
                told += len(piece)
                self.server.owner.sent += len(piece)
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
                    self.wfile.flush()
            if not is_chunked and told == int(answer.headers["Content-Length"]):
                return
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(headers.get("content-length", 0)))

    do_GET = do_POST = handle_any  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def noise(size: int) -> bytes:
    """Return bytes that do not compress."""
    return os.urandom(size)
