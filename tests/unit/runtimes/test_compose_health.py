from typing import Any

import pytest

from edgewright.agent.runtimes import Health, ObservedContainer
from edgewright.agent.runtimes.compose_health import (
    component_health,
    container_health,
    describe,
    trouble,
    waiting_for,
)
from edgewright.agent.runtimes.compose_removal import stop_order
from edgewright.agent.runtimes.engine import Container


def container(service: str = "a", **fields: Any) -> Container:
    labels = {"com.docker.compose.service": service} | fields.pop("labels", {})
    defaults: dict[str, Any] = {
        "id": fields.get("name", service),
        "name": service,
        "state": "running",
        "exit_code": 0,
        "health": "",
        "has_health_check": False,
        "health_interval": 30.0,
        "restart_count": 0,
        "restart_policy": "",
        "started_at": "",
    }
    return Container(labels=labels, **(defaults | fields))


def observed(service: str = "a", **fields: Any) -> ObservedContainer:
    return ObservedContainer(**({"name": service, "service": service, "state": "running"} | fields))


ONCE = {"io.edgewright.once": "true"}


@pytest.mark.parametrize(
    ("found", "health"),
    [
        (observed(), Health.RUNNING),
        (observed(health="healthy"), Health.RUNNING),
        (observed(health="starting"), Health.STARTING),
        (observed(health="unhealthy"), Health.FAILED),
        (observed(state="restarting", exit_code=0), Health.FAILED),
        (observed(state="dead"), Health.FAILED),
        (observed(state="exited", exit_code=137), Health.FAILED),
        (observed(state="exited", exit_code=0), Health.STOPPED),
        (observed(state="exited", exit_code=0, once=True), Health.RUNNING),
        (observed(state="exited", exit_code=1, once=True), Health.FAILED),
        (observed(state="stopped", exit_code=0), Health.STOPPED),
        (observed(state="created"), Health.STOPPED),
        (observed(state="paused"), Health.STOPPED),
        (observed(state="a new word"), Health.STOPPED),
    ],
)
def test_how_a_container_does(found: ObservedContainer, health: Health):
    assert container_health(found) is health


@pytest.mark.parametrize(
    ("containers", "expected", "health"),
    [
        pytest.param([observed("a"), observed("b")], {"a": 1, "b": 1}, Health.RUNNING, id="all run"),
        pytest.param([observed("a")], {"a": 1, "b": 1}, Health.MISSING, id="one is gone"),
        pytest.param([observed("a")], {"a": 2}, Health.MISSING, id="too few of one"),
        pytest.param([], {"a": 1}, Health.MISSING, id="all are gone"),
        pytest.param([], {}, Health.MISSING, id="nothing is known"),
        pytest.param([], {"a": 0}, Health.RUNNING, id="scaled to nothing"),
        pytest.param(
            [observed("a", state="exited", exit_code=1)],
            {"a": 1, "b": 1},
            Health.FAILED,
            id="failed is worst",
        ),
        pytest.param(
            [observed("a", health="starting"), observed("b", state="created")],
            {},
            Health.STOPPED,
            id="stopped",
        ),
    ],
)
def test_a_component_does_as_its_worst_part(
    containers: list[ObservedContainer], expected: dict[str, int], health: Health
):
    assert component_health(containers, expected) is health


@pytest.mark.parametrize(
    ("found", "ended", "once"),
    [
        (container(labels=ONCE), [], True),
        (container(), ["a"], True),
        (container(), ["b"], False),
        (container(labels=ONCE, restart_policy="always"), [], False),
        (container(restart_policy="unless-stopped"), ["a"], False),
    ],
)
def test_who_may_have_ended(found: Container, ended: list[str], once: bool):
    assert describe(found, ended).once is once


def test_an_exit_code_is_told_only_of_what_ended():
    assert describe(container(exit_code=0)).exit_code is None
    assert describe(container(state="exited", exit_code=0)).exit_code == 0


@pytest.mark.requirement("CMP-2")
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (container(), None),
        (container(health="starting"), None),
        (container(state="created"), None),
        (container(state="exited", exit_code=0), None),
        (container(state="exited", exit_code=3), "ended with exit code 3"),
        (container(state="restarting", exit_code=1), "ended with exit code 1 and is being restarted"),
        (container(state="restarting", exit_code=0), None),
        (container(restart_count=1), "ended and was restarted"),
        (container(restart_count=1, id="old"), None),
        (container(health="unhealthy"), "is unhealthy: its health check fails"),
        (container(state="dead"), "is dead"),
    ],
)
def test_what_ends_the_waiting_at_once(found: Container, reason: str | None):
    told = trouble([container("fine"), found], {"old": 1})
    assert (told and (told.service, told.reason)) == (reason and ("a", reason))


@pytest.mark.requirement("CMP-2")
@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([container()], []),
        ([container(health="healthy")], []),
        ([container(health="starting")], ["service a is not healthy yet"]),
        ([container(state="created")], ["service a is created"]),
        ([container(state="exited")], []),
        ([container(state="exited", restart_policy="always")], ["service a is exited"]),
        ([], ["service a has no container"]),
    ],
)
def test_what_is_still_waited_for(found: list[Container], lines: list[str]):
    assert waiting_for(found, {"a": 1}) == lines


def depending(service: str, *needed: str) -> Container:
    text = ",".join(f"{name}:service_started:false" for name in needed)
    return container(service, labels={"com.docker.compose.depends_on": text})


def test_whoever_depends_on_another_stops_before_it():
    web, api, db = depending("web", "api", "db"), depending("api", "db"), depending("db")
    waves = stop_order([db, web, api])
    assert [[found.name for found in wave] for wave in waves] == [["web"], ["api"], ["db"]]


def test_a_circle_of_dependencies_still_stops():
    waves = stop_order([depending("a", "b"), depending("b", "a")])
    assert sorted(found.name for wave in waves for found in wave) == ["a", "b"]
