"""Container images made in memory from Debian's static busybox, and pushed by a few HTTP requests.

There is no registry to pull from on a machine without internet, so every image the tests and the demo
run is built here. Building is deterministic: the same content is the same digest everywhere. The push
is the tests' own on purpose: it must not share an error with the registry client under test.
"""

import base64
import functools
import gzip
import hashlib
import http.client
import io
import json
import ssl
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image for this machine's architecture: the exact bytes of its three parts."""

    manifest: bytes
    config: bytes
    layer: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    """How to reach a registry: `host` is `address:port`; with a `ca` file it speaks TLS."""

    host: str
    ca: str | None = None
    username: str | None = None
    password: str | None = None
    # The engines that pull from it without further set-up ("docker", "podman").
    trusted_by: tuple[str, ...] = field(default=())


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@functools.cache
def _applets(busybox: Path) -> tuple[str, ...]:
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return tuple(sorted(set(listing.stdout.split()) - {"busybox"}))


def _entry(name: str, kind: bytes, *, mode: int = 0o755, size: int = 0, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, size, target
    return entry


def _layer(busybox: Path, files: Mapping[str, bytes]) -> bytes:
    """Return the tar of the whole root file system: busybox, its applets and `files`."""
    folders = {"bin", "data", "etc", "tmp", "www"}
    for path in files:
        parents = path.strip("/").split("/")[:-1]
        folders |= {"/".join(parents[:depth]) for depth in range(1, len(parents) + 1)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(folders):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755))
        program = busybox.read_bytes()
        tar.addfile(_entry("bin/busybox", tarfile.REGTYPE, size=len(program)), io.BytesIO(program))
        for applet in _applets(busybox):
            tar.addfile(_entry(f"bin/{applet}", tarfile.SYMTYPE, target="busybox"))
        accounts = b"root:x:0:0:root:/:/bin/sh\n"
        for path, content in sorted({"etc/passwd": accounts, **files}.items()):
            tar.addfile(_entry(path.strip("/"), tarfile.REGTYPE, size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


def busybox_image(
    busybox: Path,
    *,
    command: Sequence[str],
    files: Mapping[str, bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Image:
    """Return an image that runs `command`; `files` (executable, absolute path to content) lie in it."""
    tar = _layer(busybox, files or {})
    layer = gzip.compress(tar, compresslevel=6, mtime=0)
    config: dict[str, Any] = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {
            "Cmd": list(command),
            "Env": ["PATH=/bin", *(f"{name}={value}" for name, value in (environment or {}).items())],
            "Labels": dict(labels or {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
    }
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config_bytes), "size": len(config_bytes)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": digest_of(layer), "size": len(layer)}],
    }
    return Image(manifest=json.dumps(manifest).encode(), config=config_bytes, layer=layer)


def _architecture() -> str:
    import platform

    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def web_image(busybox: Path, *, page: str = "", script: str = "") -> Image:
    """Return an image that answers HTTP on port 8080.

    `/` answers `page`; `/cgi-bin/environment` answers every environment variable, one a line, so that
    a test sees what a container was really given; `/cgi-bin/data` answers and `?text` appends to the
    file /data/log. `script` runs first, in the foreground, and its failure ends the container.
    """
    start = f"#!/bin/sh\nset -e\n{script}\nexec httpd -f -p 8080 -h /www\n"
    environment = (
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\ncat /proc/1/environ | tr '\\0' '\\n'\n"
    )
    data = (
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
        '[ -z "$QUERY_STRING" ] || echo "$QUERY_STRING" >>/data/log\n[ ! -e /data/log ] || cat /data/log\n'
    )
    return busybox_image(
        busybox,
        command=["/start"],
        files={
            "/start": start.encode(),
            "/www/index.html": page.encode(),
            "/www/cgi-bin/environment": environment.encode(),
            "/www/cgi-bin/data": data.encode(),
        },
    )


class PushError(Exception):
    """The registry did not take an image."""


def connect(registry: RegistryAccess) -> http.client.HTTPConnection:
    """Return a connection to `registry` that checks its certificate where it has one."""
    if registry.ca is None:
        return http.client.HTTPConnection(registry.host, timeout=30)
    return http.client.HTTPSConnection(
        registry.host, timeout=30, context=ssl.create_default_context(cafile=registry.ca)
    )


def push(image: Image, registry: RegistryAccess, repository: str, tag: str) -> str:
    """Push `image` as `repository:tag`; return its reference by digest (`host/repository@sha256:…`)."""
    connection = connect(registry)
    headers = {}
    if registry.username is not None:
        secret = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        headers["Authorization"] = f"Basic {secret}"

    def call(method: str, path: str, *, expect: tuple[int, ...], body: bytes = b"", kind: str = "") -> str:
        connection.request(
            method, path, body=body, headers=headers | ({"Content-Type": kind} if kind else {})
        )
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in expect:
            raise PushError(f"{method} {path} at {registry.host}: {answer.status} {said[:200]!r}")
        return answer.headers.get("Location", "")

    try:
        for blob in (image.layer, image.config):
            location = call("POST", f"/v2/{repository}/blobs/uploads/", expect=(202,))
            path = location[location.index("/v2/") :]
            joint = "&" if "?" in path else "?"
            kind = "application/octet-stream"
            call("PUT", f"{path}{joint}digest={digest_of(blob)}", expect=(201,), body=blob, kind=kind)
        call(
            "PUT", f"/v2/{repository}/manifests/{tag}", expect=(201,), body=image.manifest, kind=MANIFEST_TYPE
        )
    finally:
        connection.close()
    return f"{registry.host}/{repository}@{image.digest}"
