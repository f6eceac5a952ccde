"""The demo's container images, built from files alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile

import pytest

from edgewright.cli.demo.images import find_busybox, image, is_static
from edgewright.cli.errors import UsageError

FILES = {"bin/start": (b"#!/bin/sh\n", 0o755), "srv/index.html": (b"hi", 0o644)}


def elf(*kinds: int, wide: bool = True, order: str = "<") -> bytes:
    """Return a minimal ELF head with program headers of these types."""
    size, table = (56, 64) if wide else (32, 52)
    head = bytearray(table)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
    struct.pack_into(order + ("Q" if wide else "I"), head, 32 if wide else 28, table)
    struct.pack_into(order + "HH", head, 54 if wide else 42, size, len(kinds))
    return bytes(head) + b"".join(struct.pack(order + "I", kind).ljust(size, b"\0") for kind in kinds)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_program_with_an_interpreter_is_not_static(wide, order):
    assert is_static(elf(1, 1, wide=wide, order=order))
    assert not is_static(elf(1, 3, wide=wide, order=order))
    assert not is_static(b"#!/bin/sh\n")


def test_every_blob_is_named_by_its_digest():
    built = image(FILES, b"busybox", title="t")
    manifest = json.loads(built.manifest)
    named = [manifest["config"], *manifest["layers"]]
    assert {entry["digest"]: entry["size"] for entry in named} == {
        digest: len(blob) for digest, blob in built.blobs.items()
    }
    for digest, blob in built.blobs.items():
        assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()


def test_the_config_names_the_unpacked_layers():
    built = image(FILES, b"busybox", title="t")
    manifest = json.loads(built.manifest)
    config = json.loads(built.blobs[manifest["config"]["digest"]])
    layers = [gzip.decompress(built.blobs[layer["digest"]]) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        assert tar.getmember("bin/sh").linkname == "busybox"
    with tarfile.open(fileobj=io.BytesIO(layers[1])) as tar:
        assert tar.getmember("bin/start").mode == 0o755


def test_the_same_files_give_the_same_image():
    assert image(FILES, b"busybox", title="t") == image(FILES, b"busybox", title="t")


def test_a_missing_busybox_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="apt-get install busybox-static"):
        find_busybox()


def test_a_dynamic_busybox_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "busybox").write_bytes(elf(3))
    (tmp_path / "busybox").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not statically linked"):
        find_busybox()
