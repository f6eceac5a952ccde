"""The processes that the watch hands a listening socket to, started the same way."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.site_scene import Scene


@contextmanager
def served(
    module: str, scene: Scene, listener: socket.socket, *, idle: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `edgewright.agent.<module>` on `listener`; what it says is in `<module>.log` beside the state."""
    command = [sys.executable, "-I", "-m", f"edgewright.agent.{module}", "--state", scene.paths.root]
    words = ["--fd", str(listener.fileno()), "--idle", str(idle), "--policy", str(scene.policy)]
    with Path(scene.paths.root, f"{module}.log").open("wb") as log:
        process = subprocess.Popen([*command, *words], pass_fds=[listener.fileno()], stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def listening(address: str | None = None) -> Iterator[socket.socket]:
    """Listen on a port of loopback, or at a path."""
    with socket.socket(socket.AF_UNIX if address else socket.AF_INET) as listener:
        listener.bind(address or ("127.0.0.1", 0))
        listener.listen()
        yield listener
