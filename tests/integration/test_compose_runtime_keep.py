"""What a revision that is kept lives on: its images stay what they were, and go when nobody needs them."""

import json
import os
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgewright.agent.runtimes import Component, CrashLoopError, Health, StorageFullError
from edgewright.agent.runtimes.compose import ComposeRuntime
from edgewright.net.oci import RegistryClient
from support.compose_component import Bench, settings_of
from support.engines import Engine, EngineRefusedError
from support.fixtures import unavailable
from support.images import Image, RegistryAccess, busybox_image, push
from support.processes import wait_until
from support.testbed import Testbed

KEEPS_RUNNING = "trap 'exit 0' TERM; while :; do sleep 0.2; done"


@pytest.fixture
def bench(engine: Engine, registry: RegistryAccess, tmp_path: Path, unique: str) -> Iterator[Bench]:
    made = Bench(engine=engine, registry=registry, directory=tmp_path, unique=unique)
    yield made
    made.clean()


@pytest.fixture
def image(testbed: Testbed) -> Callable[[str], Image]:
    """Return images with a shell that differ by a text."""

    def make(text: str) -> Image:
        return busybox_image(Path(testbed.busybox), command=["/bin/sh"], files={"/etc/text": text.encode()})

    return make


def component(bench: Bench, reference: str, version: str = "1.0.0") -> Component:
    return bench.component(
        f'services: {{main: {{image: "{reference}", command: [sh, -c, "{KEEPS_RUNNING}"]}}}}', version=version
    )


def image_id(bench: Bench, reference: str) -> str | None:
    try:
        found = bench.api.get(f"/images/{urllib.parse.quote(reference, safe='')}/json")
    except EngineRefusedError:
        return None
    return str(found["Id"])


def remove_image(bench: Bench, reference: str) -> None:
    bench.api.request("DELETE", f"/images/{urllib.parse.quote(reference, safe='')}")


def running_image(bench: Bench) -> str:
    return str(bench.inspect()["main"]["Image"]).removeprefix("sha256:")


def pushed(bench: Bench, image: Image, tag: str = "1") -> str:
    push(image, bench.registry, f"{bench.unique}/shell", tag)
    return f"{bench.registry.host}/{bench.unique}/shell:{tag}"


# --- pinned, and kept -----------------------------------------------------------------------------------


@pytest.mark.requirement("S-7")
def test_a_tag_that_moves_changes_nothing_that_was_fetched(bench: Bench, image: Callable[[str], Image]):
    reference = pushed(bench, image(f"{bench.unique} old"))
    wanted = component(bench, reference)
    bench.install(wanted)
    before = running_image(bench)

    pushed(bench, image(f"{bench.unique} new"))
    bench.api.pull(reference)
    assert image_id(bench, reference) != f"sha256:{before}"
    bench.runtime().remove(*wanted.key)
    bench.api.request("POST", "/images/prune")
    bench.install(wanted)
    assert running_image(bench) == before


@pytest.mark.requirement("S-7")
def test_what_was_fetched_starts_without_its_name_and_without_a_registry(
    bench: Bench, image: Callable[[str], Image]
):
    reference = pushed(bench, image(bench.unique))
    wanted = component(bench, reference)
    bench.runtime().fetch(wanted)
    remove_image(bench, reference)
    assert image_id(bench, reference) is None
    bench.api.request("POST", "/images/prune")

    runtime = bench.runtime()
    assert runtime.is_ready(wanted)
    with unreachable_registry(runtime):
        runtime.fetch(wanted)
        runtime.apply(wanted)
        runtime.verify(wanted)
    assert runtime.observe()[wanted.key].health is Health.RUNNING


def test_an_image_that_was_removed_comes_again_by_its_digest_though_its_tag_moved(
    bench: Bench, image: Callable[[str], Image]
):
    reference = pushed(bench, image(f"{bench.unique} old"))
    wanted = component(bench, reference)
    bench.runtime().fetch(wanted)
    first = image_id(bench, reference)
    assert first is not None
    pushed(bench, image(f"{bench.unique} new"))
    bench.api.request("DELETE", f"/images/{first}?force=true")
    assert not bench.runtime().is_ready(wanted)

    bench.install(wanted)
    assert f"sha256:{running_image(bench)}" == first


@contextmanager
def unreachable_registry(runtime: ComposeRuntime) -> Iterator[None]:
    """Let whatever asks a registry fail: nothing may."""

    def refuse(host: str) -> RegistryClient:
        raise AssertionError(f"registry {host} was asked")

    pool = runtime._fetcher._pool  # there is no other way to see that nobody asks
    original = pool.client
    pool.client = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        pool.client = original  # type: ignore[method-assign]


# --- released -------------------------------------------------------------------------------------------


def test_images_we_pulled_go_when_no_kept_component_needs_them(bench: Bench, image: Callable[[str], Image]):
    old = component(bench, pushed(bench, image(f"{bench.unique} 1"), "1"), "1.0.0")
    new = component(bench, pushed(bench, image(f"{bench.unique} 2"), "2"), "2.0.0")
    bench.install(old)
    first = running_image(bench)
    bench.install(new)
    second = running_image(bench)
    runtime = bench.runtime()

    runtime.release([old, new])
    assert runtime.is_ready(old)
    runtime.release([new])
    assert image_id(bench, first) is None
    assert image_id(bench, second) is not None
    runtime.release([])
    assert image_id(bench, second) is not None, "a container is made from it"
    runtime.remove(*new.key)
    runtime.release([])
    assert image_id(bench, second) is None


def test_images_of_others_stay(bench: Bench, image: Callable[[str], Image]):
    reference = pushed(bench, image(bench.unique))
    bench.api.pull(reference)
    wanted = component(bench, reference)
    runtime = bench.runtime()
    runtime.fetch(wanted)
    runtime.release([])
    assert image_id(bench, reference) is not None
    remove_image(bench, reference)
    assert image_id(bench, reference) is None, "and nothing of ours is left at it"


def test_nothing_goes_while_a_kept_component_does_not_tell_what_it_needs(
    bench: Bench, image: Callable[[str], Image]
):
    wanted = component(bench, pushed(bench, image(bench.unique)))
    runtime = bench.runtime()
    runtime.fetch(wanted)
    marker = Path(wanted.directory, "fetched.json")
    whole = marker.read_bytes()
    marker.write_bytes(whole[:40])
    runtime.release([wanted])
    marker.write_bytes(whole)
    assert runtime.is_ready(wanted)


def test_a_pull_that_was_killed_leaves_an_image_that_is_still_released(
    bench: Bench, image: Callable[[str], Image]
):
    reference = pushed(bench, image(bench.unique))
    runtime = bench.runtime()
    runtime.release([])
    listed = Path(bench.directory, "compose", "images")
    begun = {"pulled": {}, "pulling": {reference: [one["Id"] for one in bench.api.get("/images/json")]}}
    listed.write_text(json.dumps(begun))
    bench.api.pull(reference)
    runtime.release([])
    assert image_id(bench, reference) is None


# --- room -----------------------------------------------------------------------------------------------


def pushed_as_huge(bench: Bench, image: Image) -> str:
    """Push an image under a manifest that says that its layer is larger than any disk."""
    pushed(bench, image)
    manifest = json.loads(image.manifest)
    manifest["layers"][0]["size"] = 10**15
    with RegistryClient(bench.registry.host, settings_of(bench.registry)) as client:
        client.push_manifest(
            f"{bench.unique}/shell", "huge", json.dumps(manifest).encode(), manifest["mediaType"]
        )
    return f"{bench.registry.host}/{bench.unique}/shell:huge"


def test_layers_that_are_here_need_no_room(bench: Bench, image: Callable[[str], Image]):
    bench.runtime().fetch(component(bench, pushed(bench, image(bench.unique)), "1.0.0"))
    wanted = component(bench, pushed_as_huge(bench, image(bench.unique)), "2.0.0")
    bench.runtime().fetch(wanted)
    assert bench.runtime().is_ready(wanted)


def test_an_image_that_has_no_room_is_not_even_begun(bench: Bench, image: Callable[[str], Image]):
    reference = pushed_as_huge(bench, image(bench.unique))
    wanted = component(bench, reference)
    with pytest.raises(StorageFullError, match=r"20000\d{11} bytes needed, \d+ bytes free") as caught:
        bench.runtime().fetch(wanted)
    assert (caught.value.code, caught.value.retryable, caught.value.component) == (
        "storage.full",
        True,
        "app",
    )
    assert reference in str(caught.value)
    assert image_id(bench, reference) is None
    assert not bench.runtime().is_ready(wanted)


def test_a_full_disk_is_told_as_one_and_nothing_half_done_stays(
    bench: Bench, image: Callable[[str], Image], tmp_path: Path
):
    small = tmp_path / "projects"
    small.mkdir()
    wanted = bench.component(
        f'services: {{main: {{image: "{pushed(bench, image(bench.unique))}"}}}}',
        files={f"{number}.bin": os.urandom(100_000) for number in range(4)},
    )
    with filesystem_of(small, megabytes=20) as free:
        filler = small / "filler"
        filler.write_bytes(bytes(free() - 17 * 1024 * 1024))  # the download fits, the unpacked files do not
        subprocess.run(["mount", "-o", "remount,size=4m", small], check=False)
        with pytest.raises(StorageFullError) as caught:
            bench.runtime().fetch(wanted)
        assert caught.value.code == "storage.full"
        assert not Path(wanted.directory).exists() or not list(Path(wanted.directory).iterdir())


@contextmanager
def filesystem_of(directory: Path, *, megabytes: int) -> Iterator[Callable[[], int]]:
    """Mount a small file system on `directory`; yields what tells its free bytes."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", directory],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        unavailable("mounting a small file system takes root")

    def free() -> int:
        told = os.statvfs(directory)
        return told.f_bavail * told.f_frsize

    try:
        yield free
    finally:
        subprocess.run(["umount", directory], check=True)


# --- crash loops ----------------------------------------------------------------------------------------


def looping(bench: Bench, image: Callable[[str], Image], seconds: float) -> Component:
    reference = pushed(bench, image(bench.unique))
    return bench.component(
        f"""
        services:
          main: {{image: "{reference}", restart: always, command: [sh, -c, "sleep {seconds}; exit 1"]}}
        """
    )


@pytest.mark.requirement("S-21")
def test_a_container_that_crashes_again_and_again_is_observed_as_failed(
    bench: Bench, image: Callable[[str], Image]
):
    wanted = looping(bench, image, 2)
    bench.install(wanted)
    runtime = bench.runtime()
    assert runtime.observe()[wanted.key].health is Health.RUNNING
    wait_until(
        lambda: runtime.observe()[wanted.key].crash_looping, what="a crash loop was not seen", seconds=120
    )
    found = runtime.observe()[wanted.key]
    assert found.health is Health.FAILED
    assert "service main has ended and was restarted" in found.reason


def test_an_application_that_crashes_while_it_is_started_fails_with_a_code_of_its_own(
    bench: Bench, image: Callable[[str], Image]
):
    with pytest.raises(CrashLoopError) as caught:
        bench.install(looping(bench, image, 0.1))
    assert caught.value.code == "component.crash-looping"
