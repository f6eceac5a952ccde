"""The policy file of a running agent: what is written there holds, without anything being started again."""

from pathlib import Path

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import ForeignServer, deployment_yaml
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def policy(tmp_path, monkeypatch):
    file = tmp_path / "site" / "policy.yaml"
    file.parent.mkdir()
    monkeypatch.setenv("EDGEWRIGHT_POLICY", str(file))
    return file


@pytest.fixture
def agent(tmp_path, authority, server, policy):
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


def replace(file: Path, text: str) -> None:
    """Put a new file in the place of the old one, as careful people and tools do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def code_of(server: ForeignServer) -> list[str]:
    return [each["status"].get("error", {}).get("code", "") for each in server.statuses(ONE)]


@pytest.mark.requirement("S-25", "S-29")
def test_a_window_that_is_opened_in_the_file_opens_on_the_device(agent, server, policy):
    policy.write_text("apply: {windows: [2020-01-01]}\n")
    server.deploy(deployment_yaml(ONE, components=["web"]))
    with agent.running():
        server.wait_for(lambda: "hold.window" in code_of(server), "a window is waited for")
        assert agent.installed == {}
        replace(policy, "# at any time\n")
        server.wait_for_state(ONE, "installed")
    assert set(agent.installed) == {(ONE, "web")}


@pytest.mark.requirement("OFF-3", "S-23", "S-25")
def test_a_period_that_is_opened_in_the_file_lets_the_device_poll(agent, server, policy):
    policy.write_text("polling: {periods: [2020-01-01]}\n")
    with agent.running():
        server.wait_for(lambda: server.requests, "capabilities are reported")
        assert server.polls() == []
        replace(policy, "polling: {periods: [daily]}\n")
        server.wait_for_polls(1)


@pytest.mark.requirement("S-25")
def test_a_policy_that_was_never_good_lets_nothing_begin_until_it_is(agent, server, policy):
    policy.write_text("apply: {approval: perhaps}\n")
    server.deploy(deployment_yaml(ONE, components=["web"]))
    with agent.running():
        server.wait_for(lambda: "hold.policy" in code_of(server), "the policy is waited for")
        assert agent.installed == {}
        told = agent.command("policy", "show")
        assert "$.apply.approval: expected automatic or required" in " ".join(told.stdout.split())
        replace(policy, "apply: {approval: automatic}\n")
        server.wait_for_state(ONE, "installed")


@pytest.mark.requirement("OFF-2")
def test_downtime_in_a_first_policy_that_was_written_just_now_is_kept_by_the_first_word(
    agent, server, policy
):
    policy.write_text("downtime: [daily]\n")
    with agent.running():
        wait_until(
            lambda: "the policy file was taken up" in str(agent.status()["events"]),
            what="the policy is not taken up",
        )
    assert server.requests == []


@pytest.mark.requirement("OFF-2")
def test_sync_says_nothing_in_downtime_that_it_learns_of_in_this_very_turn(agent, server, policy):
    policy.write_text("downtime: [daily]\n")
    assert agent.command("sync").returncode == 0
    assert server.requests == []
