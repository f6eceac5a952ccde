"""The demo's application: its files, made to name the registry at hand, and its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgewright.cli.demo.images import MANIFEST_TYPE, Image, find_busybox, image
from edgewright.cli.folder import read_folder
from edgewright.net.oci import RegistryClient

HELLO = Path(__file__).parent / "hello"
VERSIONS = ("1.0.0", "2.0.0")
WRITTEN_FOR = "localhost:5000"  # the registry that the files name, where Debian's docker-registry listens


def copy_for(registry: str, target: Path) -> None:
    """Write the application's packages and components to `target`, naming `registry` (host:port)."""
    for version in VERSIONS:
        for path, (content, mode) in read_folder(HELLO / version).items():
            copy = target / version / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content.replace(WRITTEN_FOR.encode(), registry.encode()))
            copy.chmod(mode)


def hello_images() -> Iterator[tuple[str, str, Image]]:
    """Yield (repository, tag, image) of every image the application needs, for this machine's processor."""
    busybox = find_busybox()
    for folder in sorted((HELLO / "images").iterdir()):
        name, _, tag = folder.name.partition("-")
        yield f"hello/{name}", tag, image(_runnable(read_folder(folder)), busybox, title=f"hello {name}")


def push_images(client: RegistryClient) -> list[str]:
    """Put the application's images into a registry; return their references."""
    pushed = []
    for repository, tag, built in hello_images():
        for blob in built.blobs.values():
            client.push_blob(repository, blob)
        client.push_manifest(repository, tag, built.manifest, MANIFEST_TYPE)
        pushed.append(f"{client.host}/{repository}:{tag}")
    return pushed


def _runnable(files: dict[str, tuple[bytes, int]]) -> dict[str, tuple[bytes, int]]:
    """Return `files` with everything that is a script executable, however the package was unpacked."""
    return {
        path: (content, 0o755 if content.startswith(b"#!") else mode)
        for path, (content, mode) in files.items()
    }
