"""Container images without a container engine: one layer of files around a static busybox, as OCI bytes.

Building is pure: the same files give the same digests. Pushing is the caller's.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import platform
import shutil
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.cli.errors import UsageError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
APPLETS = [
    "awk",
    "cat",
    "cp",
    "date",
    "echo",
    "head",
    "httpd",
    "kill",
    "ls",
    "mkdir",
    "printf",
    "sed",
    "sh",
    "sleep",
    "tail",
    "test",
    "timeout",
    "tr",
    "wc",
    "wget",
]
ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "riscv64": "riscv64",
}
_ELF_INTERPRETER = 3  # program header type PT_INTERP: the file needs a dynamic loader


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as a registry takes it: blobs by digest, and the manifest that names them."""

    blobs: Mapping[str, bytes]
    manifest: bytes


def find_busybox() -> bytes:
    """Return the static busybox of this machine; raises UsageError saying how to get one."""
    install = "install it with: apt-get install busybox-static"
    found = shutil.which("busybox")
    if found is None:
        raise UsageError(f"the demo's images are made from a static busybox, and there is none; {install}")
    program = Path(found).read_bytes()
    if not is_static(program):
        raise UsageError(
            f"{found} is not statically linked, so it cannot be the whole of an image; {install}"
        )
    return program


def is_static(program: bytes) -> bool:
    """Return whether the ELF file `program` runs without a dynamic loader."""
    if program[:4] != b"\x7fELF":
        return False
    wide, order = program[4] == 2, "<" if program[5] == 1 else ">"
    offset = struct.unpack_from(order + ("Q" if wide else "I"), program, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", program, 54 if wide else 42)
    kinds = (struct.unpack_from(order + "I", program, offset + index * size)[0] for index in range(count))
    return _ELF_INTERPRETER not in kinds


def image(files: Mapping[str, tuple[bytes, int]], busybox: bytes, *, title: str) -> Image:
    """Return an image of busybox and `files` (path to content and mode) that starts `/bin/start`."""
    layers = [_base_layer(busybox), _pack(_layer(files))]
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Cmd": ["/bin/start"],
            "Env": ["PATH=/bin"],
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.title": title},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.plain_digest for layer in layers]},
        "history": [{"created_by": "edgewright"} for _ in layers],
    }
    packed = [layer.packed for layer in layers]
    config_bytes = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, config_bytes),
        "layers": [_descriptor(LAYER_TYPE, layer) for layer in packed],
    }
    blobs = {_digest(blob): blob for blob in [config_bytes, *packed]}
    return Image(blobs=blobs, manifest=json.dumps(manifest, sort_keys=True).encode())


@dataclass(frozen=True, slots=True)
class _Packed:
    """A layer as it is stored, and the digest of what it unpacks to."""

    plain_digest: str
    packed: bytes


def _pack(layer: bytes) -> _Packed:
    return _Packed(_digest(layer), gzip.compress(layer, compresslevel=6, mtime=0))


@functools.lru_cache(maxsize=1)
def _base_layer(busybox: bytes) -> _Packed:
    """Return the layer every image shares: busybox under the names of its applets."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "data", "etc", "srv", "tmp"):
            tar.addfile(_entry(folder, mode=0o755, kind=tarfile.DIRTYPE))
        tar.addfile(_entry("bin/busybox", mode=0o755, size=len(busybox)), io.BytesIO(busybox))
        for applet in APPLETS:
            link = _entry(f"bin/{applet}", mode=0o777, kind=tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
        names = b"hosts: files dns\n"
        tar.addfile(_entry("etc/nsswitch.conf", mode=0o644, size=len(names)), io.BytesIO(names))
    return _pack(archive.getvalue())


def _layer(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (content, mode) in sorted(files.items()):
            tar.addfile(_entry(path, mode=mode, size=len(content)), io.BytesIO(content))
    return archive.getvalue()


def _entry(path: str, *, mode: int, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.size, entry.type = mode, size, kind
    return entry


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
