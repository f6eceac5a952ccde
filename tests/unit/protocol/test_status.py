import itertools
import json

import pytest

from edgewright.protocol.errors import DocumentError
from edgewright.protocol.status import (
    SEVERITY,
    ComponentStatus,
    DeploymentStatus,
    OverallStatus,
    State,
    StatusError,
    overall,
)

ID = "a3e2f5dc-912e-494f-8395-52cf3769bc06"


def status(**changes):
    return {
        "deploymentId": ID,
        "adoptedManifestVersion": 7,
        "status": {"state": "installing"},
        "components": [{"name": "web", "state": "installing"}],
    } | changes


def parse(value):
    return DeploymentStatus.parse(json.dumps(value).encode(), source="status")


@pytest.mark.requirement("ST-3", "OP-1")
@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(SEVERITY, 2)))
def test_the_more_severe_state_is_the_overall_one(worse, better):
    assert overall([better, worse, better]) == worse
    assert overall([worse]) == worse


@pytest.mark.requirement("ST-3", "OP-1")
def test_the_order_of_severity_is_the_published_one():
    assert [str(state) for state in SEVERITY] == [
        "failed", "removing", "installing", "pending", "removed", "installed"
    ]  # fmt: skip
    assert set(SEVERITY) == set(State)
    assert overall([]) == State.INSTALLED


@pytest.mark.requirement("ST-5", "ST-20")
def test_a_report_is_sent_with_all_members_of_its_errors():
    report = DeploymentStatus(
        deployment_id=ID,
        device_id="edge-01",
        adopted_manifest_version=2**64 - 1,
        status=OverallStatus(state=State.FAILED, error=StatusError(code="a", source="hello", message="")),
        components=(ComponentStatus(name="web", state=State.FAILED),),
    )
    assert json.loads(report.render()) == {
        "deploymentId": ID,
        "deviceId": "edge-01",
        "adoptedManifestVersion": 2**64 - 1,
        "status": {"state": "failed", "error": {"code": "a", "source": "hello", "message": ""}},
        "components": [{"name": "web", "state": "failed"}],
    }
    assert DeploymentStatus.parse(report.render()) == report


@pytest.mark.requirement("OP-4", "ST-8")
def test_members_of_errors_may_be_missing_or_empty():
    parsed = parse(status(status={"state": "pending", "error": {"code": "7"}}))
    assert parsed.status.error == StatusError(code="7", source="", message="")
    assert not parsed.status.error.is_empty
    assert parse(status(status={"state": "pending", "error": {}})).status.error.is_empty


@pytest.mark.requirement("ST-4")
@pytest.mark.parametrize(
    ("value", "path"),
    [
        (status(deploymentId="x"), "$.deploymentId"),
        (status(deviceId="a b"), "$.deviceId"),
        (status(adoptedManifestVersion=0), "$.adoptedManifestVersion"),
        (status(adoptedManifestVersion=2**64), "$.adoptedManifestVersion"),
        (status(status={"state": "running"}), "$.status.state"),
        (status(status={"state": "Installed"}), "$.status.state"),
        (status(components=[{"name": "web"}]), "$.components[0].state"),
        (status(components=[{"name": "web", "state": "failed"}] * 2), "$.components[1].name"),
        ({"status": {"state": "installed"}, "components": [], "adoptedManifestVersion": 1}, "$.deploymentId"),
        (
            {"deploymentId": ID, "status": {"state": "installed"}, "components": []},
            "$.adoptedManifestVersion",
        ),
    ],
)
def test_wrong_reports_are_refused_with_their_path(value, path):
    with pytest.raises(DocumentError) as caught:
        parse(value)
    assert caught.value.path == path
