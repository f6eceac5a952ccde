"""The life of deployments on a device: real watch, real rounds, real mutual TLS, and a foreign server."""

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
                parameters={
                    "greeting": {"value": "hi", "targets": [{"pointer": "GREETING", "components": ["web"]}]}
                },
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
    assert [
        report["adoptedManifestVersion"] for report in reports if report["status"]["state"] == "pending"
    ] == [
        first,
        first,
    ]
    assert server.states(ONE) == [
        *["pending", "installing", "installing", "installed"] * 2,
        *["removing"] * 2,
        "removed",
    ]


@pytest.mark.requirement("AD-3", "AD-4")
def test_components_come_up_in_order_and_leave_in_reverse(agent, server):
    server.deploy(deployment_yaml(ONE, components=["a", "b", "c"]))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        server.withdraw(ONE)
        server.wait_for_state(ONE, "removed")
    order = [(call[0], call[-1]) for call in agent.calls if call[0] in {"apply", "verify", "remove"}]
    assert order == [
        *[(what, name) for name in "abc" for what in ("apply", "verify")],
        *[("remove", name) for name in "cba"],
    ]


@pytest.mark.requirement("AD-4", "OP-35")
def test_a_component_without_wait_holds_up_nobody_but_has_to_come_up(agent, server):
    slow = {
        "name": "slow",
        "properties": {"repository": "oci://registry.example/slow", "revision": "1.0.0", "wait": False},
    }
    server.deploy(deployment_yaml(ONE, components=[slow, "web"]))
    agent.trouble(refused=["slow"])
    with agent.running():
        server.wait_for_state(ONE, "failed")
    order = [(call[0], call[-1]) for call in agent.calls if call[0] in {"apply", "verify"}]
    assert order == [("apply", "slow"), ("apply", "web"), ("verify", "web"), ("verify", "slow")]
    components = {each["name"]: each for each in server.statuses(ONE)[-1]["components"]}
    assert components["web"]["state"] == "installed"
    assert components["slow"]["error"]["source"] == "slow"


@pytest.mark.requirement("ST-3", "ST-5", "ST-6", "ST-21", "ST-24")
def test_a_failure_is_reported_with_its_reason_and_not_tried_again(agent, server):
    version = server.deploy(deployment_yaml(ONE, components=["db", "web", "extra"], name="shop"))
    agent.trouble(refused=["web"])
    with agent.running():
        server.wait_for_state(ONE, "failed", version=version)
        calls = agent.calls
        server.deploy(deployment_yaml(TWO, components=["other"]))
        server.wait_for_state(TWO, "installed")
        later = [call for call in agent.calls[len(calls) :] if ONE in call]
    assert later == []
    report = [each for each in server.statuses(ONE) if each["adoptedManifestVersion"] == version][-1]
    assert report["status"]["error"]["source"] == "shop"
    assert report["status"]["error"]["code"] == "apply.failed"
    assert [each["state"] for each in report["components"]] == ["installed", "failed", "pending"]
    assert report["components"][1]["error"] == {
        "code": "apply.failed",
        "source": "web",
        "message": "component web: service main ended with exit code 3",
    }


def test_what_failed_for_good_is_tried_again_when_a_person_asks(agent, server):
    server.deploy(deployment_yaml(ONE))
    agent.trouble(refused=["web"])
    with agent.running():
        server.wait_for_state(ONE, "failed")
    agent.trouble()
    assert agent.round("--retry").wait(30) == 0
    with agent.running():
        server.wait_for_state(ONE, "installed")


@pytest.mark.requirement("ST-22", "ST-23")
def test_what_cannot_be_fetched_is_pending_and_reported_with_the_version_held(agent, server):
    first = server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=first)
        agent.trouble(unfetchable=["web"])
        second = server.deploy(deployment_yaml(ONE, components=["web", "more"]))
        server.wait_for(
            lambda: server.statuses(ONE)[-1]["status"].get("error"), "the update is reported as waiting"
        )
        waiting = server.statuses(ONE)[-1]
        assert waiting["status"]["state"] == "pending"
        assert waiting["adoptedManifestVersion"] == first
        assert waiting["components"][0]["error"]["code"] == "fetch.failed"
        assert set(agent.installed) == {(ONE, "web")}
        agent.trouble()
        server.wait_for_state(ONE, "installed", version=second)


@pytest.mark.requirement("DS-18")
def test_a_component_dropped_by_an_update_goes_once_the_update_runs(agent, server):
    server.deploy(deployment_yaml(ONE, components=["old", "web"]))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        version = server.deploy(deployment_yaml(ONE, components=["web", "new"]))
        server.wait_for_state(ONE, "installed", version=version)
    assert set(agent.installed) == {(ONE, "web"), (ONE, "new")}
    update = [call[::2] for call in agent.calls]
    assert update.index(["remove", "old"]) > max(
        i for i, call in enumerate(update) if call == ["verify", "new"]
    )


@pytest.mark.requirement("ST-21", "ST-23", "ST-25")
def test_content_that_returns_to_what_runs_is_reported_with_the_new_version(agent, server):
    before = deployment_yaml(ONE)
    server.deploy(before)
    with agent.running():
        server.wait_for_state(ONE, "installed")
    server.deploy(deployment_yaml(ONE, components=["web", "more"]))
    version = server.deploy(before)
    with agent.running():
        server.wait_for_state(ONE, "installed", version=version)
    assert [call for call in agent.calls if call[0] == "apply"] == [["apply", ONE, "web"]]


@pytest.mark.requirement("DS-10", "DS-18")
def test_a_null_bundle_removes_everything(agent, server):
    server.deploy(deployment_yaml(ONE), deployment_yaml(TWO))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        server.wait_for_state(TWO, "installed")
        server.documents.clear()
        server.publish()
        server.wait_for_state(ONE, "removed")
        server.wait_for_state(TWO, "removed")
    assert agent.installed == {}
    assert agent.status()["deployments"] == []


@pytest.mark.requirement("AD-12", "MAT-3", "ST-5")
@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        pytest.param(
            {"constraints": {"capacityRequirements": {"cpu": {"cores": 4096}}}},
            "deployment.constraints-unmet",
            "4096 cores",
            id="constraints",
        ),
        pytest.param({"device_id": "other"}, "deployment.other-device", "edge-01", id="another device"),
        pytest.param({"profile": "helm"}, "deployment.unsupported-profile", "helm", id="helm"),
        pytest.param({"profile": "custom"}, "deployment.unsupported-profile", "custom", id="custom"),
        pytest.param(
            {"components": ["../evil"]}, "document.invalid", "components[0].name", id="hostile name"
        ),
        pytest.param({"components": []}, "document.invalid", "no components", id="nothing to run"),
    ],
)
def test_what_cannot_run_here_fails_with_the_reason_and_holds_up_nothing(
    agent, server, document, code, words
):
    version = server.deploy(deployment_yaml(ONE, **document), deployment_yaml(TWO))
    with agent.running():
        server.wait_for_state(ONE, "failed", version=version)
        server.wait_for_state(TWO, "installed", version=version)
    error = server.statuses(ONE)[-1]["status"]["error"]
    assert error["code"] == code
    assert words in error["message"]
    assert all(
        state == "failed" for state in (each["state"] for each in server.statuses(ONE)[-1]["components"])
    )


@pytest.mark.requirement("DS-18")
def test_what_stopped_running_is_put_back_by_the_next_round(agent, server):
    server.deploy(deployment_yaml(ONE, components=["db", "web"]))
    with agent.running():
        server.wait_for_state(ONE, "installed")
    (agent.device / "installed" / f"{ONE}.web.json").unlink()
    count = len(agent.calls)
    with agent.running():
        server.wait_for(lambda: len(server.statuses(ONE)) >= 6, "the repair is reported")
        server.wait_for_state(ONE, "installed")
    assert (ONE, "web") in agent.installed
    assert ["apply", ONE, "db"] not in agent.calls[count:]


@pytest.mark.requirement("ON-5", "DEV-2")
def test_a_device_moved_to_another_fleet_manager_follows_that_one_from_its_first_version(
    agent, server, authority
):
    for _ in range(5):
        server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        with ForeignServer(authority, wfm="second") as second:
            version = second.deploy(deployment_yaml(TWO))
            agent.enroll(second.url, identity=authority.client("second"), replace=True)
            second.wait_for_state(TWO, "installed", version=version)
            second.wait_for_state(ONE, "removed")
            assert second.requests[0].method == "PUT"
    assert set(agent.installed) == {(TWO, "web")}
