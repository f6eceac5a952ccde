"""Updates that fail: the last good revision runs again, and what is reported is true all the way."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.runtimes import StorageFullError
from edgewright.agent.settings import Settings
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.retention import forgotten, may_need_snapshots
from edgewright.agent.state.revisions import (
    STAGES,
    WAITING,
    Failure,
    Progress,
    Revision,
    Stage,
    StandIn,
    last_good,
    reported,
)
from edgewright.agent.state.status import report
from edgewright.agent.state.store import Store
from edgewright.agent.work.desired import snapshots_volumes
from edgewright.agent.work.plan import CALM_SECONDS
from edgewright.cli.main import guarded
from edgewright.cli.main import run as run_command
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.status import State
from support.bench import ID, OTHER, Bench, Crash, Fuse, with_fuse
from support.foreign_server import deployment_yaml, digest_of
from support.stages_page import stages_page

PARAMETERS = {"p": {"value": "new", "targets": [{"pointer": "P", "components": ["web"]}]}}
GOOD = deployment_yaml(ID, components=["db", "web"])
BAD = deployment_yaml(ID, components=["web", "more"], parameters=PARAMETERS)
OTHER_BAD = deployment_yaml(ID, components=["web", "less"])
OURS = "x-edgewright-extensions"
SNAPSHOT = {OURS: {"rollback": {"volumes": "snapshot"}}}
MANUAL = "rollback: {automatic: false}"


S = Stage


@pytest.fixture
def bench(tmp_path):
    """A device on which GOOD is installed."""
    return with_good(tmp_path / "state")


@pytest.fixture(autouse=True)
def _every_step_is_in_the_table(monkeypatch):
    write = Ledger._write

    def checking(self, revision, **how):
        for known in self.revisions():
            if known.key == revision.key and known.stage is not revision.stage:
                assert revision.stage in STAGES[known.stage].follows, f"{known.stage} → {revision.stage}"
        return write(self, revision, **how)

    monkeypatch.setattr(Ledger, "_write", checking)


def with_good(directory, document=GOOD):
    made = Bench(directory)
    made.receive(document)
    made.round()
    made.runtime.refused_revisions = {digest_of(BAD), digest_of(OTHER_BAD)}
    return made


def stages(bench):
    return {each.digest: each.stage for each in bench.revisions()}


def words(bench):
    """The state and the adopted version of every status, in order."""
    return [
        (body["status"]["state"], body["adoptedManifestVersion"])
        for path, body in bench.reports
        if path.endswith("/status")
    ]


def runs(bench, document):
    """Whether exactly `document` runs, and all of it well."""
    made = ApplicationDeployment.parse(document)
    expected = {(ID, each.name): digest_of(document) for each in made.spec.deployment_profile.components}
    found = {key: each.revision for key, each in bench.runtime.installed.items() if each.health == "running"}
    return found == expected == {key: each.revision for key, each in bench.runtime.installed.items()}


def command(words):
    """Run `edgewright WORDS` and return its exit code."""
    return guarded(lambda: run_command(words))


def lose_component(bench, name):
    bench.runtime.lose(ID, name)


# --- ports that move ---------------------------------------------------------------------------------


def with_port(holder, *names):
    """A deployment of `names` in which `holder` publishes the one port."""
    port = {"port": {"value": "80", "targets": [{"pointer": "PORT", "components": [holder]}]}}
    return deployment_yaml(ID, components=list(names), parameters=port)


MOVES = [
    pytest.param(with_port("b", "a", "b"), with_port("a", "a", "b"), id="to an earlier component"),
    pytest.param(with_port("a", "a", "b"), with_port("b", "a", "b"), id="to a later component"),
    pytest.param(with_port("old", "a", "old"), with_port("new", "new", "a"), id="to one in place of another"),
]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_port_may_move_from_one_component_to_another(tmp_path, before, after):
    bench = with_good(tmp_path / "state", before)
    bench.receive(after)
    assert bench.round() is None
    assert runs(bench, after)
    assert "failed" not in {state for state, _ in words(bench)}


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_port_that_moved_goes_back_with_a_roll_back(tmp_path, before, after):
    bench = with_good(tmp_path / "state", before)
    bad = json.loads(after)
    bad["spec"]["deploymentProfile"]["components"].append(
        {**bad["spec"]["deploymentProfile"]["components"][0], "name": "refused"}
    )
    bench.runtime.refused = {"refused"}
    bench.receive(json.dumps(bad).encode())
    assert bench.round() is None
    assert runs(bench, before)
    assert "is running again" in bench.last()["status"]["error"]["message"]


def test_a_port_that_somebody_else_holds_fails_as_it_is_and_takes_nothing_down_for_long(tmp_path):
    bench = with_good(tmp_path / "state", with_port("a", "a", "b"))
    other = json.loads(with_port("x", "x")) | {"id": OTHER}
    bench.receive(with_port("a", "a", "b"), json.dumps(other).encode())
    bench.round()
    assert runs(bench, with_port("a", "a", "b"))
    assert "already allocated" in bench.last(OTHER)["status"]["error"]["message"]


# --- an update that fails ----------------------------------------------------------------------------


@pytest.mark.requirement("ST-5", "ST-21", "ST-24")
def test_what_fails_is_rolled_back_in_the_same_round_from_what_is_here(bench):
    version = bench.receive(BAD)
    bench.runtime.calls.clear()
    assert bench.round() is None
    assert runs(bench, GOOD)
    assert bench.runtime.environments[ID, "web"] == {}
    assert stages(bench) == {digest_of(GOOD): Stage.INSTALLED, digest_of(BAD): Stage.ROLLED_BACK}
    fetched = [name for what, _, name in bench.runtime.calls if what == "fetch"]
    assert fetched == ["web", "more"], "only what was new was fetched"
    assert words(bench)[-1] == ("failed", version)
    error = bench.last()["status"]["error"]
    assert error["code"] == "apply.failed"
    assert error["source"] == "app"
    assert "ended with exit code 3" in error["message"]
    assert f"revision {digest_of(GOOD)[7:19]} (db 1.0.0, web 1.0.0) is running again" in error["message"]


@pytest.mark.requirement("ST-2", "ST-3", "ST-8")
def test_of_what_was_rolled_back_no_component_is_said_to_be_installed(bench):
    bench.runtime.refused_revisions = set()
    bench.runtime.refused = {"more"}
    bench.receive(BAD)
    bench.round()
    assert [(each["name"], each["state"]) for each in bench.last()["components"]] == [
        ("web", "pending"),
        ("more", "failed"),
    ]
    assert bench.last()["components"][1]["error"]["source"] == "more"


def test_a_failure_is_never_unsaid_while_it_is_rolled_back(bench):
    bench.receive(BAD)
    bench.round()
    states = [state for state, _ in words(bench)]
    assert set(states[states.index("failed") :]) == {"failed"}


def test_what_was_rolled_back_is_left_alone(bench):
    bench.receive(BAD)
    bench.round()
    before = bench.reports
    bench.runtime.calls.clear()
    assert bench.round() is None
    assert bench.reports == before
    assert [what for what, _, _ in bench.runtime.calls if what in {"apply", "fetch", "remove"}] == []


def test_a_new_manifest_that_names_it_still_does_not_try_it_again(bench):
    bench.receive(BAD)
    bench.round()
    version = bench.receive(BAD)
    bench.round()
    assert words(bench)[-1] == ("failed", version)
    assert runs(bench, GOOD)


def test_a_changed_document_is_tried(bench):
    bench.receive(BAD)
    bench.round()
    better = deployment_yaml(ID, components=["web"])
    version = bench.receive(better)
    bench.round()
    assert words(bench)[-1] == ("installed", version)
    assert runs(bench, better)
    assert digest_of(BAD) not in stages(bench)


def test_a_person_can_have_it_tried_again(bench):
    bench.receive(BAD)
    bench.round()
    store = Store(bench.paths.database)
    Wishes(store).retry([ID], by="Ada", via="command line")
    store.close()
    bench.runtime.refused_revisions = set()
    bench.round()
    assert words(bench)[-1] == ("installed", 2)
    assert runs(bench, BAD)


def test_the_command_to_try_again_leaves_word_for_the_next_round(bench, capsys):
    bench.receive(BAD)
    bench.round()
    bench.runtime.refused_revisions = set()
    assert command(["agent", "retry", ID, "--state", bench.paths.root]) == 0
    assert f"deployment app ({ID}) is tried again when the agent runs" in capsys.readouterr().out
    bench.round()
    assert runs(bench, BAD)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param([], 1, "nothing was given up", id="all is well"),
        pytest.param([ID], 1, "nothing was given up", id="this one is well"),
        pytest.param([OTHER], 2, "there is no deployment", id="not here"),
    ],
)
def test_the_command_to_try_again_says_when_there_is_nothing_to_try(bench, capsys, words, code, said):
    assert command(["agent", "retry", *words, "--state", bench.paths.root]) == code
    assert said in capsys.readouterr().err


def test_a_person_is_shown_one_line_for_each_deployment_with_what_runs_instead(bench, capsys):
    bench.receive(BAD)
    bench.round()
    assert command(["agent", "status", "--json", "--state", bench.paths.root]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["deployments"]
    assert (shown["state"], shown["stage"]) == ("failed", "rolled-back")
    assert shown["error"].endswith("is running again")


@pytest.mark.parametrize(("free", "told"), [(3 << 20, "3 MiB free; nothing is fetched"), (1 << 30, None)])
def test_a_person_is_told_when_the_disk_is_too_full_for_anything_new(bench, capsys, monkeypatch, free, told):
    monkeypatch.setattr("edgewright.agent.on_site.facts.free_bytes", lambda _path: free)
    assert command(["agent", "status", "--state", bench.paths.root]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("disk ")]
    assert shown == [] if told is None else told in shown[0]


def test_a_device_that_lost_its_database_is_no_stranger(bench, capsys):
    Path(bench.paths.identity).mkdir(parents=True, exist_ok=True)
    for name in ("state.db", "state.db-wal", "accepted"):
        Path(bench.paths.root, name).unlink(missing_ok=True)
    assert command(["agent", "status", "--state", bench.paths.root]) == 0
    assert "missing too" in capsys.readouterr().out


def test_a_wish_to_try_again_is_granted_once(bench):
    bench.receive(BAD)
    bench.round()
    store = Store(bench.paths.database)
    Wishes(store).retry([ID], by="Ada", via="command line")
    store.close()
    bench.round()
    bench.runtime.calls.clear()
    bench.round()
    assert bench.runtime.calls == []
    assert runs(bench, GOOD)


def test_everything_given_up_can_be_tried_again_at_once(bench):
    bench.receive(BAD)
    bench.round()
    bench.runtime.refused_revisions = set()
    bench.round(retry_failed=True)
    assert runs(bench, BAD)


@pytest.mark.requirement("DS-18", "ST-21")
def test_going_back_to_the_last_good_document_is_installed_at_once_and_restarts_nothing(bench):
    bench.receive(BAD)
    bench.round()
    bench.runtime.calls.clear()
    version = bench.receive(GOOD)
    bench.round()
    assert words(bench)[-1] == ("installed", version)
    assert {what for what, _, _ in bench.runtime.calls} <= {"release"}
    assert stages(bench) == {digest_of(GOOD): Stage.INSTALLED}


def test_a_first_install_that_fails_stays_failed(tmp_path):
    bench = Bench(tmp_path / "state")
    bench.runtime.refused_revisions = {digest_of(BAD)}
    version = bench.receive(BAD)
    assert bench.round() is None
    assert words(bench)[-1] == ("failed", version)
    assert "revision" not in bench.last()["status"]["error"]["message"]
    bench.runtime.calls.clear()
    bench.round()
    assert bench.runtime.calls == []


def test_what_fails_before_it_is_begun_leaves_what_runs_untouched(bench):
    bench.runtime.invalid = {"more"}
    bench.receive(BAD)
    bench.runtime.calls.clear()
    assert bench.round() is None
    assert {what for what, _, _ in bench.runtime.calls} == {"fetch"}
    assert runs(bench, GOOD)
    assert bench.last()["status"]["error"]["code"] == "component.invalid"
    assert bench.last()["status"]["error"]["message"].endswith("is still running")


def test_a_document_that_cannot_run_here_leaves_what_runs_untouched_and_looked_after(bench):
    bench.receive(deployment_yaml(ID, constraints={"capacityRequirements": {"memory": "900Gi"}}))
    bench.round()
    error = bench.last()["status"]["error"]
    assert error["code"] == "deployment.constraints-unmet"
    assert error["message"].endswith("is still running")
    lose_component(bench, "web")
    bench.round()
    assert runs(bench, GOOD)


def test_a_document_that_cannot_run_here_is_tried_once_it_can(bench):
    big = deployment_yaml(ID, constraints={"capacityRequirements": {"memory": "900Gi"}})
    bench.receive(big)
    bench.round()
    bench.round(settings=Settings.parse(b"capabilities: {memory: 999Gi}", source="agent.yaml"))
    assert runs(bench, big)


def test_a_site_can_keep_what_failed_as_it_is(bench):
    bench.receive(BAD)
    assert bench.round(policy=MANUAL) is None
    assert stages(bench)[digest_of(BAD)] is Stage.FAILED
    assert bench.runtime.installed[ID, "web"].revision == digest_of(BAD)
    bench.round()
    assert runs(bench, GOOD), "and changes its mind"


# --- fetching ----------------------------------------------------------------------------------------


def test_what_cannot_be_fetched_is_pending_for_ever_and_never_rolled_back(bench):
    bench.runtime.unfetchable = {"more"}
    bench.receive(BAD)
    for _ in range(20):
        assert bench.round() is not None
    assert words(bench)[-1] == ("pending", 1)
    assert bench.last()["status"]["error"]["code"] == "fetch.failed"
    assert runs(bench, GOOD)


def test_what_runs_is_repaired_while_an_update_cannot_be_fetched(bench):
    bench.runtime.unfetchable = {"more", "web"}
    bench.receive(BAD)
    bench.round()
    lose_component(bench, "web")
    bench.round()
    assert runs(bench, GOOD)
    assert words(bench)[-1] == ("pending", 1), "the report is about what is wanted"


def test_a_full_disk_in_the_middle_of_an_update_ends_on_the_last_good_revision(bench, monkeypatch):
    """Room for it was there when it was fetched; what then keeps failing is not waited for for ever."""
    apply = bench.runtime.apply

    def full(component):
        if component.revision == digest_of(BAD):
            raise StorageFullError("no space left", component=component.name)
        apply(component)

    monkeypatch.setattr(bench.runtime, "apply", full)
    bench.receive(BAD)
    rounds = 1
    while bench.round() is not None:
        assert words(bench)[-1][0] != "pending", "it was begun"
        rounds += 1
        assert rounds < 10
    assert rounds > 1
    assert runs(bench, GOOD)
    assert bench.last()["status"]["error"]["code"] == "storage.full"


def test_what_was_hard_to_fetch_is_not_given_up_any_sooner(bench, monkeypatch):
    bench.runtime.unfetchable = {"more"}
    bench.receive(BAD)
    for _ in range(20):
        bench.round()
    bench.runtime.unfetchable = set()

    def full(component):
        raise StorageFullError("no space left", component=component.name)

    monkeypatch.setattr(bench.runtime, "apply", full)
    assert bench.round() is not None
    assert stages(bench)[digest_of(BAD)] is Stage.APPLYING


# --- the way back is blocked -------------------------------------------------------------------------


def test_a_way_back_that_is_blocked_is_tried_again_and_told(bench):
    bench.runtime.refused = {"web"}
    bench.receive(BAD)
    assert bench.round() is not None
    assert stages(bench)[digest_of(BAD)] is Stage.ROLLING_BACK
    message = bench.last()["status"]["error"]["message"]
    assert "is to run in its place and does not: component web" in message
    assert bench.runtime.installed[ID, "db"].revision == digest_of(GOOD), "the rest is back"
    bench.runtime.refused = set()
    bench.now += 600
    assert bench.round() is None
    assert runs(bench, GOOD)
    assert bench.last()["status"]["error"]["message"].endswith("is running again")


def test_a_way_back_that_is_blocked_is_not_tried_before_its_time(bench):
    bench.runtime.refused = {"web"}
    bench.receive(BAD)
    bench.round()
    bench.runtime.calls.clear()
    assert bench.round() is not None
    assert bench.runtime.calls == []


def test_what_was_lost_of_the_last_good_revision_is_fetched_again(bench):
    bench.receive(BAD)
    digest = digest_of(GOOD)
    bench.runtime.fetched.discard((ID, "db", digest))
    bench.round()
    assert runs(bench, GOOD)


def test_an_engine_that_goes_away_is_waited_for_on_the_way_back(bench, monkeypatch):
    verify = bench.runtime.verify

    def down(component):
        if component.revision == digest_of(BAD):
            try:
                verify(component)
            finally:
                bench.runtime.engine_down = True
        else:
            verify(component)

    monkeypatch.setattr(bench.runtime, "verify", down)
    bench.receive(BAD)
    assert bench.round() is not None
    bench.runtime.engine_down = False
    bench.now += 600
    assert bench.round() is None
    assert runs(bench, GOOD)


def test_a_lost_document_of_the_last_good_revision_is_waited_for(bench):
    bench.receive(BAD)
    document = Path(bench.paths.objects, digest_of(GOOD)[7:])
    document.unlink()
    shutil.rmtree(bench.paths.revision(ID, digest_of(GOOD)), ignore_errors=True)  # and its copy
    assert bench.round() is not None
    assert stages(bench)[digest_of(BAD)] is Stage.FAILED
    document.write_bytes(GOOD)
    assert bench.round() is None
    assert runs(bench, GOOD)


def test_another_document_that_cannot_be_fetched_does_not_stop_the_way_back(bench):
    bench.runtime.refused = {"web"}
    bench.receive(BAD)
    bench.round()
    bench.runtime.refused, bench.runtime.unfetchable = set(), {"less"}
    bench.receive(OTHER_BAD)
    bench.round()
    assert runs(bench, GOOD)
    assert words(bench)[-1][0] == "pending"


# --- what runs in place of what failed ---------------------------------------------------------------


def test_what_runs_in_place_of_what_failed_is_repaired(bench):
    bench.receive(BAD)
    bench.round()
    lose_component(bench, "db")
    bench.now += CALM_SECONDS
    bench.runtime.calls.clear()
    bench.round()
    assert runs(bench, GOOD)
    assert {name for what, _, name in bench.runtime.calls if what == "apply"} == {"db"}
    assert words(bench)[-1] == ("failed", 2)
    assert bench.last()["status"]["error"]["message"].endswith("is running again")


def test_what_runs_in_place_and_stops_again_and_again_is_told_and_waited_for(bench):
    bench.receive(BAD)
    bench.round()
    bench.now += CALM_SECONDS
    for _ in range(4):
        bench.runtime.break_down(ID, "web")
        bench.round()
    assert "stopped again" in bench.last()["status"]["error"]["message"]
    bench.runtime.calls.clear()
    assert bench.round() is not None
    assert bench.runtime.calls == []
    bench.now += 300
    assert bench.round() is None
    assert runs(bench, GOOD)


def test_a_component_that_stops_again_and_again_is_reported_as_such_and_repaired_with_pauses(bench):
    for _ in range(3):
        bench.runtime.break_down(ID, "web")
        bench.round()
    assert bench.last()["status"]["state"] == "failed"
    assert bench.last()["status"]["error"]["code"] == "component.crash-looping"
    applied = [name for what, _, name in bench.runtime.calls if what == "apply"]
    assert applied.count("web") == 2, "one start, one repair"
    bench.now += 300
    assert bench.round() is None
    assert words(bench)[-1] == ("installed", 1)


def test_after_a_calm_time_a_repair_is_the_first_one_again(bench):
    for _ in range(5):
        bench.runtime.break_down(ID, "web")
        bench.now += CALM_SECONDS
        assert bench.round() is None
    assert words(bench)[-1] == ("installed", 1)
    assert "failed" not in {state for state, _ in words(bench)}


def test_a_clock_that_was_set_back_keeps_no_repair_waiting(bench):
    bench.runtime.break_down(ID, "web")
    bench.round()
    bench.runtime.break_down(ID, "web")
    bench.now -= 1_000_000
    bench.round()
    assert runs(bench, GOOD)


# --- volumes -----------------------------------------------------------------------------------------


@pytest.mark.requirement("EXT-1", "EXT-2", "AD-10")
def test_volumes_come_back_as_they_were_when_the_update_began(tmp_path):
    good = deployment_yaml(ID, components=["web"], **SNAPSHOT)
    bench = with_good(tmp_path / "state", good)
    bench.runtime.volumes[ID, "web"] = "before"
    bad = deployment_yaml(ID, components=["web"], parameters=PARAMETERS, **SNAPSHOT)
    bench.runtime.refused_revisions = {digest_of(bad)}
    spoil_volumes(bench, digest_of(bad))
    bench.receive(bad)
    bench.round()
    assert runs(bench, good)
    assert bench.runtime.volumes[ID, "web"] == "before"
    copies = Path(bench.paths.snapshots(ID, digest_of(good)))
    assert not copies.exists(), "a copy that has served is deleted"


def test_volumes_stay_as_they_are_where_nobody_asked_for_copies(bench):
    bench.runtime.volumes[ID, "web"] = "before"
    spoil_volumes(bench, digest_of(BAD))
    bench.receive(BAD)
    bench.round()
    assert bench.runtime.volumes[ID, "web"] == "spoiled"
    assert "snapshot" not in {what for what, _, _ in bench.runtime.calls}


def test_copies_of_volumes_go_once_the_update_is_good(tmp_path):
    good = deployment_yaml(ID, components=["web"], **SNAPSHOT)
    bench = with_good(tmp_path / "state", good)
    bench.receive(deployment_yaml(ID, components=["web"], parameters=PARAMETERS))
    bench.round()
    assert "snapshot" in {what for what, _, _ in bench.runtime.calls}
    assert not Path(bench.paths.snapshots(ID, digest_of(good))).exists()


def test_what_is_written_after_the_way_back_is_not_lost_to_a_second_one(tmp_path):
    good = deployment_yaml(ID, components=["web"], **SNAPSHOT)
    bench = with_good(tmp_path / "state", good)
    bench.runtime.refused_revisions = {digest_of(BAD)}
    bench.receive(BAD)
    bench.round()
    bench.runtime.volumes[ID, "web"] = "written since"
    lose_component(bench, "web")
    bench.round()
    assert bench.runtime.volumes[ID, "web"] == "written since"


def test_a_copy_from_before_an_update_that_was_good_is_never_put_back(tmp_path):
    """The round is killed right after the update was good, before the copy is deleted, and taken back."""
    good, better = deployment_yaml(ID, components=["web"], **SNAPSHOT), deployment_yaml(ID, name="better")
    for at in range(1, 100):
        bench = with_good(tmp_path / str(at), good)
        bench.receive(better)
        with pytest.MonkeyPatch.context() as patch:
            with_fuse(patch, bench, Fuse(at))
            try:
                bench.round()
                done = True
            except Crash:
                done = False
        if not runs(bench, better) or stages(bench).get(digest_of(better)) is not Stage.INSTALLED:
            continue
        bench.runtime.volumes[ID, "web"] = "written since"
        bench.receive(good)
        bench.round()
        assert runs(bench, good)
        assert bench.runtime.volumes[ID, "web"] == "written since", f"killed at chance {at}"
        if done:
            return
    pytest.fail("a round has more chances to die than were tried")


def spoil_volumes(bench, digest):
    """Let revision `digest` write into its volumes as soon as it is started."""
    apply = bench.runtime.apply

    def spoiling(component):
        apply(component)
        if component.revision == digest:
            bench.runtime.volumes[component.key] = "spoiled"

    bench.runtime.apply = spoiling


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        pytest.param({}, False, id="nothing said"),
        pytest.param(SNAPSHOT, True, id="asked for"),
        pytest.param(
            {"x-edgewright-extensions": {"rollback": {"volumes": "keep"}}}, False, id="another word"
        ),
        pytest.param({"x-edgewright-extensions": {"rollback": "snapshot"}}, False, id="another shape"),
        pytest.param({"x-edgewright-extensions": {"other": 1}}, False, id="another matter"),
        pytest.param(
            {"x-vendor-extensions": {"rollback": {"volumes": "snapshot"}}}, False, id="another vendor"
        ),
    ],
)
def test_copies_of_volumes_are_asked_for_in_the_document(change, asked):
    made = json.loads(deployment_yaml(ID))
    made["spec"].update(change)
    assert snapshots_volumes(ApplicationDeployment.parse(json.dumps(made).encode())) is asked
    made = json.loads(deployment_yaml(ID))
    made["spec"]["deploymentProfile"].update(change)
    assert snapshots_volumes(ApplicationDeployment.parse(json.dumps(made).encode())) is asked


# --- what is kept ------------------------------------------------------------------------------------


def test_good_revisions_are_kept_and_older_ones_forgotten_with_all_they_had(tmp_path):
    bench = Bench(tmp_path / "state")
    documents = [deployment_yaml(ID, components=["web"], name=f"app-{number}") for number in range(5)]
    for document in documents:
        bench.receive(document)
        bench.round()
        Path(bench.paths.component(ID, digest_of(document), "web")).mkdir(parents=True)
    bench.round()
    kept = {digest_of(document) for document in documents[2:]}
    assert set(stages(bench)) == kept
    for directory in (bench.paths.deployment(ID), bench.paths.objects):
        assert {each.name for each in Path(directory).iterdir()} == {digest[7:] for digest in kept}
    assert {entry[2] for entry in bench.runtime.fetched} == kept


def revision(stage, number=1, verified=0, **more):
    return Revision(
        deployment_id=ID,
        digest=f"sha256:{number:064x}",
        stage=stage,
        adopted=3,
        name="app",
        components=(Progress(name="web", state=State.FAILED),),
        verified=verified,
        **more,
    )


kinds = st.tuples(st.sampled_from([each for each in Stage if each is not Stage.REMOVED]), st.integers(0, 9))


@given(st.lists(kinds, max_size=6), st.integers(0, 4))
def test_only_good_ones_are_kept_the_newest_first_and_what_is_wanted_next(kinds, keep):
    siblings = [revision(stage, number, verified) for number, (stage, verified) in enumerate(kinds)]
    running = revision(Stage.INSTALLED, 99, 10)
    gone = forgotten([*siblings, running], running, keep)
    kept = [each for each in siblings if each not in gone and each.stage not in WAITING]
    assert running not in gone
    assert all(each.verified for each in kept)
    assert len(kept) == min(keep, sum(1 for each in siblings if good_and_begun(each)))
    assert all(old.verified <= new.verified for old in gone for new in kept)


def good_and_begun(each):
    return each.verified > 0 and each.stage not in WAITING


@given(st.lists(kinds, max_size=6))
def test_the_last_good_revision_is_the_one_that_came_up_last(kinds):
    siblings = [revision(stage, number, verified) for number, (stage, verified) in enumerate(kinds)]
    last = last_good(siblings)
    if last is None:
        assert not any(each.verified for each in siblings)
    else:
        assert last.verified == max(each.verified for each in siblings) > 0


@pytest.mark.parametrize(
    ("siblings", "needed"),
    [
        pytest.param([revision(Stage.INSTALLED, verified=1)], False, id="all is well"),
        pytest.param([revision(S.SUPERSEDED, verified=1), revision(S.ACCEPTED, 2)], True, id="once more"),
        *[
            pytest.param([revision(Stage.SUPERSEDED, verified=1), revision(stage, 2)], True, id=stage.value)
            for stage in (S.APPLYING, S.VERIFYING, S.FAILED, S.ROLLING_BACK, S.SUPERSEDED)
        ],
        pytest.param([revision(Stage.INSTALLED, verified=1), revision(S.ROLLED_BACK, 2)], False, id="back"),
    ],
)
def test_copies_of_volumes_are_kept_while_they_may_be_needed(siblings, needed):
    assert may_need_snapshots(siblings) is needed


# --- words -------------------------------------------------------------------------------------------

STAND_IN = StandIn(digest="sha256:" + "a" * 64, versions="web 1.0.0")


@pytest.mark.parametrize(
    ("stage", "change", "end"),
    [
        pytest.param(Stage.ROLLING_BACK, {}, "is being brought back", id="on the way"),
        pytest.param(Stage.ROLLING_BACK, {"trouble": "no port"}, "and does not: no port", id="blocked"),
        pytest.param(Stage.ROLLED_BACK, {}, "is running again", id="back"),
        pytest.param(Stage.ROLLED_BACK, {"untouched": True}, "is still running", id="never gone"),
    ],
)
def test_the_end_of_a_long_message_is_never_cut_off(stage, change, end):
    failed = revision(
        stage, failure=Failure(code="apply.failed", message="x" * 9000), stand_in=replace(STAND_IN, **change)
    )
    message = report(failed, "edge-01", 7).status.error.message
    assert len(message) <= 4000
    assert message.startswith("xxx")
    assert message.endswith(end)
    assert "revision aaaaaaaaaaaa (web 1.0.0)" in message


@pytest.mark.parametrize(
    ("known", "stage"),
    [
        pytest.param([revision(S.INSTALLED, 1, 1)], S.INSTALLED, id="what runs"),
        pytest.param([revision(S.SUPERSEDED, 1, 1), revision(S.APPLYING, 2)], S.APPLYING, id="what is begun"),
        pytest.param(
            [revision(S.INSTALLED, 1, 1), revision(S.FETCHING, 2)], S.FETCHING, id="what is to come"
        ),
        pytest.param(
            [revision(S.ROLLED_BACK, 2, 1), revision(S.INSTALLED, 1, 2)], S.ROLLED_BACK, id="what failed"
        ),
    ],
)
def test_one_revision_of_a_deployment_is_the_one_reported(known, stage):
    assert [each.stage for each in reported(known)] == [stage]


def test_the_page_about_stages_is_made_from_the_table():
    page = Path(__file__).parents[3] / "docs" / "reference" / "stages.md"
    assert page.read_text() == stages_page(), "write it anew with: python tests/support/stages_page.py"


def test_every_stage_says_what_a_kill_in_it_leads_to_and_can_be_reached():
    assert set(STAGES) == set(Stage)
    reached = {Stage.ACCEPTED}.union(*(facts.follows for facts in STAGES.values()))
    assert reached == set(Stage)
    assert all(facts.after_kill for facts in STAGES.values())


# --- dying -------------------------------------------------------------------------------------------

ENDS = {
    "update": (GOOD, "failed"),
    "another": (GOOD, "failed"),
    "return": (GOOD, "installed"),
}


@pytest.mark.requirement("DS-16", "OP-17", "ST-1")
@pytest.mark.parametrize("story", ENDS)
def test_a_roll_back_killed_at_any_step_is_finished_by_the_next_round(tmp_path, story):
    expected = None
    for at in range(1, 300):
        bench = with_good(tmp_path / f"{story}-{at}")
        bench.receive(BAD)
        if story != "update":
            bench.round()
            bench.receive(OTHER_BAD if story == "another" else GOOD)
        died = False
        with pytest.MonkeyPatch.context() as patch:
            with_fuse(patch, bench, Fuse(at))
            try:
                bench.round()
            except Crash:
                died = True
        bench.now += 600
        bench.round()
        document, state = ENDS[story]
        assert runs(bench, document), f"killed at chance {at}"
        end = (words(bench)[-1], bench.last()["status"], stages(bench))
        expected = expected or end
        assert end == expected, f"killed at chance {at}"
        assert end[0][0] == state
        if not died:
            return
    pytest.fail("a round has more chances to die than were tried")


def test_volumes_come_back_wherever_an_update_is_killed(tmp_path):
    good = deployment_yaml(ID, components=["web"], **SNAPSHOT)
    for at in range(1, 300):
        bench = with_good(tmp_path / str(at), good)
        bench.runtime.refused_revisions = {digest_of(BAD)}
        bench.runtime.volumes[ID, "web"] = "before"
        spoil_volumes(bench, digest_of(BAD))
        bench.receive(BAD)
        died = False
        with pytest.MonkeyPatch.context() as patch:
            with_fuse(patch, bench, Fuse(at))
            try:
                bench.round()
            except Crash:
                died = True
        bench.now += 600
        bench.round()
        assert runs(bench, good), f"killed at chance {at}"
        assert bench.runtime.volumes[ID, "web"] == "before", f"killed at chance {at}"
        if not died:
            return
    pytest.fail("a round has more chances to die than were tried")
