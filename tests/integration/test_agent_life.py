"""The life of deployments on a device: a real watch, real rounds and real mutual TLS against a foreign server."""

import pytest
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import ForeignServer, deployment_yaml

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(tmp_path, authority, server):
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


@pytest.mark.requirement("CAP-1", "CAP-2", "CAP-4", "CAP-10", "ON-4", "DS-1", "DS-3", "S-17")
def test_capabilities_are_the_first_word_and_polls_follow(agent, server):
    with agent.running():
        server.wait_for_polls(2)
    first = server.requests[0]
    assert (first.method, first.path) == ("PUT", "/api/v1/capabilities/edge-01")
    assert first.json()["properties"]["id"] == "edge-01"
    poll = server.polls()[0]
    assert poll.headers["accept"] == "application/vnd.margo.manifest.v1+json"


@pytest.mark.requirement("DS-18", "ST-1", "ST-2", "ST-20", "ST-22", "ST-24", "DS-20", "S-8", "S-28")
def test_a_deployment_is_installed_updated_and_removed(agent, server):
    first = server.deploy(deployment_yaml(ONE, components=["db", "web"]))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=first)
        assert set(agent.installed) == {(ONE, "db"), (ONE, "web")}

        second = server.deploy(
            deployment_yaml(
                ONE,
                components=["db", "web"],
                parameters={"greeting": {"value": "hi", "targets": [{"pointer": "GREETING", "components": ["web"]}]}},
            )
        )
        server.wait_for_state(ONE, "installed", version=second)
        assert agent.installed[ONE, "web"]["environment"] == {"GREETING": "hi"}
        assert agent.installed[ONE, "db"]["environment"] == {}

        third = server.withdraw(ONE)
        server.wait_for_state(ONE, "removed", version=third)
    assert agent.installed == {}
    reports = server.statuses(ONE)
    assert all({each["name"] for each in report["components"]} == {"db", "web"} for report in reports)
    assert [report["adoptedManifestVersion"] for report in reports if report["status"]["state"] == "pending"] == [
        first,
        first,
    ]
    assert server.states(ONE) == [
        *["pending", "installing", "installing", "installed"] * 2,
        *["removing"] * 2,
        "removed",
    ]
