"""What every runtime promises, asked of the real ones and of the fake the other tests trust."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewright.agent.runtimes import (
    ApplyError,
    Component,
    ComponentInvalidError,
    FetchError,
    Health,
    Runtime,
)
from support.compose_component import Bench
from support.fake_runtime import FakeRuntime
from support.fixtures import unavailable
from support.images import busybox_image, push
from support.testbed import Testbed

GOOD = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
BAD = "echo no; exit 3"


@dataclass
class Case:
    """A runtime, and how to make components that fare differently with it."""

    runtime: Runtime
    wanted: Callable[[str, str], Component]  # (kind: good|bad|gone|invalid, version) to component


def fake_case() -> Case:
    runtime = FakeRuntime(refused={"bad"}, unfetchable={"gone"}, invalid={"invalid"})

    def wanted(kind: str, version: str) -> Component:
        return Component(
            deployment_id="d1",
            revision=f"sha256:{version}",
            name=kind,
            repository="oci://r/a",
            version=version,
            environment={},
            directory=f"/projects/{version}",
        )

    return Case(runtime, wanted)


def real_case(bench: Bench, testbed: Testbed) -> Case:
    image = busybox_image(Path(testbed.busybox), command=["/bin/sh"])
    push(image, bench.registry, f"{bench.unique}/shell", "1")
    reference = f"{bench.registry.host}/{bench.unique}/shell:1"

    def wanted(kind: str, version: str) -> Component:
        if kind == "gone":
            return bench.wanted(
                f"oci://{bench.registry.host}/{bench.unique}/gone", version=version, name=kind
            )
        command = BAD if kind == "bad" else GOOD
        service = f'{{image: "{reference}", command: [sh, -c, "{command} # {version}"]}}'
        compose = "services: {" if kind == "invalid" else f"services: {{main: {service}}}"
        return bench.component(compose, version=version, name=kind)

    return Case(bench.runtime(), wanted)


@pytest.fixture(
    params=["fake", *(pytest.param(name, marks=pytest.mark.engine) for name in ("docker", "podman"))]
)
def case(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> Iterator[Case]:
    if request.param == "fake":
        yield fake_case()
        return
    testbed: Testbed = request.getfixturevalue("testbed")
    if request.param not in testbed.engines:
        unavailable(f"no {request.param}")
    engine = testbed.engines[request.param]
    bench = Bench(engine=engine, registry=testbed.registry, directory=tmp_path, unique=unique)
    yield real_case(bench, testbed)
    bench.clean()


def install(runtime: Runtime, component: Component) -> None:
    runtime.fetch(component)
    runtime.apply(component)
    runtime.verify(component)


def test_nothing_is_there_at_first(case: Case):
    assert case.runtime.observe() == {}


def test_what_was_installed_is_observed_in_its_revision(case: Case):
    component = case.wanted("good", "1.0.0")
    install(case.runtime, component)
    observed = case.runtime.observe()
    assert set(observed) == {component.key}
    found = observed[component.key]
    assert (found.deployment_id, found.name) == component.key
    assert (found.revision, found.health) == (component.revision, Health.RUNNING)
    assert found.containers


def test_every_call_may_be_repeated(case: Case):
    component = case.wanted("good", "1.0.0")
    for call in (case.runtime.fetch, case.runtime.apply, case.runtime.verify):
        call(component)
        call(component)
    before = case.runtime.observe()
    install(case.runtime, component)
    assert case.runtime.observe() == before
    case.runtime.remove(*component.key, component.directory)
    case.runtime.remove(*component.key, component.directory)
    assert case.runtime.observe() == {}


def test_fetching_touches_nothing_that_runs(case: Case):
    first, second = case.wanted("good", "1.0.0"), case.wanted("good", "2.0.0")
    install(case.runtime, first)
    before = case.runtime.observe()
    case.runtime.fetch(second)
    assert case.runtime.observe() == before


def test_an_update_takes_the_place_of_what_ran_and_can_be_taken_back(case: Case):
    first, second = case.wanted("good", "1.0.0"), case.wanted("good", "2.0.0")
    for component in (first, second, first):
        install(case.runtime, component)
        (found,) = case.runtime.observe().values()
        assert (found.revision, found.health) == (component.revision, Health.RUNNING)


def test_nothing_starts_that_was_not_fetched(case: Case):
    with pytest.raises(ApplyError, match="fetched") as caught:
        case.runtime.apply(case.wanted("good", "1.0.0"))
    assert caught.value.component == "good"
    assert case.runtime.observe() == {}


def test_what_cannot_be_had_may_be_had_later(case: Case):
    with pytest.raises(FetchError) as caught:
        case.runtime.fetch(case.wanted("gone", "1.0.0"))
    assert (caught.value.retryable, caught.value.component) == (True, "gone")


def test_what_is_no_component_never_will_be(case: Case):
    with pytest.raises(ComponentInvalidError) as caught:
        case.runtime.fetch(case.wanted("invalid", "1.0.0"))
    assert (caught.value.retryable, caught.value.component) == (False, "invalid")


def test_what_does_not_come_up_is_an_error_and_is_observed_as_failed(case: Case):
    component = case.wanted("bad", "1.0.0")
    case.runtime.fetch(component)
    with pytest.raises(ApplyError, match="exit code 3") as caught:
        _apply_and_verify(case.runtime, component)
    assert (caught.value.retryable, caught.value.component) == (False, "bad")
    assert case.runtime.observe()[component.key].health is Health.FAILED


def _apply_and_verify(runtime: Runtime, component: Component) -> None:
    runtime.apply(component)
    runtime.verify(component)


def test_removing_what_never_was_is_fine(case: Case):
    case.runtime.remove("no-such-deployment", "no-such-component")
    assert case.runtime.observe() == {}


def test_what_was_fetched_is_ready_and_stays_so(case: Case):
    component = case.wanted("good", "1.0.0")
    assert not case.runtime.is_ready(component)
    assert list(case.runtime.images(component)) == []
    case.runtime.fetch(component)
    assert case.runtime.is_ready(component)
    assert [image for image in case.runtime.images(component) if image]
    case.runtime.release([component])
    assert case.runtime.is_ready(component)
    assert case.runtime.check([component]) == []


def test_what_was_never_fetched_is_found_missing(case: Case):
    (damage,) = case.runtime.check([case.wanted("good", "1.0.0")])
    assert damage.component.name == "good"


def test_what_is_kept_stays_ready_when_something_else_is_released(case: Case):
    old, new = case.wanted("good", "1.0.0"), case.wanted("good", "2.0.0")
    case.runtime.fetch(old)
    case.runtime.fetch(new)
    case.runtime.release([old])
    assert case.runtime.is_ready(old)
    case.runtime.fetch(new)
    assert case.runtime.is_ready(new)


def test_a_snapshot_stops_what_runs_and_applying_starts_it_again(case: Case, tmp_path: Path):
    component = case.wanted("good", "1.0.0")
    install(case.runtime, component)
    snapshot = str(tmp_path / "snapshot")
    for _ in range(2):
        case.runtime.snapshot(component, snapshot)
        assert case.runtime.observe()[component.key].health is not Health.RUNNING
    install(case.runtime, component)
    assert case.runtime.observe()[component.key].health is Health.RUNNING


def test_restoring_stops_what_runs_once_for_each_snapshot(case: Case, tmp_path: Path):
    component = case.wanted("good", "1.0.0")
    install(case.runtime, component)
    snapshot = str(tmp_path / "snapshot")
    case.runtime.restore(component, snapshot)
    assert case.runtime.observe()[component.key].health is Health.RUNNING
    case.runtime.snapshot(component, snapshot)
    install(case.runtime, component)
    case.runtime.restore(component, snapshot)
    found = case.runtime.observe().get(component.key)
    assert found is None or found.health is not Health.RUNNING
    install(case.runtime, component)
    case.runtime.restore(component, snapshot)
    assert case.runtime.observe()[component.key].health is Health.RUNNING


def test_mending_what_is_whole_changes_nothing(case: Case):
    component = case.wanted("good", "1.0.0")
    install(case.runtime, component)
    before = case.runtime.observe()
    case.runtime.mend(component)
    assert case.runtime.is_ready(component)
    assert case.runtime.observe() == before
