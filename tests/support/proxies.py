"""A way to a server that can be broken and mended: a proxy for streams, over TCP or unix sockets.

    with Proxy(("127.0.0.1", 5000)) as way:
        connect(way.address)
        way.gone()      # every connection breaks, new ones as well
        way.back()

A unix socket is gone as that of an engine that ended: there is no file. A TCP port stays ours, so that nobody
else can take it meanwhile; whoever connects is reset.
"""

import select
import socket
import struct
import threading
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
                        _carry(client, server)
            with self._lock:
                self._open -= {client, server}
            if self._is_gone:
                _reset(client)

    def _keep(self, connection: socket.socket) -> bool:
        with self._lock:
            if not self._is_gone:
                self._open.add(connection)
            return not self._is_gone


def _carry(one: socket.socket, other: socket.socket) -> None:
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
