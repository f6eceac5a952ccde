"""Each report is true when it is made: what runs is looked at first, and the version is of what is held."""

from dataclasses import replace

import pytest

from edgewright.agent.runtimes import Health, StorageError, StorageFullError
from edgewright.agent.state.revisions import Stage
from edgewright.agent.work.plan import CALM_SECONDS
from support.bench import ID, Bench, Crash, Fuse, with_fuse
from support.foreign_server import deployment_yaml, digest_of

GOOD = deployment_yaml(ID, components=["db", "web"])
NEXT = deployment_yaml(ID, components=["web", "more"])
LATER = deployment_yaml(ID, components=["web", "less"])
MANUAL = "rollback: {automatic: false}"


@pytest.fixture
def bench(tmp_path):
    """A device on which GOOD is installed, from manifest version 1."""
    made = Bench(tmp_path / "state")
    made.receive(GOOD)
    made.round()
    return made


def told_since(bench, before):
    """The reports about the deployment after the first `before`, as (state, version)."""
    bodies = [body for _, body in bench.reports[before:] if "status" in body]
    return [(body["status"]["state"], body["adoptedManifestVersion"]) for body in bodies]


@pytest.mark.requirement("ST-1", "ST-8", "ST-21")
@pytest.mark.parametrize("how", ["break_down", "lose"])
def test_what_died_before_a_new_manifest_came_is_never_reported_installed_meanwhile(bench, how):
    getattr(bench.runtime, how)(ID, "web")
    before, version = len(bench.reports), bench.receive(GOOD)
    bench.round()
    assert told_since(bench, before) == [("installing", version), ("installed", version)]


@pytest.mark.requirement("ST-1", "ST-21")
def test_what_still_runs_is_reported_with_the_new_manifest_and_not_touched(bench):
    before, calls, version = len(bench.reports), len(bench.runtime.calls), bench.receive(GOOD)
    bench.round()
    assert told_since(bench, before) == [("installed", version)]
    assert len(bench.runtime.calls) == calls


@pytest.mark.requirement("ST-21")
def test_while_the_engine_does_not_answer_the_last_that_was_known_is_reported(bench):
    bench.runtime.engine_down = True
    before, version = len(bench.reports), bench.receive(GOOD)
    bench.round()
    assert told_since(bench, before) == [("installed", version)]


def test_a_stand_in_that_died_before_a_new_manifest_came_is_not_said_to_run(bench):
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    bench.receive(NEXT)
    bench.round()
    assert bench.last()["status"]["error"]["message"].endswith("is running again")
    bench.runtime.break_down(ID, "db")
    bench.now += CALM_SECONDS
    before, version = len(bench.reports), bench.receive(NEXT)
    bench.round()
    messages = [body["status"]["error"]["message"] for _, body in bench.reports[before:]]
    assert messages[0].endswith("is being brought back")
    assert messages[-1].endswith("is running again")
    assert told_since(bench, before)[-1] == ("failed", version)


@pytest.mark.requirement("ST-21", "ST-22")
def test_a_repair_is_reported_with_the_version_of_what_is_repaired(bench):
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    bench.receive(NEXT)
    bench.runtime.engine_down = True
    bench.round()  # the new revision waits for the engine
    assert bench.last()["adoptedManifestVersion"] == 1
    bench.receive(GOOD)
    bench.round()  # and gives way to the old one, which is wanted again
    bench.runtime.engine_down = False
    bench.runtime.unfetchable = {"less"}
    bench.runtime.break_down(ID, "web")
    before, _ = len(bench.reports), bench.receive(LATER)
    bench.round()
    told = told_since(bench, before)
    assert ("installing", 3) in told
    assert {version for _, version in told} == {3}


@pytest.mark.requirement("ST-21", "ST-22")
def test_what_is_repaired_after_another_one_was_begun_has_its_own_version_not_that_of_the_other(bench):
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    second = bench.receive(NEXT)
    bench.round(policy=MANUAL)  # it was begun, failed, and stays as it is
    assert bench.last()["adoptedManifestVersion"] == second
    bench.runtime.unfetchable = {"db"}
    bench.runtime.fetched.clear()
    third = bench.receive(GOOD)
    bench.round()  # wanted again, and not begun: it cannot be fetched
    assert bench.last()["adoptedManifestVersion"] == second
    bench.now += 60.0
    bench.runtime.unfetchable = {"less"}
    before, _ = len(bench.reports), bench.receive(LATER)
    bench.round()
    told = told_since(bench, before)
    assert ("installing", third) in told
    assert told[-1] == ("pending", third)


@pytest.mark.requirement("ST-21", "ST-22")
def test_where_a_repair_fails_after_an_update_did_what_was_repaired_is_held(bench):
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    second = bench.receive(NEXT)
    bench.round(policy=MANUAL)  # it was begun, failed, and stays as it is
    bench.runtime.refused_revisions.add(digest_of(GOOD))
    bench.runtime.unfetchable = {"less"}
    bench.receive(LATER)
    bench.round()
    told = told_since(bench, 0)
    assert ("pending", second) in told
    assert ("failed", 1) in told  # the good one was begun again, and failed as well
    assert told[-1] == ("pending", 1)


@pytest.mark.requirement("ST-22", "ST-24")
def test_of_two_first_installs_that_were_not_begun_each_has_its_own_version(tmp_path):
    bench = Bench(tmp_path / "state")
    bench.runtime.invalid, bench.runtime.unfetchable = {"more"}, {"less"}
    first = bench.receive(NEXT)
    bench.round()
    assert told_since(bench, 0)[-1] == ("failed", first)
    second = bench.receive(LATER)
    bench.round()
    assert told_since(bench, 0)[-1] == ("pending", second)


@pytest.mark.requirement("ST-1", "ST-8")
def test_what_failed_to_come_back_and_runs_by_now_is_verified_with_what_stopped_since(bench):
    bench.runtime.refused = {"db"}
    bench.runtime.break_down(ID, "db")
    bench.round()
    assert bench.last()["status"]["state"] == "failed"
    bench.runtime.refused = set()
    db = bench.runtime.installed[ID, "db"]
    bench.runtime.installed[ID, "db"] = replace(db, revision=digest_of(GOOD), health=Health.RUNNING)
    bench.runtime.break_down(ID, "web")
    bench.now += CALM_SECONDS
    before, calls = len(bench.reports), len(bench.runtime.calls)
    bench.round()
    told = told_since(bench, before)
    assert set(told[:-1]) == {("installing", 1)}
    assert told[-1] == ("installed", 1)
    assert ("verify", ID, "db") in bench.runtime.calls[calls:]


@pytest.fixture
def doubted(bench):
    """NEXT was rolled back; a component of GOOD has died since, and the engine does not answer any more."""
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    bench.receive(NEXT)
    bench.round()
    bench.runtime.break_down(ID, "db")
    bench.round(policy="repair: report-only")
    bench.runtime.engine_down = True
    return bench


@pytest.mark.requirement("ST-1", "ST-8")
def test_what_had_died_is_not_said_to_run_again_while_nobody_can_look(doubted):
    before = len(doubted.reports)
    doubted.round()
    assert len(doubted.reports) == before
    assert "db not running" in doubted.last()["status"]["error"]["message"]
    doubted.runtime.engine_down = False
    doubted.now += CALM_SECONDS
    doubted.round()
    assert doubted.last()["status"]["error"]["message"].endswith("is running again")


@pytest.mark.requirement("ST-1", "ST-8", "ST-21")
def test_what_had_died_and_is_wanted_again_is_not_reported_installed_while_nobody_can_look(doubted):
    before, version = len(doubted.reports), doubted.receive(GOOD)
    doubted.round()
    doubted.round()
    assert told_since(doubted, before) == []
    doubted.runtime.engine_down = False
    doubted.round()
    assert told_since(doubted, before) == [("installing", version), ("installed", version)]
    assert [each.digest for each in doubted.revisions()] == [digest_of(GOOD)]


@pytest.mark.requirement("ST-1", "ST-8", "ST-21")
def test_what_had_died_and_came_back_by_itself_is_reported_once_somebody_can_look(doubted):
    db = doubted.runtime.installed[ID, "db"]
    doubted.runtime.installed[ID, "db"] = replace(db, health=Health.RUNNING)
    before, version = len(doubted.reports), doubted.receive(GOOD)
    doubted.round()
    doubted.runtime.engine_down = False
    calls = len(doubted.runtime.calls)
    doubted.round()
    assert told_since(doubted, before) == [("installed", version)]
    assert "apply" not in {what for what, _, _ in doubted.runtime.calls[calls:]}


@pytest.mark.requirement("ST-1", "DS-18")
def test_what_was_reported_once_and_is_dropped_is_reported_removed_wherever_the_process_died(tmp_path):
    for at in range(1, 100):
        bench = Bench(tmp_path / str(at))
        bench.runtime.unfetchable = {"more", "less"}
        bench.receive(NEXT)
        bench.round()
        bench.receive(LATER)
        died = False
        with pytest.MonkeyPatch.context() as patch:
            with_fuse(patch, bench, Fuse(at))
            try:
                bench.round()
            except Crash:
                died = True
        dropped = bench.receive()
        bench.round()
        assert told_since(bench, 0)[-1] == ("removed", dropped), f"killed at chance {at}"
        if not died:
            return
    pytest.fail("a round has more chances to die than were tried")


@pytest.mark.requirement("ST-22", "ST-25")
def test_once_something_newer_is_wanted_what_was_rolled_back_is_not_held_any_more(bench):
    bench.runtime.refused_revisions = {digest_of(NEXT)}
    second = bench.receive(NEXT)
    bench.round()
    assert told_since(bench, 0)[-1] == ("failed", second)
    bench.runtime.unfetchable = {"less"}
    bench.receive(LATER)
    bench.round()
    assert told_since(bench, 0)[-1] == ("pending", 1)


@pytest.mark.requirement("ST-1", "ST-8")
def test_what_stops_of_a_first_install_that_failed_is_told_and_left_alone(tmp_path):
    bench = Bench(tmp_path / "state")
    bench.runtime.refused = {"more"}
    bench.receive(NEXT)
    bench.round()
    assert [each["state"] for each in bench.last()["components"]] == ["installed", "failed"]
    bench.runtime.break_down(ID, "web")
    calls = len(bench.runtime.calls)
    bench.round()
    web, more = bench.last()["components"]
    assert (web["state"], web["error"]["code"]) == ("failed", "component.stopped")
    assert more["error"]["code"] == "apply.failed"
    assert bench.last()["status"]["error"]["code"] == "apply.failed"
    assert len(bench.runtime.calls) == calls
    (known,) = bench.revisions()
    assert known.stage is Stage.FAILED
    told = len(bench.reports)
    bench.round()
    assert len(bench.reports) == told


@pytest.mark.requirement("ST-1", "ST-8")
def test_what_died_while_an_installation_waits_to_go_on_is_not_reported_installed(tmp_path, monkeypatch):
    def refuse(component):
        if component.name == "web":
            raise StorageFullError("needs 2 bytes, and 1 is free", component=component.name)
        return apply(component)

    bench = Bench(tmp_path / "state")
    apply = bench.runtime.apply
    monkeypatch.setattr(bench.runtime, "apply", refuse)
    bench.receive(GOOD)
    bench.round()
    assert [each["state"] for each in bench.last()["components"]] == ["installed", "installing"]
    bench.runtime.break_down(ID, "db")
    before, version = len(bench.reports), bench.receive(GOOD)
    bench.round()
    states = [
        [each["state"] for each in body["components"]]
        for _, body in bench.reports[before:]
        if "status" in body
    ]
    assert states == [["installing", "pending"], ["installed", "installing"], ["installed", "installing"]]
    assert bench.last()["adoptedManifestVersion"] == version


@pytest.mark.requirement("ST-22", "ST-24")
def test_what_comes_back_in_the_middle_of_its_removal_is_reported_with_its_own_version(bench, monkeypatch):
    def refuse(deployment_id, name, directory=None):
        if name == "db":
            raise StorageError("arranged", component=name)
        remove(deployment_id, name, directory)

    remove = bench.runtime.remove
    monkeypatch.setattr(bench.runtime, "remove", refuse)
    dropped = bench.receive()
    bench.round()
    assert told_since(bench, 0)[-1] == ("removing", dropped)
    bench.runtime.unfetchable = {"less"}
    again = bench.receive(LATER)
    bench.round()
    assert told_since(bench, 0)[-1] == ("pending", again)
