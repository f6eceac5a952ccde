"""The kill matrix: stopped anywhere, by anything, the agent ends where an undisturbed one does."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edgewright.agent.failpoints import NAMES
from support.certificates import Authority
from support.cut_filesystem import CutFilesystem, why_not
from support.fixtures import unavailable
from support.foreign_server import ForeignServer
from support.kill_field import CAUSES, IDS, PHASES, Field, Outcome, Trouble, before
from support.kill_rig import KillRig, layer_server
from support.kill_table import CELLS, REACHED
from support.processes import wait_until
from support.proxies import Proxy

KEPT = "kept"


def keep(rig: KillRig, phase: str) -> None:
    """Keep the device as it is before `phase`; the agent must not run."""
    for part in (rig.state, rig.device):
        copy(part, rig.state.parent / KEPT / phase / part.name)


def restore(rig: KillRig, phase: str) -> None:
    """Put the device back to where it was before `phase`, durably."""
    for part in (rig.state, rig.device):
        copy(rig.state.parent / KEPT / phase / part.name, part)
    subprocess.run(["sync", "-f", str(rig.state)], check=True)
    rig.log.write_text("")


def copy(source: Path, target: Path) -> None:
    """Make `target` a directory with the content of `source`; a filesystem may be mounted there."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


@pytest.fixture(
    scope="module",
    params=[pytest.param(1, id="one"), pytest.param(3, id="several", marks=pytest.mark.nightly)],
)
def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """A field with one deployment or several."""
    directory = tmp_path_factory.mktemp("kills")
    authority = Authority.create()
    with ExitStack() as stack:
        server = stack.enter_context(ForeignServer(authority))
        to_server = stack.enter_context(Proxy(("127.0.0.1", server.port)))
        to_registry = stack.enter_context(Proxy(stack.enter_context(layer_server())))
        rig = KillRig(directory, authority)
        stack.callback(rig.end)
        rig.enroll(f"https://{to_server.host}")
        (rig.device / "registry").write_text(to_registry.host.rpartition(":")[2])
        yield Field(server, (to_server, to_registry), rig, deployments=IDS[: request.param])


@pytest.fixture(scope="module")
def undisturbed(field: Field) -> Mapping[str, Outcome]:
    """Where each phase comes to when nothing happens; the device as it is before each of them is kept."""
    outcomes = {}
    rig = field.rig
    field.want(None)
    rig.start_and_look()
    for phase in PHASES:
        rig.stop()
        keep(rig, phase)
        rig.start_and_look()
        field.count_from_here()
        field.want(phase)
        outcomes[phase] = field.settle(phase)
    rig.stop()
    return outcomes


@contextmanager
def own_filesystem(field: Field) -> Iterator[None]:
    """Have the agent's state on a filesystem of its own meanwhile."""
    if (reason := why_not()) is not None:
        unavailable(reason)
    state = field.rig.state
    field.disk = CutFilesystem.make(state.parent / "image", state)
    with field.disk.mounted():
        try:
            yield
        finally:
            field.rig.end()


@pytest.mark.requirement("S-7", "S-28", "DS-16", "OFF-8", "ST-1")
@pytest.mark.parametrize(("phase", "point", "cause"), CELLS)
def test_the_end_is_the_same(
    phase: str,
    point: str,
    cause: str,
    field: Field,
    undisturbed: Mapping[str, Outcome],
    record_property: Callable[[str, object], None],
):
    record_property("kill_cell", f"{phase}/{point}/{cause}")
    rig = field.rig
    with ExitStack() as stack:
        stack.callback(lambda: [way.back() for way in field.ways])
        stack.callback(rig.end)
        if cause in ("power", "disk"):
            stack.enter_context(own_filesystem(field))
        restore(rig, phase)
        field.want(before(phase))
        rig.start_and_look()
        field.count_from_here()
        rig.hold(point)
        field.want(phase)
        held = rig.wait_held(point)
        CAUSES[cause](field).happen(held, lambda: field.has_reported(phase))
        rig.start_and_look()
        expected = undisturbed[phase]
        outcome = field.settle(phase, expected)
        rig.stop()
        assert outcome.reports == expected.reports
        assert outcome.starts == expected.starts
        assert outcome.runs == expected.runs
        assert outcome.remembered == expected.remembered


@pytest.mark.requirement("S-7", "S-28", "OFF-8")
@pytest.mark.parametrize("cause", ["disk", "network"])
def test_an_agent_that_nobody_starts_again_goes_on_by_itself_when_the_trouble_is_over(
    cause: str, field: Field, undisturbed: Mapping[str, Outcome]
):
    rig = field.rig
    with ExitStack() as stack:
        stack.callback(lambda: [way.back() for way in field.ways])
        stack.callback(rig.end)
        if cause == "disk":
            stack.enter_context(own_filesystem(field))
        restore(rig, "update")
        field.want(before("update"))
        rig.start_and_look()
        field.count_from_here()
        rig.hold("fetch.begun")
        field.want("update")
        trouble = CAUSES[cause](field)
        assert isinstance(trouble, Trouble)
        trouble.hinder(rig.wait_held("fetch.begun"), lambda: False)
        trouble.end()
        outcome = field.settle("update", undisturbed["update"], seconds=60)
        rig.stop()
    assert outcome == undisturbed["update"]


@pytest.mark.parametrize("phase", PHASES)
def test_the_points_of_a_phase_are_those_it_passes(
    phase: str, field: Field, undisturbed: Mapping[str, Outcome]
):
    rig = field.rig
    passed: set[str] = set()

    def is_ready() -> bool:
        rig.go_on()
        rig.hold(*NAMES)
        return rig.is_idle()  # else a round was started before it could be held

    def ended() -> bool:
        passed.update(rig.pass_on())
        return field.has_reported(phase) and rig.is_idle()

    with ExitStack() as stack:
        stack.callback(rig.end)
        restore(rig, phase)
        field.want(before(phase))
        rig.start_and_look()
        field.count_from_here()
        wait_until(is_ready, what=f"no round is at work:\n{rig.told}")
        field.want(phase)
        wait_until(ended, what=f"{phase} ends:\n{rig.told}")
        rig.go_on()
        rig.stop()
    assert sorted(passed) == sorted(REACHED[phase])
