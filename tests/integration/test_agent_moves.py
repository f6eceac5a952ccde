"""A device moves from the API to a Git repository and back: nothing is installed, restarted or removed."""

import json

import pytest

from edgewright.protocol.repository import deployment_file
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import Answer, ForeignServer, deployment_yaml
from support.git_fleet import CURRENT, GitFleet, Signer
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(tmp_path, authority):
    return AgentRig(tmp_path / "agent", authority)


@pytest.fixture
def fleet(tmp_path):
    return GitFleet.create(tmp_path / "edge-01.git", Signer.create(tmp_path / "keys", "fleet"))


def mirror(server, fleet):
    """Commit what the fleet manager serves, byte for byte."""
    documents = {deployment_file(name): data for name, data in server.documents.items()}
    return fleet.commit({"manifest.json": server.manifest, ".gitattributes": b"* -text\n", **documents})


def adopted(fleet):
    return json.loads(fleet.read("adopted.json")) if fleet.head(CURRENT) else {}


def changes(agent):
    """What was done to the device, other than looking."""
    return [call for call in agent.calls if call[0] in ("apply", "remove", "stop", "restore")]


def tells_where(server, fleet):
    told = {
        "kind": "hosted",
        "url": f"file://{fleet.repository}",
        "signers": fleet.signer.line,
        "ca": None,
    }

    def script(request):
        if request.path == "/edgewright/v1/repository":
            return Answer(200, json.dumps(told).encode(), {"content-type": "application/json"})
        return None

    server.script(script)


@pytest.mark.requirement("S-20")
def test_from_the_api_to_git_and_back_while_it_runs(agent, server, fleet):
    agent.enroll(server.url)
    first = server.deploy(deployment_yaml(ONE))
    tells_where(server, fleet)
    with agent.running():
        server.wait_for_state(ONE, "installed", version=first)
        done = changes(agent)

        commit = mirror(server, fleet)
        moved = agent.command("transport", "git")
        assert moved.returncode == 0, moved.stderr
        assert f"branch 'desired' is at {commit[:12]}" in moved.stdout
        wait_until(lambda: adopted(fleet).get("commit") == commit, what="the commit is taken up")
        assert adopted(fleet)["manifestVersion"] == str(first)
        assert changes(agent) == done

        # By Git it goes on where the API was.
        server.deploy(deployment_yaml(TWO, components=["db"]))
        second = mirror(server, fleet)
        wait_until(lambda: (TWO, "db") in agent.installed, what="what came by Git runs")
        wait_until(lambda: adopted(fleet).get("commit") == second, what="the second commit is told")
        done = changes(agent)
        asked = len(server.requests)

        back = agent.command("transport", "api")
        assert back.returncode == 0, back.stderr
        server.wait_for(lambda: len(server.requests) > asked, "a request of a device that came back")
        server.wait_for_polls(2)
        assert changes(agent) == done
        third = server.withdraw(TWO)
        server.wait_for_state(TWO, "removed", version=third)
    assert set(agent.installed) == {(ONE, "web")}
    assert "does not come from" not in agent.log.read_text()


@pytest.mark.requirement("S-20")
def test_from_git_alone_to_an_api(agent, server, fleet):
    server.deploy(deployment_yaml(ONE))
    mirror(server, fleet)
    client = f"spiffe://{agent.authority.trust_domain}/margo/wfm/main/client/edge-01"
    words = ("--git", str(fleet.repository), "--signers", str(fleet.signer.signers), "--name", "edge-01")
    done = agent.command("enroll", *words, "--client", client)
    assert done.returncode == 0, done.stderr
    with agent.running():
        wait_until(lambda: (ONE, "web") in agent.installed, what="what came by Git runs")
        wait_until(lambda: adopted(fleet).get("manifestVersion") is not None, what="it is told")
    done_so_far = changes(agent)
    agent.enroll(server.url, replace=True)
    with agent.running():
        server.wait_for_polls(2)
        assert changes(agent) == done_so_far
        version = server.deploy(deployment_yaml(TWO))
        server.wait_for_state(TWO, "installed", version=version)


def test_what_the_fleet_manager_does_not_know_is_told(agent, server):
    agent.enroll(server.url)
    done = agent.command("transport", "git")
    assert done.returncode == 2
    assert "edgewright repository create" in done.stderr
    assert agent.status()["identity"]["transport"] == "api"
    server.script(lambda request: Answer(200, b"[]") if "repository" in request.path else None)
    done = agent.command("transport", "git")
    assert done.returncode == 2
    assert "not understood" in done.stderr


def test_a_move_that_cannot_be_tried_changes_nothing(agent, server, fleet, tmp_path):
    agent.enroll(server.url)
    tells_where(server, fleet)
    (fleet.repository / "HEAD").unlink()
    done = agent.command("transport", "git")
    assert done.returncode == 2
    assert "nothing was changed" in done.stderr
    assert agent.status()["identity"]["transport"] == "api"
