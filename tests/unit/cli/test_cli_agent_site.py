"""The commands for people on site, on the state directory itself: what they say, within 80 columns."""

import getpass
import json
import time

import pytest

from edgewright.agent.consent.approvals import Approvals
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.page import password
from edgewright.cli.errors import OutcomeError, UsageError
from edgewright.cli.main import run
from edgewright.protocol.consent import Reason, Verdict
from edgewright.protocol.errors import EdgewrightError
from support.site_scene import NEW, SHOP, Scene


@pytest.fixture
def scene(tmp_path, monkeypatch):
    scene = Scene(tmp_path, time.time())
    scene.policy.write_text("# nothing\n")
    monkeypatch.setenv("EDGEWRIGHT_POLICY", str(scene.policy))
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(tmp_path))
    scene.deployment()
    return scene


@pytest.fixture
def said(scene, capsys):
    def run_and_read(*words):
        assert run(["agent", *words]) == 0
        out = capsys.readouterr().out
        wide = [line for line in out.splitlines() if len(line) > 80 and len(line.split()) > 1]
        assert wide == [] or "--json" in words
        return out

    return run_and_read


@pytest.mark.requirement("S-29")
def test_an_approval_is_found_read_and_given(scene, said):
    number = scene.approval()
    assert f"{number}   update  shop" in said("approvals", "list")
    shown = said("approvals", "show", str(number))
    for text in ("update shop", NEW[-12:], "1.4.2", "1.5.0", f"approvals approve {number}"):
        assert text in shown
    assert "approved: update shop" in said(
        "approvals", "approve", str(number), "--by", "Ada", "--reason", "ok"
    )
    with scene.store() as store:
        decided = Approvals(store).get(number)
    assert (decided.verdict, decided.by, decided.via, decided.reason) == (
        Verdict.APPROVED,
        "Ada",
        "command line",
        "ok",
    )
    assert "approved by Ada" in said("approvals", "show", str(number))


def test_a_decision_is_by_whoever_is_logged_in(scene, said):
    number = scene.approval()
    said("approvals", "postpone", str(number), "--until", "2h")
    with scene.store() as store:
        assert Approvals(store).get(number).by == getpass.getuser()


def test_a_rejection_needs_a_reason(scene, said):
    number = scene.approval()
    with pytest.raises(EdgewrightError, match="reason"):
        run(["agent", "approvals", "reject", str(number)])
    assert "rejected: update shop" in said("approvals", "reject", str(number), "--reason", "not today")


def test_without_anything_to_decide_that_is_said(said):
    assert said("approvals", "list") == "nothing waits for a decision\n"
    assert json.loads(said("approvals", "list", "--json")) == []


@pytest.mark.requirement("S-29", "S-7")
def test_status_says_what_waits_and_what_to_do(scene, said):
    number = scene.approval()
    scene.hold(approval=number, message=f"approval {number} is awaited since 2026-11-26 18:00 UTC")
    shown = said("status")
    assert f"update of shop waits: approval {number} is awaited" in shown
    assert f"edgewright agent approvals show {number}" in shown
    held = json.loads(said("status", "--json"))["deployments"][0]["held"]
    assert (held["reason"], held["approval"]) == ("approval", number)


def test_status_says_when_the_next_poll_and_window_are(scene, said):
    scene.policy.write_text("downtime: ['2020-01-01 00:00 .. 2099-01-01 00:00']\napply: {windows: []}\n")
    assert "downtime" in said("status")
    day = time.strftime("%a", time.gmtime(time.time() + 3 * 86400))
    scene.policy.write_text(
        f"polling: {{periods: [{day} 01:00-02:00]}}\napply: {{windows: [{day} 02:00-03:00]}}\n"
    )
    shown = said("status")
    assert "next poll" in shown
    assert "changes          from" in shown


def test_status_says_what_is_wrong_with_the_policy_and_the_clock(scene, said):
    scene.policy.write_text("polling: {rat: 1s}\n")
    with scene.store() as store:
        store.set_meta("clock.latest", str(time.time() + 86400 * 3))
    facts = json.loads(said("status", "--json"))
    assert "rat" in facts["policy"]["problem"]
    assert facts["clock"]["trusted"] is False
    run(["agent", "accept-clock", "--by", "Ada"])


def test_changes_are_paused_and_resumed(scene, said):
    assert "until 'edgewright agent resume'" in said("pause", "--reason", "audit")
    assert "paused" in said("status")
    assert "changes may begin again" in said("resume")
    with pytest.raises(EdgewrightError, match="nothing is paused"):
        run(["agent", "resume"])


@pytest.mark.parametrize("until", ["yesterday", "2020-01-01 00:00"])
def test_a_pause_ends_in_the_future(scene, until):
    with pytest.raises(UsageError, match="--until"):
        run(["agent", "pause", "--until", until])
    with scene.store() as store:
        assert Wishes(store).paused() is None


def test_one_change_goes_ahead_in_an_emergency(scene, said):
    scene.hold(reason=Reason.WINDOW, message="the window opens Sat 02:00 UTC")
    with pytest.raises(EdgewrightError, match="reason"):
        run(["agent", "apply-now", SHOP])
    assert "begins when the agent runs" in said("apply-now", SHOP, "--reason", "line stands still")


def test_nothing_given_up_and_nobody_running_are_outcomes(scene):
    with pytest.raises(OutcomeError, match="nothing was given up"):
        run(["agent", "retry"])
    with pytest.raises(OutcomeError, match="not running"):
        run(["agent", "poll"])


def test_a_password_for_the_page_is_shown_once(scene, said):
    shown = said("page", "password").strip()
    assert password.load(scene.paths).accepts(shown)
    assert len(shown) == 19


def test_the_version_is_forgotten(said):
    assert said("reset-version") == "the next manifest is accepted whatever its version\n"
