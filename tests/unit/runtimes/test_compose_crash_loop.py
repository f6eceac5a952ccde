"""When a container that was verified once counts as crashing again and again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edgewright.agent.runtimes.compose_health import CALM, crash_loop, trouble, unwell
from edgewright.agent.runtimes.engine import Container

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def container(**fields: Any) -> Container:
    defaults: dict[str, Any] = {
        "id": "c1",
        "name": "main",
        "labels": {"com.docker.compose.service": "main"},
        "state": "running",
        "exit_code": 0,
        "health": "",
        "has_health_check": False,
        "health_interval": 30.0,
        "restart_count": 0,
        "restart_policy": "always",
        "started_at": up_for(timedelta(seconds=1)),
    }
    return Container(**(defaults | fields))


def up_for(time: timedelta) -> str:
    return (NOW - time).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("found", "before", "loops"),
    [
        pytest.param(container(), {}, False, id="never restarted"),
        pytest.param(container(restart_count=2), {}, False, id="twice may be chance"),
        pytest.param(container(restart_count=3), {}, True, id="three times is a loop"),
        pytest.param(container(restart_count=9), {"c1": 7}, False, id="what was before it was verified"),
        pytest.param(container(restart_count=10), {"c1": 7}, True, id="three times since"),
        pytest.param(container(restart_count=9, started_at=up_for(CALM)), {}, False, id="calm since"),
        pytest.param(
            container(restart_count=9, state="restarting", started_at=up_for(CALM)), {}, True, id="not up"
        ),
        pytest.param(
            container(restart_count=9, started_at="2026-03-01T11:59:59.123456789Z"),
            {},
            True,
            id="nanoseconds",
        ),
        pytest.param(
            container(restart_count=9, started_at="2026-03-01T12:59:59+01:00"), {}, True, id="another zone"
        ),
        pytest.param(container(restart_count=9, started_at=""), {}, False, id="nobody tells since when"),
    ],
)
def test_a_crash_loop_is_many_restarts_and_no_calm_since(
    found: Container, before: dict[str, int], loops: bool
):
    assert (crash_loop([found], before, NOW) is not None) is loops


def test_a_crash_loop_names_the_service_and_counts():
    found = crash_loop([container(restart_count=4)], {}, NOW)
    assert found is not None
    assert (found.service, found.reason) == ("main", "has ended and was restarted 4 times")


@pytest.mark.parametrize(
    ("found", "loops"),
    [
        (container(state="exited", exit_code=3), False),
        (container(state="exited", exit_code=3, restart_count=2), True),
        (container(state="restarting", exit_code=3), True),
        (container(restart_count=1), True),
        (container(health="unhealthy"), False),
        (container(state="dead", restart_count=2), False),
    ],
)
def test_trouble_tells_a_loop_from_another_failure(found: Container, loops: bool):
    failed = trouble([found], {})
    assert failed is not None
    assert failed.loops is loops


@pytest.mark.parametrize(
    ("containers", "reason"),
    [
        ([container()], ""),
        ([container(state="exited", exit_code=3)], "service main ended with exit code 3"),
        ([container(health="unhealthy")], "service main is unhealthy: its health check fails"),
        ([container(state="paused")], "service main is paused"),
        ([], "service main has no container"),
    ],
)
def test_what_is_not_well_says_why(containers: list[Container], reason: str):
    assert unwell(containers, {"main": 1}) == reason
