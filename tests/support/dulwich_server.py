"""The server of dulwich over HTTPS, as a program: `dulwich_server.py SETTINGS`.

The settings are a JSON file with `repositories`, `certificate`, `key`, `port_file` (where the port is
written), and `wanted`: what the header Authorization has to be, by the first part of the path. It is a
process of its own because dulwich leaves files open.
"""

import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain


class OneFolder(Backend):
    """Every repository below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_repository(self, path: str | bytes) -> Repo:
        return Repo(str(self._folder / os.fsdecode(path).strip("/")))


class TlsServer(WSGIServer):
    """A thread per connection: a device keeps its own open."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(("127.0.0.1", 0), WSGIRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        # A client that is killed or refuses us is what these tests are about.
        with suppress(OSError):
            request.settimeout(30)
            with self._context.wrap_socket(request, server_side=True) as wrapped:
                self.finish_request(wrapped, client_address)
                wrapped.unwrap()


def guarded(inner: Callable[..., Iterable[bytes]], wanted: dict[str, str]) -> Callable[..., Iterable[bytes]]:
    """Return `inner` behind credentials; `/KIND/NAME.git` becomes `/NAME.git`."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kind, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
        if kind in wanted and environ.get("HTTP_AUTHORIZATION") != wanted[kind]:
            scheme = "Basic realm=git" if kind == "basic" else "Bearer"
            start_response("401 Unauthorized", [("WWW-Authenticate", scheme), ("Content-Length", "0")])
            return []
        return inner({**environ, "PATH_INFO": f"/{rest}"}, start_response)

    return answer


def main(settings_file: str) -> None:
    """Serve until the end."""
    settings = json.loads(Path(settings_file).read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    server = TlsServer(context)
    server.set_app(guarded(make_wsgi_chain(OneFolder(Path(settings["repositories"]))), settings["wanted"]))
    port_file = Path(settings["port_file"])
    unfinished = port_file.with_suffix(".new")
    unfinished.write_text(str(server.server_address[1]))
    unfinished.replace(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
