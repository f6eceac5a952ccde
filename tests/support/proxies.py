"""Ways to a server: a proxy for streams that can be broken and mended, and one that is asked by CONNECT.

    with Proxy(("127.0.0.1", 5000)) as way:
        connect(way.address)
        way.gone()      # every connection breaks, new ones as well
        way.back()

    with ConnectProxy() as proxy:
        use(proxy.url)
        assert proxy.asked == ["127.0.0.1:5000"]

A unix socket is gone as that of an engine that ended: there is no file. A TCP port stays ours, so that nobody
else can take it meanwhile; whoever connects is reset.
"""

import select
import socket
import struct
import threading
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Self

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""
_RESET = struct.pack("ii", 1, 0)
_BLOCK = 1 << 16


class Proxy:
    """Carries streams between `address` and the server at `upstream`."""

    def __init__(self, upstream: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self.upstream = upstream
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_gone = False
        self._listener: socket.socket | None = None
        self.address = self._listen(listen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gone()
        if self._listener is not None:
            _end(self._listener)

    @property
    def host(self) -> str:
        """`host:port` of a TCP proxy."""
        assert not isinstance(self.address, str)
        return f"{self.address[0]}:{self.address[1]}"

    def gone(self) -> None:
        """Break what is connected, and whatever connects from now on."""
        with self._lock:
            self._is_gone = True
            connections, self._open = self._open, set()
        if isinstance(self.address, str) and self._listener is not None:
            Path(self.address).unlink()
            _end(self._listener)
            self._listener = None
        for each in connections:
            _end(each)

    def back(self) -> None:
        """Let everything through again."""
        self._is_gone = False
        if self._listener is None:
            self._listen(self.address)

    def _listen(self, address: Address) -> Address:
        listener = socket.socket(_family(address))
        listener.bind(address)
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return address if isinstance(address, str) else listener.getsockname()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                listener.close()
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(_family(self.upstream))
        with client, server:
            if self._keep(client):
                with suppress(OSError):
                    server.connect(self.upstream)
                    if self._keep(server):
                        carry(client, server)
            with self._lock:
                self._open -= {client, server}
            if self._is_gone:
                _reset(client)

    def _keep(self, connection: socket.socket) -> bool:
        with self._lock:
            if not self._is_gone:
                self._open.add(connection)
            return not self._is_gone


class ConnectProxy:
    """An HTTP proxy of a site: it knows CONNECT alone (RFC 9110, 9.3.6), and may want a password.

    `asked` are the targets of all requests, `shown` the credentials that came with them, None without. As
    long as there is an `answer` (status line and headers) every request gets just that.
    """

    def __init__(self, *, credentials: str | None = None) -> None:
        self.asked: list[str] = []
        self.shown: list[str | None] = []
        self.answer: str | None = None
        self._wanted = None if credentials is None else b64encode(credentials.encode()).decode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._credentials = credentials

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self._listener.close()

    @property
    def url(self) -> str:
        """Its URL, with the credentials it wants."""
        before = "" if self._credentials is None else f"{self._credentials}@"
        return f"http://{before}127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, ValueError):
            client.settimeout(30)
            head = _read_head(client)
            method, target, _ = head[0].split(" ")
            shown = [
                line.split(" ")[-1] for line in head if line.lower().startswith("proxy-authorization: basic ")
            ]
            self.asked.append(target)
            self.shown.append(shown[0] if shown else None)
            if self.answer is not None:
                client.sendall(
                    f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )
            elif method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            elif self._wanted is not None and shown != [self._wanted]:
                client.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=site\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
            else:
                host, port = target.rsplit(":", 1)
                with socket.create_connection((host, int(port)), 30) as server:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    client.settimeout(None)
                    server.settimeout(None)
                    carry(client, server)


def _read_head(connection: socket.socket) -> list[str]:
    """Return the lines of a request's head; nothing after it is taken from the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ValueError("no request")
        head += byte
    return head.decode("latin-1").splitlines()


def carry(one: socket.socket, other: socket.socket) -> None:
    """Carry both ways until both ends have said everything."""
    to = {one: other, other: one}
    while to:
        ready, _, _ = select.select(list(to), [], [])
        for each in ready:
            data = each.recv(_BLOCK)
            if data:
                to[each].sendall(data)
            else:
                to.pop(each).shutdown(socket.SHUT_WR)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_UNIX if isinstance(address, str) else socket.AF_INET


def _reset(connection: socket.socket) -> None:
    """Let closing it be an abrupt end."""
    with suppress(OSError):
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _end(connection: socket.socket) -> None:
    """End a connection, or listening, that a thread of ours waits at; that thread closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
