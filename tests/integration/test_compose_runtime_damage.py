"""Damage in what was fetched, made for real on the disk: it is found, and it can be mended."""

import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.agent.runtimes import Component, EngineError, FetchError, Health
from support.compose_component import Bench
from support.engines import Engine
from support.fixtures import unavailable
from support.images import RegistryAccess, busybox_image, push
from support.testbed import Testbed

KEEPS_RUNNING = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
TEXT = "/etc/only-here"


@pytest.fixture
def bench(engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str) -> Iterator[Bench]:
    made = Bench(engine=engine, registry=registry, directory=tmp_path, unique=unique)
    yield made
    made.clean()


@pytest.fixture
def reference(testbed: Testbed, bench: Bench) -> str:
    image = busybox_image(Path(testbed.busybox), command=["/bin/sh"], files={TEXT: bench.unique.encode()})
    push(image, bench.registry, f"{bench.unique}/shell", "1")
    return f"{bench.registry.host}/{bench.unique}/shell:1"


@pytest.fixture
def installed(bench: Bench, reference: str) -> Component:
    service = {"image": reference, "command": ["sh", "-c", KEEPS_RUNNING], "volumes": ["./conf:/conf:ro"]}
    component = bench.component(
        json.dumps({"services": {"main": service}}), files={"conf/app.conf": "colour = blue\n"}
    )
    bench.install(component)
    return component


def damage_layer(bench: Bench, reference: str) -> None:
    """Turn one byte of a file in the image's layer around, where the engine keeps it."""
    if not bench.engine.private or os.getuid() != 0:
        unavailable("damaging an engine's storage takes an engine of our own, and root")
    about = bench.api.get(f"/images/{urllib.parse.quote(reference, safe='')}/json")
    file = Path(about["GraphDriver"]["Data"]["UpperDir"], TEXT.lstrip("/"))
    content = bytearray(file.read_bytes())
    content[0] ^= 0xFF
    file.write_bytes(content)


def found(bench: Bench, component: Component) -> list[str]:
    return [damage.what for damage in bench.runtime().check([component])]


@pytest.mark.requirement("S-31")
def test_what_is_whole_is_found_whole(bench: Bench, installed: Component):
    assert found(bench, installed) == []


@pytest.mark.requirement("S-31")
@pytest.mark.parametrize(
    "path", ["project/conf/app.conf", "project/compose.yaml", "resolved.json", "fetched.json"]
)
def test_a_damaged_file_is_named_and_fetching_brings_it_anew(bench: Bench, installed: Component, path: str):
    file = Path(installed.directory, path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    (what,) = found(bench, installed)
    assert path in what or path == "fetched.json"
    runtime = bench.runtime()
    assert not runtime.is_ready(installed)

    runtime.mend(installed)
    runtime.fetch(installed)
    assert file.read_bytes() == whole
    assert found(bench, installed) == []


@pytest.mark.requirement("S-31")
def test_a_file_that_is_gone_is_named(bench: Bench, installed: Component):
    Path(installed.directory, "project/conf/app.conf").unlink()
    assert found(bench, installed) == ["project/conf/app.conf: No such file or directory"]


@pytest.mark.requirement("S-31")
def test_a_damaged_layer_is_found_and_mending_and_fetching_cure_it(
    bench: Bench, installed: Component, reference: str
):
    damage_layer(bench, reference)
    (what,) = found(bench, installed)
    assert what.startswith(f"image {reference.rpartition(':')[0]}@sha256:")

    runtime = bench.runtime()
    runtime.mend(installed)
    assert not runtime.is_ready(installed)
    runtime.fetch(installed)
    assert found(bench, installed) == []
    runtime.apply(installed)
    runtime.verify(installed)
    assert runtime.observe()[installed.key].health is Health.RUNNING


def test_nothing_is_dropped_that_cannot_be_had_again(bench: Bench, installed: Component, reference: str):
    damage_layer(bench, reference)
    marker = Path(installed.directory, "fetched.json")
    told = json.loads(marker.read_text())
    told["pins"]["main"]["digest"] = f"{bench.registry.host}/{bench.unique}/shell@sha256:{'0' * 64}"
    marker.write_text(json.dumps(told))
    runtime = bench.runtime()
    with pytest.raises(FetchError, match="cannot be fetched again now"):
        runtime.mend(installed)
    assert runtime.observe()[installed.key].health is Health.RUNNING
    assert runtime.is_ready(installed)


def test_containers_of_others_are_not_removed_for_a_damaged_image(
    bench: Bench, installed: Component, reference: str
):
    damage_layer(bench, reference)
    made = json.loads(bench.api.request("POST", "/containers/create", {"Image": reference, "Cmd": ["true"]}))
    try:
        with pytest.raises(EngineError, match="not ours"):
            bench.runtime().mend(installed)
        assert bench.api.get(f"/containers/{made['Id']}/json")["Id"] == made["Id"]
    finally:
        bench.api.request("DELETE", f"/containers/{made['Id']}?force=true")
