"""A token that says Git: one command on the device, which then lives by a repository of the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.server_process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    created = ServerProcess.create(tmp_path / "server", hosts_repositories=True)
    with created:
        yield created
    assert "Traceback" not in created.output


@pytest.mark.requirement("S-9", "S-20", "S-22")
def test_a_token_makes_a_device_that_lives_by_git(server: ServerProcess, tmp_path: Path) -> None:
    wanted = {"name": "edge-01", "transport": "git"}
    token = server.operator.post("/enrollments", wanted)["token"]
    agent = AgentRig(tmp_path / "agent", Authority.create("example.org"))
    done = agent.command("enroll", token)
    assert done.returncode == 0, done.stderr
    assert "from now on by Git" in done.stdout
    assert token not in done.stdout + done.stderr
    identity = agent.status()["identity"]
    assert identity["transport"] == "git"
    assert identity["repository"] == f"{server.git_url}/edge-01.git"
    assert identity["client"] == "spiffe://example.org/margo/wfm/main/client/edge-01"
    back = agent.command("transport", "api")
    assert back.returncode == 0, back.stderr
    again = agent.command("transport", "git")
    assert again.returncode == 0, again.stderr
