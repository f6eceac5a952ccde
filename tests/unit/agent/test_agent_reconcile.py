"""Whole rounds over a runtime in memory: what is true afterwards, also when a round died anywhere."""

import pytest

from edgewright.agent.settings import Settings
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.revisions import FOLLOWS, Stage
from edgewright.agent.work import bring_about
from support.bench import ID, OTHER, Bench, Crash, Fuse, with_fuse
from support.foreign_server import deployment_yaml, digest_of


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "state")


@pytest.mark.requirement("CAP-2", "CAP-3")
def test_the_first_round_queues_capabilities_and_the_second_does_not(bench):
    assert bench.round() is None
    assert bench.round() is None
    ((path, body),) = bench.reports
    assert path == "/api/v1/capabilities/edge-01"
    assert body["properties"]["supportedDeploymentTypes"] == ["compose"]
    assert bench.told == 2  # of this and of the site


def test_a_round_that_finds_everything_in_place_changes_and_reports_nothing(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    before, calls = bench.reports, list(bench.runtime.calls)
    assert bench.round() is None
    assert bench.reports == before
    assert bench.runtime.calls == calls


@pytest.mark.requirement("DS-13", "DS-14", "DS-23", "RT-6")
def test_documents_that_cannot_be_had_leave_everything_as_it_was(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    bench.receive(deployment_yaml(ID, components=["new"]))
    bench.session.reachable = False
    again = bench.round()
    assert again is not None
    assert set(bench.runtime.installed) == {(ID, "web")}
    assert bench.last()["adoptedManifestVersion"] == 1
    bench.session.reachable = True
    bench.round()
    assert set(bench.runtime.installed) == {(ID, "new")}


def test_another_round_is_asked_for_later_each_time_nothing_can_be_fetched(bench, monkeypatch):
    monkeypatch.setattr(bring_about, "jitter", lambda: 1.0)
    bench.runtime.unfetchable = {"web"}
    bench.receive(deployment_yaml(ID))
    assert [bench.round() for _ in range(4)] == [2.0, 4.0, 8.0, 16.0]


def test_all_obstacles_of_a_fetch_are_reported_and_nothing_running_is_touched(bench):
    bench.receive(deployment_yaml(ID, components=["a", "b", "c"]))
    bench.runtime.unfetchable = {"a"}
    bench.runtime.invalid = {"c"}
    bench.round()
    report = bench.last()
    assert [each["state"] for each in report["components"]] == ["pending", "pending", "failed"]
    assert report["status"]["error"]["code"] == "component.invalid"
    assert bench.runtime.installed == {}


@pytest.mark.requirement("ST-21", "ST-25")
def test_an_update_that_can_never_be_fetched_fails_with_its_own_version(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    bench.runtime.invalid = {"new"}
    version = bench.receive(deployment_yaml(ID, components=["new"]))
    assert bench.round() is None
    assert bench.last()["status"]["state"] == "failed"
    assert bench.last()["adoptedManifestVersion"] == version
    assert set(bench.runtime.installed) == {(ID, "web")}


def test_an_engine_that_does_not_answer_is_waited_for(bench):
    bench.receive(deployment_yaml(ID))
    bench.runtime.engine_down = True
    assert bench.round() is not None
    assert bench.last()["status"]["state"] == "pending"
    assert bench.last()["status"]["error"]["code"] == "engine.unavailable"
    bench.runtime.engine_down = False
    assert bench.round() is None
    assert bench.last()["status"]["state"] == "installed"


def test_an_engine_that_does_not_answer_breaks_nothing_that_is_installed(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    before = bench.reports
    bench.runtime.engine_down = True
    assert bench.round() is not None
    assert bench.reports == before


def test_a_removal_the_engine_refuses_is_tried_again(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    version = bench.receive()
    bench.runtime.engine_down = True
    assert bench.round() is not None
    assert (bench.last()["status"]["state"], bench.last()["adoptedManifestVersion"]) == ("removing", version)
    bench.receive()
    bench.runtime.engine_down = False
    assert bench.round() is None
    assert (bench.last()["status"]["state"], bench.last()["adoptedManifestVersion"]) == ("removed", version)
    assert bench.revisions() == ()


def test_a_repair_that_fails_is_reported_and_tried_again(bench):
    bench.receive(deployment_yaml(ID))
    bench.round()
    bench.runtime.break_down(ID, "web")
    bench.runtime.refused = {"web"}
    assert bench.round() is not None
    assert bench.last()["status"]["state"] == "failed"
    bench.runtime.refused = set()
    bench.now += 300
    assert bench.round() is None
    assert bench.last()["status"]["state"] == "installed"


def test_a_repair_touches_only_what_is_broken(bench):
    bench.receive(deployment_yaml(ID, components=["db", "web"]))
    bench.round()
    bench.runtime.lose(ID, "web")
    bench.runtime.calls.clear()
    bench.round()
    assert {name for _, _, name in bench.runtime.calls} == {"web"}


def test_a_refused_document_runs_once_the_device_can_run_it(bench):
    bench.receive(deployment_yaml(ID, constraints={"capacityRequirements": {"memory": "900Gi"}}))
    bench.round()
    assert bench.last()["status"]["error"]["code"] == "deployment.constraints-unmet"
    more = Settings.parse(b"capabilities: {memory: 999Gi}", source="agent.yaml")
    bench.round(settings=more)
    assert bench.last()["status"]["state"] == "installed"


def test_documents_and_projects_nobody_refers_to_are_deleted(bench, tmp_path):
    stray = tmp_path / "state" / "projects" / "stray"
    stray.mkdir(parents=True)
    bench.receive(deployment_yaml(ID))
    bench.round()
    bench.receive(deployment_yaml(ID, components=["new"]))
    bench.round()
    bench.receive(deployment_yaml(ID, components=["newer"]))
    bench.round(policy="rollback: {keep: 0}")
    kept = [each.name for each in (tmp_path / "state" / "objects" / "sha256").iterdir()]
    assert kept == [bench.revisions()[0].digest.removeprefix("sha256:")]
    assert not stray.exists()


def test_a_lost_document_is_fetched_again(bench, tmp_path):
    data = deployment_yaml(ID)
    bench.receive(data)
    bench.round()
    stored = tmp_path / "state" / "objects" / "sha256" / digest_of(data).removeprefix("sha256:")
    stored.write_bytes(b"bit rot")
    assert bench.round() is None
    assert stored.read_bytes() == data


@pytest.mark.requirement("DS-17")
def test_after_a_bundle_that_lied_the_next_attempt_goes_one_by_one(bench):
    bench.receive(deployment_yaml(ID), deployment_yaml(OTHER))
    bundle = next(path for path in bench.session.served if "/bundles/" in path)
    bench.session.served[bundle] = b"tampered"
    assert bench.round() is not None
    assert bench.runtime.installed == {}
    assert bench.round() is None
    assert set(bench.runtime.installed) == {(ID, "web"), (OTHER, "web")}
    assert bench.session.asked.count(bundle) == 1


# --- dying -------------------------------------------------------------------------------------------


CHANCES = range(1, 200)


def final(bench):
    """What is true at the end: what runs with what, and the last word about each deployment."""
    running = {key: dict(bench.runtime.environments[key]) for key in bench.runtime.installed}
    words = {}
    for path, body in bench.reports:
        if path.endswith("/status"):
            words[path] = (body["status"]["state"], body["adoptedManifestVersion"], len(body["components"]))
    return running, words, [(each.deployment_id, each.stage) for each in bench.revisions()]


def story(bench):
    """Install two deployments; then update one with a component less and one more, and remove the other."""
    parameters = {"p": {"value": "new", "targets": [{"pointer": "P", "components": ["web", "more"]}]}}
    yield lambda: bench.receive(deployment_yaml(ID, components=["db", "web"]), deployment_yaml(OTHER))
    yield lambda: bench.receive(deployment_yaml(ID, components=["web", "more"], parameters=parameters))


@pytest.mark.requirement("DS-16", "DS-23", "OP-17", "ST-1")
@pytest.mark.parametrize("chapter", [0, 1])
def test_a_round_killed_at_any_step_is_finished_by_the_next(tmp_path, chapter):
    """Every single chance to die is taken once; the end is always the same, and the first is proved right."""
    expected = None
    for at in CHANCES:
        bench = Bench(tmp_path / f"{chapter}-{at}")
        died = False
        for number, receive in enumerate(story(bench)):
            receive()
            if number == chapter:
                with pytest.MonkeyPatch.context() as patch:
                    with_fuse(patch, bench, Fuse(at))
                    try:
                        bench.round()
                    except Crash:
                        died = True
            bench.round()
        reached = final(bench)
        if expected is None:
            expected = reached
            check_the_end(reached)
        assert reached == expected, f"killed at chance {at}"
        if not died:
            assert at > 20, "the fuse hardly burned"
            return
    pytest.fail("a round has more chances to die than were tried")


def check_the_end(reached):
    running, words, stages = reached
    assert running == {(ID, "web"): {"P": "new"}, (ID, "more"): {"P": "new"}}
    assert words == {
        f"/api/v1/deployments/{ID}/status": ("installed", 2, 2),
        f"/api/v1/deployments/{OTHER}/status": ("removed", 2, 1),
    }
    assert stages == [(ID, Stage.SUPERSEDED), (ID, Stage.INSTALLED)]


def test_stages_follow_each_other_as_the_table_says(bench, monkeypatch):
    seen = set()
    write = Ledger._write

    def checking(self, revision, **how):
        for known in self.revisions():
            if known.key == revision.key and known.stage is not revision.stage:
                seen.add((known.stage, revision.stage))
                assert revision.stage in FOLLOWS[known.stage], f"{known.stage} → {revision.stage}"
        return write(self, revision, **how)

    monkeypatch.setattr(Ledger, "_write", checking)
    for receive in story(bench):
        receive()
        bench.round()
    first, second = deployment_yaml(ID, components=["web"]), deployment_yaml(ID, components=["bad"])
    bench.receive(first)
    bench.round()
    bench.runtime.refused = {"bad"}
    bench.receive(second)
    bench.round()
    bench.receive(first)
    bench.round()
    bench.runtime.break_down(ID, "web")
    bench.round()
    bench.runtime.engine_down = True
    bench.receive()
    bench.round()
    bench.runtime.engine_down = False
    bench.receive(first)
    bench.round()
    assert bench.last()["status"]["state"] == "installed"
    assert {(Stage.READY, Stage.APPLYING), (Stage.REMOVING, Stage.ACCEPTED)} <= seen
