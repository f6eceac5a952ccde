"""Judging an exported image: each engine's way of laying it out, and each way it can be damaged."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable

import pytest

from edgewright.agent.runtimes import EngineError, StorageFullError
from edgewright.agent.runtimes.engine import Engine, EngineInfo, EngineRefusedError
from edgewright.agent.runtimes.image_check import image_damage

LAYERS = (b"first layer" * 1000, b"second layer" * 1000)
CONFIG = json.dumps(
    {"rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in LAYERS]}}
).encode()
ID = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
Files = dict[str, bytes | str]  # a text is a link's target


def docker(config: bytes = CONFIG, layers: tuple[bytes, ...] = LAYERS) -> Files:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    return {
        "config.json": config,
        **dict(zip(names, layers, strict=True)),
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": names}]).encode(),
    }


def linked() -> Files:
    files = docker()
    files["stored.tar"] = files.pop("1/layer.tar")
    return files | {"1/layer.tar": "../stored.tar"}


def store(layers: tuple[bytes, ...] = LAYERS, *, spoiled: bool = False) -> Files:
    """Return a store by digest, with packed layers, as newer engines export."""
    packed = {f"blobs/sha256/{hashlib.sha256(layer[::-1]).hexdigest()}": layer[::-1] for layer in layers}
    config = f"blobs/sha256/{ID.removeprefix('sha256:')}"
    manifest = [{"Config": config, "Layers": list(packed)}]
    if spoiled:
        packed[next(iter(packed))] = b"something else"
    return {**packed, config: CONFIG, "manifest.json": json.dumps(manifest).encode()}


def archive(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class ScriptedEngine(Engine):
    """An engine that exports given bytes, in small pieces, and then fails if it is to."""

    def __init__(self, exported: bytes, error: Exception | None = None, *, is_gone: bool = False) -> None:
        super().__init__("/nowhere")
        self._exported, self._error, self._is_gone = exported, error, is_gone

    def another(self, *, timeout: float = 0) -> "ScriptedEngine":
        return self

    def info(self) -> EngineInfo:
        if self._is_gone:
            raise EngineError("no such socket")
        return EngineInfo(kind="docker", version="1")

    def download(self, path: str, sink: Callable[[bytes], object]) -> None:
        assert ID in path.replace("%3A", ":")
        for start in range(0, len(self._exported), 1000):
            sink(self._exported[start : start + 1000])
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    "files", [pytest.param(docker(), id="docker"), pytest.param(linked(), id="podman"), store()]
)
def test_a_whole_image_is_whole_however_it_is_laid_out(files: Files):
    assert image_damage(ScriptedEngine(archive(files)), ID) is None


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (docker(layers=(LAYERS[0], b"changed")), "layer 2 of 2 is damaged"),
        (docker(layers=LAYERS[:1]), "1 of its 2 layers"),
        (docker(config=CONFIG + b" "), "its configuration is damaged"),
        (docker() | {"manifest.json": b"[]"}, "cannot be read"),
        ({"config.json": CONFIG}, "cannot be read"),
        (linked() | {"1/layer.tar": "nowhere"}, "layer 2 of 2"),
        (store(spoiled=True), "layer 1 of 2"),
    ],
)
def test_every_damage_is_found(files: Files, what: str):
    found = image_damage(ScriptedEngine(archive(files)), ID)
    assert found is not None
    assert what in found


def test_an_export_that_breaks_off_is_damage():
    assert image_damage(ScriptedEngine(archive(docker())[:5000]), ID) is not None


def test_what_an_engine_cannot_read_is_damage():
    refused = EngineRefusedError("file integrity checksum failed", status=500)
    found = image_damage(ScriptedEngine(b"", refused), ID)
    assert found is not None
    assert "checksum failed" in found


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        (ScriptedEngine(b"", EngineError("reset by peer"), is_gone=True), EngineError),
        (ScriptedEngine(b"", StorageFullError("no space left on device")), StorageFullError),
    ],
)
def test_an_engine_that_is_gone_or_has_no_room_says_nothing_about_the_image(
    engine: Engine, error: type[Exception]
):
    with pytest.raises(error):
        image_damage(engine, ID)
