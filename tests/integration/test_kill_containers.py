"""Decisive cells of the kill matrix with the whole product, real containers and a real registry."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from edgewright.agent.failpoints import NAMES
from support.cut_filesystem import why_not
from support.engines import Engine
from support.fixtures import unavailable
from support.images import RegistryAccess
from support.kill_containers import container_field
from support.kill_field import CAUSES, PHASES, Field, Outcome
from support.kill_table import REACHED
from support.testbed import Testbed

SECONDS = 120.0
DECISIVE = {
    "installation": "apply.component.started",
    "update": "commit.before",
    "roll-back": "rollback.component",
    "removal": "remove.component",
}
TRIALS = [
    pytest.param("kill", DECISIVE, id="kill-decisive"),
    pytest.param("engine", DECISIVE, id="engine-decisive"),
    *(
        pytest.param(cause, DECISIVE, id=f"{cause}-decisive", marks=pytest.mark.nightly)
        for cause in ("power", "disk", "network")
    ),
    *(
        pytest.param(
            cause,
            {phase: point for phase in PHASES if point in REACHED[phase]},
            id=f"{cause}-{point}",
            marks=pytest.mark.nightly,
        )
        for point in NAMES
        for cause in CAUSES
    ),
]


@pytest.fixture(scope="module")
def field(
    tmp_path_factory: pytest.TempPathFactory,
    docker_engine: Engine,
    registry: RegistryAccess,
    testbed: Testbed,
) -> Iterator[Field]:
    """One device for all trials: a removal at the end of each leaves it as it was."""
    directory = tmp_path_factory.mktemp("containers")
    with container_field(
        directory,
        engine=docker_engine,
        registry=registry,
        busybox=Path(testbed.busybox),
        unique=directory.name + directory.parent.name,
    ) as made:
        yield made


def go_through(
    field: Field,
    cause: str = "",
    points: Mapping[str, str] | None = None,
    expected: Mapping[str, Outcome] | None = None,
) -> dict[str, Outcome]:
    """Go through all phases, with `cause` at the point of each, and return where each came to."""
    rig, outcomes = field.rig, {}
    field.begin_again()
    rig.start_and_look()
    for phase in PHASES:
        field.count_from_here()
        point = (points or {}).get(phase)
        if point is not None:
            rig.hold(point)
        field.want(phase)
        if point is not None:
            held = rig.wait_held(point)
            CAUSES[cause](field).happen(held, lambda phase=phase: field.has_reported(phase))
            rig.start_and_look()
        outcomes[phase] = field.settle(phase, (expected or {}).get(phase), seconds=SECONDS)
    rig.stop()
    return outcomes


@pytest.fixture(scope="module")
def undisturbed(field: Field) -> Mapping[str, Outcome]:
    """Where each phase comes to when nothing happens."""
    return go_through(field)


@pytest.mark.engine
@pytest.mark.requirement("S-7", "S-21", "S-28")
@pytest.mark.parametrize(("cause", "points"), TRIALS)
def test_containers_end_the_same(
    cause: str, points: Mapping[str, str], field: Field, undisturbed: Mapping[str, Outcome]
):
    if cause in ("power", "disk") and (reason := why_not()) is not None:
        unavailable(reason)
    try:
        outcomes = go_through(field, cause, points, undisturbed)
    finally:
        for way in field.ways:
            way.back()
        field.rig.engine_back()
        field.rig.end()
    for phase in PHASES:
        assert outcomes[phase] == undisturbed[phase], phase
