"""Upkeep: what is missing is brought back in every round, what is damaged is looked for once a day."""

import pytest

from edgewright.agent.runtimes import Component
from edgewright.agent.state.store import Store
from edgewright.agent.work.integrity import DAY_SECONDS, TRY_AGAIN_SECONDS, check_components, upkeep
from support.fake_runtime import FakeRuntime

ONE = "11111111-1111-4111-8111-111111111111"
NOW = 1_000_000.0


def component(name="web"):
    return Component(
        deployment_id=ONE,
        revision="sha256:" + "a" * 64,
        name=name,
        repository="oci://registry.example/web",
        version="1.0.0",
        environment={},
        directory="/nowhere",
    )


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "state.db"))


@pytest.fixture
def runtime():
    made = FakeRuntime()
    for name in ("web", "db"):
        made.fetch(component(name))
        made.apply(component(name))
    made.calls.clear()
    return made


@pytest.fixture
def held(runtime):
    return [(runtime, component("web")), (runtime, component("db"))]


def messages(store):
    return [event.message for event in store.events()]


def test_what_is_whole_is_left_alone(runtime, held, store):
    assert upkeep(held, store, now=NOW, idle=True) is None
    assert runtime.calls == []
    assert messages(store) == []


def test_what_is_missing_is_fetched_again_and_what_runs_goes_on(runtime, held, store):
    runtime.damage(component("web"), "its files are gone")
    assert upkeep(held, store, now=NOW, idle=False) is None
    assert runtime.calls == [("fetch", ONE, "web")]
    assert len(runtime.installed) == 2
    assert "web" in messages(store)[0]


def test_what_cannot_be_fetched_now_is_told_once_and_tried_again(runtime, held, store):
    runtime.damage(component("web"))
    runtime.unfetchable.add("web")
    for _ in range(3):
        assert upkeep(held, store, now=NOW, idle=False) == TRY_AGAIN_SECONDS
    assert len(messages(store)) == 1
    runtime.unfetchable.clear()
    assert upkeep(held, store, now=NOW, idle=False) is None
    assert upkeep(held, store, now=NOW, idle=False) is None
    runtime.damage(component("web"))
    upkeep(held, store, now=NOW, idle=False)
    assert len(messages(store)) == 2


@pytest.mark.parametrize(
    ("later", "idle", "looks"),
    [
        pytest.param(DAY_SECONDS - 60, True, False, id="not a day yet"),
        pytest.param(DAY_SECONDS + 1, False, False, id="there is something else to do"),
        pytest.param(DAY_SECONDS + 1, True, True, id="once a day"),
        pytest.param(-5.0, True, True, id="the clock was set back"),
    ],
)
def test_all_is_read_once_a_day(runtime, held, store, later, idle, looks):
    upkeep(held, store, now=NOW, idle=True)
    upkeep(held, store, now=NOW + later, idle=idle)
    assert (("check", "", "") in runtime.calls) is looks
    runtime.calls.clear()
    upkeep(held, store, now=NOW + later + 1, idle=True)
    assert (("check", "", "") in runtime.calls) is (not looks and not idle)


def test_an_engine_that_is_not_there_is_no_damage(runtime, held, store):
    runtime.engine_down = True
    assert upkeep(held, store, now=NOW, idle=True) is None
    assert messages(store) == []


def test_damage_is_told_and_with_mend_undone(runtime, held):
    runtime.damage(component("web"), "image web: layer 1 is damaged")
    (found,) = check_components(held, mend=False)
    assert (found.problem, found.outcome, found.mended) == ("image web: layer 1 is damaged", "", False)
    assert not runtime.is_ready(component("web"))
    (found,) = check_components(held, mend=True)
    assert (found.outcome, found.mended) == ("fetched again", True)
    assert list(check_components(held, mend=False)) == []


def test_damage_that_cannot_be_mended_now_is_kept_and_explained(runtime, held):
    runtime.damage(component("web"))
    runtime.unfetchable.add("web")
    (found,) = check_components(held, mend=True)
    assert not found.mended
    assert "connection refused" in found.outcome
    assert (ONE, "web") in runtime.installed
