"""A network of its own for a program: loopback alone, and one way out through this process.

Containers that come and go on this machine change its network, and whatever a browser is loading then
ends with ERR_NETWORK_CHANGED. In a network namespace of its own it sees none of that: the program is started
by a launcher that makes the namespace, opens a listening socket in it and hands that socket to us. We speak
SOCKS 5 on it and connect in the machine's own network. The namespace is gone when the program is.

    with OwnNetwork(folder, "/usr/bin/chromium") as network:
        start(network.launcher, ...)     # it gets --proxy-server=… as its last argument
        network.open()                   # False where namespaces may not be made: it runs as usual

There it has no address but 127.0.0.1 (navigator.onLine is false); all it asks for comes through us.

This file is also the launcher: own_network.py SOCKET PROGRAM ARGUMENT...
"""

import ctypes
import fcntl
import os
import shlex
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
_UP: Final = 0x1
_INTERFACE: Final = "16sh14x"
_OWN, _SHARED = b"own", b"shared"
_PATIENCE: Final = 60
"""Seconds that a program has to be started."""


class OwnNetwork:
    """Starts one program in a network of its own, and carries its connections out of it."""

    def __init__(self, folder: Path, program: str) -> None:
        self.launcher = folder / "launch"
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / "door"))
        self._door.listen(1)
        self._door.settimeout(_PATIENCE)
        self._listener: socket.socket | None = None
        self.launcher.write_text(
            "#!/bin/sh\nexec "
            + shlex.join([sys.executable, "-I", __file__, str(folder / "door"), program])
            + ' "$@"\n'
        )
        self.launcher.chmod(0o700)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)

    def open(self) -> bool:
        """Let the program that was just started out; return whether it has a network of its own."""
        with self._door.accept()[0] as launcher:
            word, handles, _, _ = socket.recv_fds(launcher, 16, 1)
        if word != _OWN:
            return False
        self._listener = socket.socket(fileno=handles[0])
        threading.Thread(target=_accept, args=(self._listener,), daemon=True).start()
        return True


def _accept(listener: socket.socket) -> None:
    with listener:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(client,), daemon=True).start()


def _serve(client: socket.socket) -> None:
    from support.proxies import carry  # not there in the launcher

    with client, suppress(OSError):
        try:
            server = socket.create_connection(_asked_for(client))
        except OSError:
            client.sendall(_answer(5))
            return
        with server:
            client.sendall(_answer(0))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            carry(client, server)


def _asked_for(client: socket.socket) -> tuple[str, int]:
    """Return the host and port a client of SOCKS 5 wants to be connected to."""
    _, methods = _receive(client, 2)
    _receive(client, methods)
    client.sendall(b"\x05\x00")
    _, command, _, kind = _receive(client, 4)
    if command != 1:
        raise OSError(f"SOCKS: command {command} is not known")
    if kind == 1:
        host = socket.inet_ntop(socket.AF_INET, _receive(client, 4))
    elif kind == 4:
        host = socket.inet_ntop(socket.AF_INET6, _receive(client, 16))
    else:
        host = _receive(client, _receive(client, 1)[0]).decode("ascii")
    return host, int.from_bytes(_receive(client, 2))


def _receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise OSError("SOCKS: the client ended")
        data += more
    return data


def _answer(code: int) -> bytes:
    return bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0])


def _leave_network() -> socket.socket:
    """Take this process into a network of its own; return a socket that listens in it."""
    ids = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_NEW_NETWORK if ids[0] == 0 else _NEW_USER | _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if ids[0] != 0:
        Path("/proc/self/setgroups").write_text("deny")
        for name, number in zip(("uid_map", "gid_map"), ids, strict=True):
            Path("/proc/self", name).write_text(f"{number} {number} 1")
    listener = socket.socket()
    loopback = b"lo"
    flags = struct.unpack(
        _INTERFACE, fcntl.ioctl(listener, _GET_FLAGS, struct.pack(_INTERFACE, loopback, 0))
    )[1]
    fcntl.ioctl(listener, _SET_FLAGS, struct.pack(_INTERFACE, loopback, flags | _UP))
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


def _launch(door: str, program: str, *arguments: str) -> None:
    added = []
    with socket.socket(socket.AF_UNIX) as us:
        us.connect(door)
        try:
            listener = _leave_network()
        except OSError:
            us.sendall(_SHARED)
        else:
            port = listener.getsockname()[1]
            added = [f"--proxy-server=socks5://127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>"]
            socket.send_fds(us, [_OWN], [listener.fileno()])
    os.execv(program, [program, *arguments, *added])


if __name__ == "__main__":
    _launch(*sys.argv[1:])
