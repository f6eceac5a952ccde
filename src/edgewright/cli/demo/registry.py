"""The demo's own registry: docker-registry on a free loopback port, its files in the demo's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgewright.cli.demo.processes import Background, free_port
from edgewright.cli.errors import UsageError
from edgewright.net.oci import RegistryClient, RegistryError
from edgewright.protocol import yaml

START_SECONDS = 20.0
PROGRAMS = ("docker-registry", "registry")


def find_program() -> str:
    """Return the registry program; raises UsageError saying how to get one."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise UsageError(
        "the demo brings its own registry, and there is no docker-registry here;\n"
        "on Debian or Ubuntu: apt-get install docker-registry"
    )


@contextmanager
def open_registry(folder: Path) -> Iterator[str]:
    """Yield `localhost:PORT` of a registry that answers; it ends with the block."""
    program = find_program()
    port = free_port()
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "registry.yml").write_bytes(yaml.dump(settings))
    words = [program, "serve", str(folder / "registry.yml")]
    # The program takes every variable of that beginning for configuration.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("REGISTRY_")}
    process = Background("the registry", words, folder / "registry.log", environment)
    try:
        host = f"localhost:{port}"
        process.wait_for(lambda: _answering(host), what="no answer", timeout=START_SECONDS)
        yield host
    finally:
        process.stop()


def _answering(host: str) -> bool | None:
    with RegistryClient(host, timeout=2.0) as client:
        try:
            client.ping()
        except RegistryError:
            return None
    return True
