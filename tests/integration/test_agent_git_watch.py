"""A real watch that lives by a Git repository behind a server of others, with real rounds and couriers."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import deployment_yaml
from support.git_fleet import GitFleet, Signer
from support.git_servers import Nginx, Sshd
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
POLL = "POST /basic/edge-01.git/git-upload-pack 200"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.create(tmp_path / "keys", "fleet")


@pytest.fixture
def fleet(tmp_path: Path, signer: Signer) -> GitFleet:
    return GitFleet.create(tmp_path / "repositories" / "edge-01.git", signer)


@pytest.fixture
def nginx(fleet: GitFleet) -> Iterator[Nginx]:
    with Nginx(fleet.repository.parent, Authority.create()) as nginx:
        yield nginx


@pytest.fixture
def rig(tmp_path: Path, nginx: Nginx, signer: Signer) -> AgentRig:
    rig = AgentRig(tmp_path / "agent", nginx.authority)
    enrolled = rig.enroll_git(nginx.access("basic", "edge-01").all_words(), signer.signers)
    assert enrolled.returncode == 0, enrolled.stderr
    return rig


def told(fleet: GitFleet, path: str) -> dict:
    data = fleet.read(path)
    return {} if data is None else json.loads(data)


@pytest.mark.requirement("S-18", "S-19", "GR-43")
def test_a_device_lives_by_its_repository(fleet, nginx, rig):
    head = fleet.deploy(deployment_yaml(ONE, components=["web"]))
    with rig.running():
        wait_until(lambda: told(fleet, "adopted.json").get("commit") == head, what="the commit is taken up")
        wait_until(lambda: fleet.read(f"status/{ONE}.json") is not None, what="its status is told")
        assert fleet.read("capabilities.json") is not None
        begun = [line for line in nginx.requests() if "info/refs?service=git-upload-pack" in line]
        nginx.wait_for_requests(5, POLL)  # nothing but the question, over and over
        later = [line for line in nginx.requests() if "info/refs?service=git-upload-pack" in line]
        assert len(later) - len(begun) <= 1
        moved = fleet.withdraw(ONE)
        wait_until(lambda: told(fleet, "adopted.json").get("commit") == moved, what="the next one as well")
        assert rig.status()["contact"]["problem"] is None


@pytest.mark.requirement("S-19")
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("html", "answered with a web page (text/html) instead of Git"),
        ("moved", "it redirects to https://127.0.0.1"),
        ("busy", "it cannot answer now (503"),
        ("none/elsewhere", "there is no such repository"),
        ("bearer", "it does not take what this device shows (basic; 401)"),
    ],
)
def test_what_answers_in_place_of_the_repository_is_said_in_the_status(nginx, rig, place, words):
    path = rig.state / "identity" / "current" / "git.json"
    settings = json.loads(path.read_text())
    settings["url"] = nginx.url(place, "edge-01")
    # Beside it and renamed, as everything that is replaced under the watch.
    (fresh := path.with_name("git.json.new")).write_text(json.dumps(settings))
    fresh.rename(path)
    with rig.running():
        wait_until(lambda: words in (rig.status()["contact"]["problem"] or ""), what=words)


@pytest.mark.requirement("S-19")
def test_a_certificate_of_somebody_else_is_said_in_the_status(nginx, rig):
    path = rig.state / "identity" / "current" / "git.json"
    settings = json.loads(path.read_text())
    settings["url"] = nginx.url("basic", "edge-01", port="foreign")
    (fresh := path.with_name("git.json.new")).write_text(json.dumps(settings))
    fresh.rename(path)
    with rig.running():
        wait_until(
            lambda: "certificate was refused" in (rig.status()["contact"]["problem"] or ""),
            what="the refused certificate",
        )


@pytest.mark.requirement("S-18")
def test_a_turn_of_a_timer_does_all_that_is_due(fleet, rig):
    head = fleet.publish()
    done = rig.command("sync")
    assert done.returncode == 0, done.stderr
    assert told(fleet, "adopted.json")["commit"] == head
    again = rig.command("sync")
    assert again.returncode == 0, again.stderr


@pytest.mark.requirement("S-19")
def test_over_ssh_a_device_lives_by_its_repository_as_well(tmp_path, fleet, signer):
    with Sshd(fleet.repository.parent) as sshd:
        rig = AgentRig(tmp_path / "agent", Authority.create())
        enrolled = rig.enroll_git(sshd.access("edge-01").all_words(), signer.signers)
        assert enrolled.returncode == 0, enrolled.stderr
        head = fleet.publish()
        with rig.running():
            wait_until(lambda: told(fleet, "adopted.json").get("commit") == head, what="it is taken up")
            moved = fleet.publish()
            wait_until(lambda: told(fleet, "adopted.json").get("commit") == moved, what="the next as well")


def test_a_local_path_needs_no_server(tmp_path, fleet, signer):
    rig = AgentRig(tmp_path / "agent", Authority.create())
    enrolled = rig.enroll_git(["--git", str(fleet.repository)], signer.signers)
    assert enrolled.returncode == 0, enrolled.stderr
    head = fleet.publish()
    with rig.running():
        wait_until(lambda: told(fleet, "adopted.json").get("commit") == head, what="it is taken up")


@pytest.mark.requirement("S-26")
def test_while_a_fetch_goes_on_the_status_says_so_and_since_when(tmp_path, fleet, signer, monkeypatch):
    gate = tmp_path / "gate"
    gate.touch()
    monkeypatch.setenv("EDGEWRIGHT_FAILPOINTS", f"courier.fetched=pause:{gate}")
    rig = AgentRig(tmp_path / "agent", Authority.create())
    enrolled = rig.enroll_git(["--git", str(fleet.repository)], signer.signers)
    assert enrolled.returncode == 0, enrolled.stderr
    assert rig.status()["repository"]["under_way"] is None
    before = datetime.now(UTC).replace(microsecond=0)
    head = fleet.publish()
    with rig.running():
        wait_until((tmp_path / "gate.reached").exists, what="a courier in the middle of a fetch")
        told = rig.status()["repository"]["under_way"]
        assert told["doing"] == "fetch"
        assert before <= datetime.fromisoformat(told["since"]) <= datetime.now(UTC)
        assert told["process"] == int((tmp_path / "gate.reached").read_text())
        shown = rig.command("status").stdout
        assert "under way" in shown
        assert "a fetch from the repository, begun" in shown
        gate.unlink()
        wait_until(lambda: (fleet.adopted() or {}).get("commit") == head, what="it is taken up")
        wait_until(lambda: rig.status()["repository"]["under_way"] is None, what="nothing is under way")


@pytest.mark.requirement("OP-16", "S-19", "GR-30")
def test_a_repository_made_anew_is_refused_until_a_person_types_what_the_refusal_says(
    tmp_path, fleet, signer
):
    rig = AgentRig(tmp_path / "agent", Authority.create())
    enrolled = rig.enroll_git(["--git", str(fleet.repository)], signer.signers)
    assert enrolled.returncode == 0, enrolled.stderr
    fleet.deploy(deployment_yaml(ONE, components=["web"]))
    head = fleet.deploy(deployment_yaml(ONE, components=["web"], name="another"))
    with rig.running():
        fleet.wait_for_adopted(head)
        fleet.wait_for_state(ONE, "installed", version=2)
        anew = GitFleet.create(tmp_path / "anew.git", signer)
        theirs = anew.deploy(deployment_yaml(TWO, components=["db"]))
        fleet.repository.rename(tmp_path / "old.git")
        anew.repository.rename(fleet.repository)
        anew.repository = fleet.repository

        reason = anew.wait_for_refusal(theirs)
        assert set(rig.installed) == {(ONE, "web")}
        shown = " ".join(rig.command("status").stdout.split())
        (command,) = set(re.findall(r"'(edgewright agent [^']+)'", reason))
        assert command in shown
        done = rig.command(*command.split()[2:])
        assert done.returncode == 0, done.stderr
        anew.wait_for_adopted(theirs)
        anew.wait_for_state(TWO, "installed", version=1)
        wait_until(lambda: set(rig.installed) == {(TWO, "db")}, what="what the new repository says runs")
    assert rig.status()["repository"]["refused"] is None
