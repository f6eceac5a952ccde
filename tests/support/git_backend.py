"""A Git server in the tests' own process: bare repositories behind `git http-backend` over TLS.

    with GitBackend(tmp_path / "git", authority) as backend:
        url = backend.make("edge-01")
        backend.needs = "Bearer secret"            # else nobody has to be known
        backend.answers = (429, {"retry-after": "120"})   # to everything, until it is None again
        backend.before_push = lambda: person.push()       # once, before a push is taken

What a real Git server of somebody else's does is in `git_servers.py`; this one can be told to be busy, to be
somebody else's for a moment, and to let a person be quicker.
"""

import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urlsplit

from support.certificates import Authority
from support.processes import own_environment


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    backend: "GitBackend"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the thread of the request, so that nobody waits for somebody else's."""
        try:
            secured = self.backend.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        with secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of the tests."""


class GitBackend:
    """Serves the repositories below `directory`; `requests` are method, path and status of what was asked."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.authority = authority
        self.needs: str | None = None
        self.answers: tuple[int, Mapping[str, str]] | None = None
        self.before_push: Callable[[], object] | None = None
        self.requests: list[tuple[str, str, int]] = []
        directory.mkdir(parents=True, exist_ok=True)
        files = authority.web_server().write(directory / ".tls", "web")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(files.certificate, files.key)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.backend = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ca(self) -> str:
        """The authority of its certificate, as PEM."""
        return self.authority.pem.decode()

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/{name}.git"

    def make(self, name: str) -> str:
        """Make an empty repository into which everybody may push whom the server lets in; return its URL."""
        path = self.path(name)
        self.git("init", "-q", "--bare", "-b", "desired", str(path))
        self.git("config", "http.receivepack", "true", at=path)
        return self.url(name)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.git"

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Run git on the server's side."""
        where = [] if at is None else ["--git-dir", str(at)]
        done = subprocess.run(
            ["git", *where, *arguments], capture_output=True, text=True, check=False, env=_environment()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; `requests` has it."""

    def _serve(self, body: bytes) -> None:
        backend = cast(_Server, self.server).backend
        if backend.answers is not None:
            self._answer(backend.answers[0], backend.answers[1], b"busy")
        elif backend.needs is not None and self.headers.get("authorization") != backend.needs:
            self._answer(401, {"www-authenticate": 'Basic realm="git"'}, b"who are you?")
        else:
            parts = urlsplit(self.path)
            if self.command == "POST" and parts.path.endswith("/git-receive-pack") and backend.before_push:
                quicker, backend.before_push = backend.before_push, None
                quicker()
            status, headers, answer = self._backend(backend, parts.path, parts.query, body)
            self._answer(status, headers, answer)

    def _backend(
        self, backend: GitBackend, path: str, query: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env=_environment(
                GIT_PROJECT_ROOT=str(backend.directory),
                GIT_HTTP_EXPORT_ALL="1",
                PATH_INFO=path,
                QUERY_STRING=query,
                REQUEST_METHOD=self.command,
                CONTENT_TYPE=self.headers.get("content-type", ""),
                CONTENT_LENGTH=str(len(body)),
                HTTP_CONTENT_ENCODING=self.headers.get("content-encoding", ""),
                GIT_PROTOCOL=self.headers.get("git-protocol", ""),
                REMOTE_USER="somebody",
            ),
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n") if line]
        headers = {name.lower(): value for name, _, value in lines}
        status = int(headers.pop("status", "200 OK").split()[0])
        return status, headers, answer

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline().strip(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        cast(_Server, self.server).backend.requests.append((self.command, self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Person:
    """Somebody with a clone of a repository, who edits, commits and pushes as people do."""

    def __init__(self, folder: Path, backend: GitBackend, name: str, author: str = "Ada Lovelace") -> None:
        self.folder = folder
        self.author = author
        self._environment = _environment(
            GIT_SSL_CAINFO=str(folder.with_name(f"{folder.name}-ca.pem")),
            GIT_AUTHOR_NAME=author,
            GIT_AUTHOR_EMAIL="ada@example.org",
            GIT_COMMITTER_NAME=author,
            GIT_COMMITTER_EMAIL="ada@example.org",
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        Path(self._environment["GIT_SSL_CAINFO"]).write_text(backend.ca)
        self._header: tuple[str, ...] = ()
        if backend.needs is not None:
            self._header = ("-c", f"http.extraHeader=Authorization: {backend.needs}")
        self._run("clone", "-q", "-b", "desired", backend.url(name), str(folder), at=folder.parent)

    def git(self, *arguments: str) -> str:
        """Run git in the clone; it has to succeed."""
        return self._run(*arguments, at=self.folder)

    def change(self, files: Mapping[str, str | bytes | None], message: str = "by hand", *options: str) -> str:
        """Commit these files (None: removed) and return the commit; nothing is pushed."""
        for path, content in files.items():
            file = self.folder / path
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "-m", message, *options)
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        """Have what is on the server, and nothing else."""
        self.git("fetch", "-q", "origin", "desired")
        self.git("reset", "-q", "--hard", "FETCH_HEAD")

    def push(self, *options: str) -> None:
        self.git("push", "-q", *options, "origin", "HEAD:desired")

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def _run(self, *arguments: str, at: Path) -> str:
        done = subprocess.run(
            ["git", *self._header, *arguments],
            cwd=at,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def _environment(**more: str) -> dict[str, str]:
    return (
        own_environment(
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_TERMINAL_PROMPT="0",
            HOME=os.devnull,
            GIT_AUTHOR_NAME="server",
            GIT_AUTHOR_EMAIL="server@example.org",
            GIT_COMMITTER_NAME="server",
            GIT_COMMITTER_EMAIL="server@example.org",
        )
        | more
    )
