"""What is wanted, what of it can run here, and which version is reported for it."""

import json
from dataclasses import replace

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import Failure, Progress, Revision, Stage, adopted_version
from edgewright.agent.work.desired import (
    CONSTRAINTS_UNMET,
    NOT_AT_HAND,
    OTHER_DEVICE,
    UNSUPPORTED_PROFILE,
    Desired,
    Host,
    components_of,
    load_desired,
    overtaken,
    refuse,
    take_up,
)
from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.digests import digest_of
from edgewright.protocol.manifest import StateManifest
from edgewright.protocol.status import State
from support.foreign_server import deployment_yaml

ID = "11111111-1111-4111-8111-111111111111"
A, B, C = ("sha256:" + letter * 64 for letter in "abc")
HOST = Host(
    device_id="edge-01",
    profiles=("compose",),
    capabilities=DeviceCapabilities.from_plain(
        {
            "properties": {
                "id": "edge-01",
                "vendor": "v",
                "modelNumber": "m",
                "serialNumber": "s",
                "cpus": [{"cores": 2, "architecture": "arm64"}],
                "memory": "1Gi",
                "storage": "8Gi",
                "peripherals": [],
                "interfaces": [{"type": "ethernet"}],
                "otelCollector": True,
                "supportedRuntimes": ["oci"],
                "supportedDeploymentTypes": ["compose"],
            }
        }
    ),
)


def document(**change):
    return ApplicationDeployment.parse(deployment_yaml(ID, **change))


def rule(key, value):
    expression = {"key": key, "operator": "In", "values": [value]}
    return {"eligibilityRules": [{"propertySelector": {"matchExpressions": [expression]}}]}


@pytest.mark.requirement("AD-12", "AD-2", "MAT-3", "MAT-5", "DS-8")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({}, None, id="what fits runs"),
        pytest.param({"device_id": "edge-02"}, OTHER_DEVICE, id="another device"),
        pytest.param({"device_id": "edge-01/*"}, OTHER_DEVICE, id="a gateway's choice"),
        pytest.param({"profile": "helm"}, UNSUPPORTED_PROFILE, id="helm"),
        pytest.param({"profile": "custom"}, UNSUPPORTED_PROFILE, id="custom"),
        pytest.param({"constraints": rule("/vendor", "v")}, None, id="a rule that holds"),
        pytest.param({"constraints": rule("/vendor", "w")}, CONSTRAINTS_UNMET, id="a rule that does not"),
        pytest.param(
            {"constraints": {"capacityRequirements": {"memory": "2Gi"}}}, CONSTRAINTS_UNMET, id="too large"
        ),
        pytest.param({"components": []}, "document.invalid", id="nothing to run"),
    ],
)
def test_what_can_run_here(change, code):
    failure = refuse(document(**change), ID, HOST)
    assert (failure and failure.code) == code


def test_a_document_of_another_id_is_refused():
    failure = refuse(document(), "99999999-9999-4999-8999-999999999999", HOST)
    assert failure is not None
    assert failure.code == "document.invalid"


@pytest.mark.requirement("EXT-2", "AD-9", "OP-3")
def test_unknown_members_and_extensions_do_not_hinder():
    plain = json.loads(deployment_yaml(ID))
    plain["metadata"]["annotations"] = {"a": "b"}
    plain["spec"]["x-vendor-extensions"] = {"anything": 1}
    assert refuse(ApplicationDeployment.parse(json.dumps(plain).encode()), ID, HOST) is None


def test_documents_are_judged_one_by_one(tmp_path):
    objects = Objects(str(tmp_path / "objects"))
    good, bad = deployment_yaml(ID), b"id: ["
    listed = []
    for number, data in enumerate((good, bad, b"never saved")):
        if data != b"never saved":
            objects.save(digest_of(data), data)
        deployment_id = ID.replace("1", str(number + 1), 8) if number else ID
        listed.append(
            {
                "deploymentId": deployment_id,
                "digest": digest_of(data),
                "url": f"/api/v1/deployments/{deployment_id}/{digest_of(data)}",
            }
        )
    bundle = {
        "mediaType": "application/vnd.margo.bundle.v1+tar+gzip",
        "digest": A,
        "url": f"/api/v1/bundles/{A}",
    }
    manifest = StateManifest.from_plain({"manifestVersion": 4, "bundle": bundle, "deployments": listed})
    first, second, third = load_desired(manifest, objects, HOST)
    assert (first.refusal, first.version, first.name, first.component_names) == (None, 4, "app", ("web",))
    assert second.refusal.code == "document.malformed"
    assert (second.document, second.component_names) == (None, ())
    assert third.refusal.code == NOT_AT_HAND


@pytest.mark.requirement("AD-7", "OBS-8", "AD-5")
def test_components_carry_parameters_telemetry_and_their_own_directory():
    component = {
        "name": "web",
        "properties": {"repository": "oci://r/x", "revision": "1.0.0", "wait": False, "timeout": "8m30s"},
    }
    parameters = {
        "port": {"value": 8080, "targets": [{"pointer": "PORT", "components": ["web"]}]},
        "other": {"value": "x", "targets": [{"pointer": "OTHER", "components": ["db"]}]},
        "endpoint": {"value": "mine", "targets": [{"pointer": "OTEL", "components": ["web"]}]},
    }
    made = document(components=[component, "db"], parameters=parameters)
    wanted = Desired(deployment_id=ID, digest=A, version=1, document=made)
    web, db = components_of(wanted, Paths("/state"), {"OTEL": "theirs"})
    assert web.environment == {"PORT": "8080", "OTEL": "mine"}
    assert db.environment == {"OTHER": "x", "OTEL": "theirs"}
    assert (web.wait, web.timeout.total_seconds(), db.wait, db.timeout) == (False, 510, True, None)
    assert web.directory == f"/state/projects/{ID}/{'a' * 64}/web"
    assert (web.revision, web.version, web.repository) == (A, "1.0.0", "oci://r/x")


def wanted(digest, version):
    return Desired(deployment_id=ID, digest=digest, version=version, document=document())


def revision(digest, stage, adopted, **other):
    made = Revision(
        deployment_id=ID,
        digest=digest,
        stage=stage,
        adopted=adopted,
        name="app",
        components=(Progress(name="web", state=State.PENDING),),
    )
    return replace(made, **other)


@pytest.mark.parametrize(
    ("known", "stage"),
    [
        pytest.param([], Stage.ACCEPTED, id="what is new is accepted"),
        pytest.param([revision(B, Stage.INSTALLED, 4)], Stage.ACCEPTED, id="also as an update"),
        pytest.param([revision(A, Stage.INSTALLED, 4)], Stage.INSTALLED, id="what runs goes on"),
        pytest.param([revision(A, Stage.FETCHING, 4)], Stage.FETCHING, id="what is on its way too"),
        pytest.param([revision(A, Stage.FAILED, 4)], Stage.FAILED, id="what failed stays so"),
        pytest.param(
            [revision(A, Stage.SUPERSEDED, 4, verified=1), revision(B, Stage.FAILED, 5)],
            Stage.ACCEPTED,
            id="what returns starts anew",
        ),
        pytest.param([revision(A, Stage.REMOVING, 4)], Stage.ACCEPTED, id="also while it is being removed"),
    ],
)
def test_what_is_wanted_is_taken_up_with_the_version_that_names_it_last(known, stage):
    (change,) = take_up([wanted(A, 9)], known)
    assert (change.digest, change.stage, change.adopted) == (A, stage, 9)


def test_what_is_taken_up_already_needs_no_change():
    assert take_up([wanted(A, 9)], [revision(A, Stage.INSTALLED, 9)]) == []
    assert take_up([wanted(A, 9)], [revision(A, Stage.FETCHING, 9)]) == []


@pytest.mark.requirement("ST-21", "ST-22", "ST-23", "ST-24", "OP-20")
@pytest.mark.parametrize(
    ("known", "stage", "adopted"),
    [
        pytest.param([], Stage.ACCEPTED, 9, id="a first install has its own"),
        pytest.param(
            [revision(B, Stage.INSTALLED, 4, begun=1)], Stage.READY, 4, id="an update not begun has the old"
        ),
        pytest.param(
            [revision(B, Stage.SUPERSEDED, 4, begun=1)], Stage.APPLYING, 9, id="what was begun has its own"
        ),
        pytest.param([revision(B, Stage.SUPERSEDED, 4, begun=1)], Stage.FAILED, 9, id="also when it failed"),
        pytest.param(
            [revision(B, Stage.INSTALLED, 4, begun=2)], Stage.ROLLED_BACK, 9, id="and was rolled back"
        ),
        pytest.param(
            [revision(B, Stage.SUPERSEDED, 7, verified=1, begun=1), revision(C, Stage.FAILED, 5, begun=2)],
            Stage.ACCEPTED,
            5,
            id="after a failure the failed one is held",
        ),
        pytest.param(
            [revision(C, Stage.APPLYING, 5, begun=1), revision(B, Stage.INSTALLED, 4, begun=2)],
            Stage.ACCEPTED,
            4,
            id="what came up whole in place of one that was interrupted is held",
        ),
        pytest.param(
            [revision(C, Stage.FAILED, 5, begun=1), revision(B, Stage.FAILED, 4, begun=2)],
            Stage.ACCEPTED,
            4,
            id="of two that failed the one begun last",
        ),
        pytest.param(
            [revision(B, Stage.INSTALLED, 4, begun=1), revision(C, Stage.FAILED, 5)],
            Stage.ACCEPTED,
            4,
            id="what failed before it was begun is not held",
        ),
        pytest.param(
            [revision(C, Stage.FAILED, 5)], Stage.ACCEPTED, 9, id="also where nothing else is there"
        ),
    ],
)
def test_the_version_reported_is_that_of_what_the_device_holds(known, stage, adopted):
    subject = revision(A, stage, 9)
    assert adopted_version(subject, [*known, subject]) == adopted


def test_what_was_overtaken_before_it_was_begun_is_named():
    refused = Failure(code=CONSTRAINTS_UNMET, message="no")
    known = [
        revision(A, Stage.INSTALLED, 4),
        revision(B, Stage.FETCHING, 4),
        revision(C, Stage.FAILED, 5, failure=refused),
    ]
    assert overtaken([wanted(A, 9)], known) == known[1:]
    assert overtaken([], known) == []


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.ROLLING_BACK])
def test_what_failed_is_overtaken_once_what_runs_in_its_place_is_wanted(stage):
    failed = revision(B, stage, 5)
    assert overtaken([wanted(A, 9)], [revision(A, Stage.INSTALLED, 4), failed]) == [failed]
    assert overtaken([wanted(A, 9)], [revision(A, Stage.SUPERSEDED, 4), failed]) == []
    assert overtaken([wanted(C, 9)], [revision(A, Stage.INSTALLED, 4), failed]) == []
