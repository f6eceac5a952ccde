"""What is asked of the agent on site: what each request does, who is written down, and what is refused."""

import json
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.agent.consent.approvals import Approvals
from edgewright.agent.consent.audit import Audit
from edgewright.agent.consent.report import queue_site_report
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.on_site.control import respond, user_name
from edgewright.agent.on_site.desk import VERBS
from edgewright.agent.site.in_force import look
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import Stage
from edgewright.agent.talk.timetable import TIMETABLE
from edgewright.protocol.consent import Reason, Verdict
from support.site_scene import CAMERA, NEW, SHOP, Scene

NOW = 1_800_000_000.0


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: NOW)
    scene = Scene(tmp_path, NOW)
    scene.policy.write_text("# nothing\n")
    scene.deployment()
    return scene


def ask(scene, do, uid=0, **request):
    line = json.dumps({"do": do, **request}).encode()
    return respond(scene.paths, str(scene.policy), line, uid)


def audit(scene):
    with scene.store() as store:
        return [(each.who, each.via, each.uid, each.what, each.reason) for each in Audit(store).entries()]


def test_the_user_at_the_other_end_is_written_down_whoever_they_say_they_are(scene):
    assert ask(scene, "pause", by="Ada", reason="audit", uid=12345) == {"running": False}
    assert audit(scene) == [("Ada", "command line", 12345, "paused all changes", "audit")]


def test_without_a_name_it_is_the_user_of_the_machine(scene):
    ask(scene, "pause", uid=0)
    assert audit(scene)[0][0] == "root"
    assert user_name(4_000_000_001) == "user 4000000001"


@pytest.mark.requirement("S-29")
def test_approvals_are_listed_shown_and_decided(scene):
    number = scene.approval()
    assert [each["number"] for each in ask(scene, "approvals")["approvals"]] == [number]
    assert ask(scene, "approval", number=number)["approval"]["digest"] == NEW
    decided = ask(scene, "decide", number=number, verdict="approved", by="Ada", digest=NEW)["approval"]
    assert (decided["verdict"], decided["by"], decided["via"]) == ("approved", "Ada", "command line")
    assert decided["expires"] is not None


def test_what_is_paused_is_shown_and_resumed(scene):
    ask(scene, "pause", by="Ada", reason="audit", until=NOW + 3600)
    paused = ask(scene, "status")["paused"]
    assert (paused["by"], paused["reason"], paused["until"]) == ("Ada", "audit", "2027-01-15T09:00:00+00:00")
    ask(scene, "resume", by="Bob")
    assert ask(scene, "status")["paused"] is None


@pytest.mark.requirement("S-29")
def test_an_override_is_for_what_is_held_and_nothing_else(scene):
    assert (
        "nothing of deployment"
        in ask(scene, "override", deployment=SHOP, by="Ada", reason="x")["error"]["message"]
    )
    scene.hold(reason=Reason.WINDOW, message="the window opens Sat 02:00 UTC")
    assert ask(scene, "override", deployment=SHOP, by="Ada", reason="line stands still")["digest"] == NEW
    with scene.store() as store:
        assert [(each.deployment_id, each.digest) for each in Wishes(store).overrides()] == [(SHOP, NEW)]


def test_what_was_given_up_is_tried_again(scene):
    assert ask(scene, "retry")["error"]["code"] == "request.pointless"
    scene.deployment(CAMERA, "camera", stage=Stage.FAILED, failure="it broke", verified=0)
    assert ask(scene, "retry")["deployments"] == [{"id": CAMERA, "name": "camera"}]
    assert "there is no deployment x" in ask(scene, "retry", deployment="x")["error"]["message"]


def test_the_clock_is_accepted(scene):
    with scene.store() as store:
        store.set_meta("clock.latest", str(NOW + 1e6))
    assert ask(scene, "status")["clock"]["trusted"] is False
    ask(scene, "accept-clock", by="Ada", reason="looked at my watch")
    assert ask(scene, "status")["clock"] == {"trusted": True, "reason": ""}
    assert audit(scene)[0][3:] == ("said that the clock is right", "looked at my watch")


def test_the_version_is_forgotten_and_that_is_written_down(scene):
    assert ask(scene, "reset-version", by="Ada") == {"running": False}
    assert "forget the manifest version" in audit(scene)[0][3]


def test_nobody_is_asked_to_poll_where_nobody_runs(scene):
    assert ask(scene, "poll", by="Ada")["error"]["code"] == "request.pointless"
    assert audit(scene) == []


def test_nobody_is_told_that_the_fleet_manager_is_asked_in_downtime(scene, monkeypatch):
    monkeypatch.setattr("edgewright.agent.on_site.desk.holder", lambda _: os.getpid())
    with scene.store() as store:
        store.set_meta(TIMETABLE, json.dumps({"downtime": [[NOW - 60, NOW + 3600]]}))
    error = ask(scene, "poll", by="Ada")["error"]
    assert error["code"] == "request.pointless"
    assert "it is downtime" in error["message"]
    assert audit(scene) == []


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        pytest.param({"do": "explode"}, "known are status", id="a verb nobody knows"),
        pytest.param({}, "known are status", id="no verb"),
        pytest.param(
            {"do": "approval", "number": "1"}, "number: expected a whole number", id="text for a number"
        ),
        pytest.param({"do": "approval", "number": 2**70}, "number: expected", id="a number too large"),
        pytest.param(
            {"do": "approval", "number": 99}, "there is no approval 99", id="an approval nobody asked for"
        ),
        pytest.param(
            {"do": "decide", "number": 1, "verdict": "used"}, "expected one of", id="a verdict nobody gives"
        ),
        pytest.param(
            {"do": "pause", "until": "soon"}, "until: expected unix seconds", id="text for a moment"
        ),
        pytest.param(
            {"do": "pause", "until": 2**39},
            "until: expected unix seconds",
            id="a moment that no calendar knows",
        ),
        pytest.param({"do": "pause", "until": NOW - 1}, "an end that is to come", id="a pause that is over"),
        pytest.param({"do": "pause", "reason": ["x"]}, "reason: expected text", id="a list for a text"),
        pytest.param(
            {"do": "pause", "reason": "x" * 1001}, "reason: expected at most 1000", id="too long a text"
        ),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(scene, request_, told):
    line = json.dumps(request_).encode()
    assert told in respond(scene.paths, str(scene.policy), line, 0)["error"]["message"]
    assert audit(scene) == []


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_a_line_that_is_no_request_is_refused(scene, line):
    assert respond(scene.paths, None, line, 0)["error"]["code"] == "request.refused"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    verb=st.sampled_from(sorted(VERBS)),
    members=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["number", "verdict", "by", "reason", "until", "deployment", "digest", "all"], VALUES
        ),
    ),
)
def test_any_request_is_answered(scene, verb, members):
    answer = respond(scene.paths, str(scene.policy), json.dumps({"do": verb, **members}).encode(), 0)
    assert json.dumps(answer)


def test_a_directory_no_agent_worked_in_is_told(tmp_path):
    scene = Scene(tmp_path / "none", NOW)
    assert "edgewright agent enroll" in ask(scene, "status")["error"]["message"]


@pytest.mark.requirement("S-29", "S-27")
def test_the_fleet_manager_is_told_what_is_shown_here(scene):
    scene.busy()
    ask(scene, "pause", by="Ada", reason="audit", until=NOW + 3600)
    with scene.store() as store:
        site = look(store, str(scene.policy))
        queue_site_report("edge-01", site, store, Outbox(store))
        (body,) = store.connection.execute("SELECT body FROM reports WHERE name = 'site'").fetchone()
    told = json.loads(body)
    shown = ask(scene, "status")
    for part in ("holds", "approvals", "audit"):
        assert sorted(map(facts_of, told[part])) == sorted(map(facts_of, shown[part]))
    assert facts_of(told["paused"]) == facts_of(shown["paused"])
    assert told["policy"]["inForce"] == shown["policy"]["in_force"]
    assert told["policy"]["origins"] == shown["policy"]["origins"]


def facts_of(part):
    """What a part says, by the names of the wire; the user id stays on the device."""
    said = {
        re.sub("_([a-z])", lambda found: found[1].upper(), name): value
        for name, value in part.items()
        if value not in (None, "") and name != "uid"
    }
    return json.dumps(said, sort_keys=True).replace("+00:00", "Z")


def test_what_was_decided_is_what_everybody_sees(scene):
    number = scene.approval()
    ask(scene, "decide", number=number, verdict="rejected", by="Ada", reason="not today")
    with scene.store() as store:
        assert Approvals(store).get(number).verdict is Verdict.REJECTED
    (shown,) = ask(scene, "status")["approvals"]
    assert (shown["verdict"], shown["by"], shown["reason"]) == ("rejected", "Ada", "not today")
