"""The documents the specification publishes, read by our types: the valid pass, the broken do not.

They are material beside the checkout (`../shared/margo/data`), not part of it; without them these
tests are skipped.
"""

import json
import re
from pathlib import Path

import pytest
import yaml as pyyaml

from edgewright.protocol import json as wire_json
from edgewright.protocol import media_types, yaml
from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.constraints import unmet
from edgewright.protocol.deployment import ApplicationDeployment, component_environment
from edgewright.protocol.description import ApplicationDescription, validate_value
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import StateManifest
from edgewright.protocol.problem import Problem, ProblemType
from edgewright.protocol.status import SEVERITY, DeploymentStatus
from edgewright.protocol.trust import DiscoveryDocument, TrustBundle

DATA = Path(__file__).parents[3] / "shared" / "margo" / "data"
CURRENT = DATA / "examples" / "current" / "valid"
OLDER = DATA / "examples" / "older"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published examples are not at {DATA}")

KINDS = {
    "ApplicationDeployment": ApplicationDeployment,
    "ApplicationDescription": ApplicationDescription,
    "DeploymentStatus": DeploymentStatus,
    "DeviceCapabilities": DeviceCapabilities,
    "DiscoveryDocument": DiscoveryDocument,
    "ProblemDetail": Problem,
}
# Shortened digests and placeholders: valid in shape only, see their own tests below.
ILLUSTRATIONS = {"StateManifest-illustrative.json", "SpiffeBundle-illustrative.json"}


def kind_of(name):
    return KINDS[name.split("-")[0].split(".")[0]]


def examples(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern) if path.name not in ILLUSTRATIONS)


def read(name):
    return (CURRENT / name).read_bytes()


def covers(whole, part):
    """Tell whether everything in `part` is in `whole` unchanged."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and covers(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(covers, whole, part))
    return type(whole) is type(part) and whole == part


@pytest.mark.requirement("OP-3", "OP-7", "OP-40", "VER-1")
@pytest.mark.parametrize("name", examples(CURRENT))
def test_published_examples_are_read_and_rendered_without_loss(name):
    kind = kind_of(name)
    document = kind.parse(read(name), source=name)
    rendered = document.render()
    assert kind.parse(rendered) == document
    assert kind.parse(rendered).render() == rendered
    load = yaml.load if kind.is_yaml else wire_json.load
    original, again = load(read(name), source=name), load(rendered, source=name)
    assert covers(original, again)
    assert covers(again, drop_defaults(original))


def drop_defaults(value):
    """Leave out what need not be written: `wait: true`, settings and schemas at their defaults."""
    if isinstance(value, dict):
        return {
            key: drop_defaults(item)
            for key, item in value.items()
            if (key, item) not in [("wait", True), ("allowEmpty", False), ("immutable", False)]
        }
    return [drop_defaults(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", examples(CURRENT, "*.yaml"))
def test_our_yaml_reader_agrees_with_the_common_one_on_published_examples(name):
    assert yaml.load(read(name), source=name) == pyyaml.load(read(name), Loader=pyyaml.SafeLoader)


def lengthened(data):
    """Give the illustration's shortened digests their full length."""
    return re.sub(rb"sha256:([0-9a-f]+)\.\.\.", lambda match: b"sha256:" + match[1].ljust(64, b"0"), data)


@pytest.mark.requirement("OP-2", "API-13", "DS-10")
def test_the_published_manifest_is_valid_once_its_digests_have_full_length():
    name = "StateManifest-illustrative.json"
    manifest = StateManifest.parse(lengthened(read(name)), source=name)
    assert manifest.manifest_version == 101
    (reference,) = manifest.deployments
    assert reference.url == media_types.deployment_path(reference.deployment_id, reference.digest)
    assert manifest.bundle.url == media_types.bundle_path(manifest.bundle.digest)
    with pytest.raises(DocumentError) as caught:
        StateManifest.parse(read(name), source=name)
    assert [path for path, _ in caught.value.problems] == ["$.bundle.digest", "$.deployments[0].digest"]


@pytest.mark.requirement("TB-11")
def test_the_published_bundle_of_placeholders_is_refused():
    name = "SpiffeBundle-illustrative.json"
    with pytest.raises(DocumentError) as caught:
        TrustBundle.parse(read(name), source=name)
    assert caught.value.path == "$.keys[0].x5c[0]"


@pytest.mark.requirement("AD-7")
def test_the_published_compose_deployment_gives_its_component_an_environment():
    deployment = ApplicationDeployment.parse(read("ApplicationDeployment-compose.yaml"))
    environment = component_environment(deployment, "digitron-orchestrator-docker")
    assert environment["POLL_FREQUENCY"] == "120"
    assert environment["ADMIN_NAME"] == "Some One"
    assert len(environment) == 8


@pytest.mark.requirement("MAT-4", "MAT-8", "MAT-9")
@pytest.mark.parametrize(
    ("device", "reasons"),
    [("DeviceCapabilities-standalone.json", 0), ("DeviceCapabilities-gateway-hosting.json", 1)],
)
def test_the_published_constraints_fit_the_published_devices(device, reasons):
    deployment = ApplicationDeployment.parse(read("ApplicationDeployment-helm.yaml"))
    capabilities = DeviceCapabilities.parse(read(device))
    assert len(unmet(deployment.spec.deployment_profile.device_constraints, capabilities)) == reasons


@pytest.mark.requirement("CFG-2")
@pytest.mark.parametrize("name", examples(CURRENT, "ApplicationDescription-*"))
def test_the_published_defaults_pass_their_own_rules(name):
    description = ApplicationDescription.parse(read(name), source=name)
    for parameter, made in description.parameters.items():
        if made.value is not None:
            assert validate_value(description, parameter, made.value) == []


@pytest.mark.requirement("ERR-2")
@pytest.mark.parametrize("name", examples(CURRENT, "ProblemDetail-*"))
def test_published_problems_are_of_registered_types(name):
    assert Problem.parse(read(name)).type in set(ProblemType)


@pytest.mark.requirement("OP-1")
def test_the_states_are_those_of_the_published_interface():
    interface = pyyaml.load(
        (DATA / "openapi" / "workload-management-api-1.0.0-rc.3.yaml").read_bytes(), Loader=pyyaml.SafeLoader
    )
    schemas = interface["components"]["schemas"]
    states = schemas["DeploymentStatusManifest"]["properties"]["status"]["properties"]["state"]["enum"]
    assert sorted(states) == sorted(SEVERITY)
    assert set(interface["paths"]) == {
        media_types.capabilities_path("{deviceId}"),
        media_types.DEPLOYMENTS_PATH,
        media_types.deployment_path("{deploymentId}", "{digest}"),
        media_types.bundle_path("{digest}"),
        media_types.status_path("{deploymentId}"),
    }


# Older documents whose broken rule is still in force, and where it breaks.
STILL_BROKEN = {
    "DesiredStateManifest-001.json": (StateManifest, "$.manifestVersion"),
    "DesiredStateManifest-002.json": (StateManifest, "$.bundle.mediaType"),
    "DesiredStateManifest-003.json": (StateManifest, "$.bundle.digest"),
    "DesiredStateManifest-004.json": (StateManifest, "$.bundle"),
    "DeploymentStatusManifest-002.json": (DeploymentStatus, "$.status.state"),
    "DeploymentStatusManifest-003.json": (DeploymentStatus, "$.deploymentId"),
    "DeviceCapabilitiesManifest-002.json": (DeviceCapabilities, "$.properties.vendor"),
    "ApplicationDescription-001.yaml": (ApplicationDescription, "$.id"),
    "ApplicationDescription-002.yaml": (ApplicationDescription, "$.apiVersion"),
    "ApplicationDescription-wrong-kind.yaml": (ApplicationDescription, "$.apiVersion"),
    "DesiredState-004.yaml": (ApplicationDeployment, "$.id"),
}
# What else these need to be documents of today, so that only the broken rule is left.
BROUGHT_UP_TO_DATE = {
    "DeploymentStatusManifest-002.json": {"adoptedManifestVersion": 1},
    "DeploymentStatusManifest-003.json": {"adoptedManifestVersion": 1},
}


@pytest.mark.parametrize("name", STILL_BROKEN)
def test_older_documents_that_break_a_rule_still_in_force_are_refused_for_it(name):
    kind, path = STILL_BROKEN[name]
    plain = pyyaml.load((OLDER / "invalid" / name).read_bytes(), Loader=pyyaml.SafeLoader)
    if kind is DeviceCapabilities:
        for outdated in ("roles", "resources"):
            del plain["properties"][outdated]
    with pytest.raises(DocumentError) as caught:
        kind.from_plain(plain | BROUGHT_UP_TO_DATE.get(name, {}), source=name)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["DesiredState-002.yaml", "ApplicationDeployment-003.yaml"])
def test_older_application_ids_are_no_better_at_their_present_place(name):
    plain = pyyaml.load((OLDER / "invalid" / name).read_bytes(), Loader=pyyaml.SafeLoader)
    annotations = plain["metadata"].pop("annotations")
    plain["id"] = "a3e2f5dc-912e-494f-8395-52cf3769bc06"
    plain["metadata"]["deviceId"] = "edge-01"
    plain["spec"]["applicationId"] = annotations["applicationId"]
    plain["spec"]["deploymentProfile"]["type"] = "helm"
    for component in plain["spec"]["deploymentProfile"]["components"]:
        component["properties"]["wait"] = True
    with pytest.raises(DocumentError) as caught:
        ApplicationDeployment.from_plain(plain, source=name)
    assert caught.value.path == "$.spec.applicationId"


@pytest.mark.requirement("OP-27", "VER-4")
def test_older_manifests_and_capabilities_are_read_where_their_shape_still_holds():
    manifest = (OLDER / "valid" / "DesiredStateManifest-001.json").read_bytes()
    assert StateManifest.parse(manifest).manifest_version == 101
    capabilities = json.loads((OLDER / "valid" / "DeviceCapabilitiesManifest-001.json").read_bytes())
    assert not DeviceCapabilities.from_plain(capabilities).is_hosting


@pytest.mark.requirement("ST-20")
def test_an_older_status_lacks_the_adopted_version():
    with pytest.raises(DocumentError) as caught:
        DeploymentStatus.parse((OLDER / "valid" / "DeploymentStatusManifest-001.json").read_bytes())
    assert caught.value.path == "$.adoptedManifestVersion"
