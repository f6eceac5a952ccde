import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import media_types
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import BundleReference, DeploymentReference, StateManifest

ID = "a3e2f5dc-912e-494f-8395-52cf3769bc06"
DIGEST = digest_of(b"deployment")
BUNDLE = digest_of(b"bundle")


def manifest(**changes):
    return {
        "manifestVersion": 7,
        "bundle": {"mediaType": media_types.BUNDLE, "digest": BUNDLE, "url": f"/api/v1/bundles/{BUNDLE}"},
        "deployments": [{"deploymentId": ID, "digest": DIGEST, "url": f"/api/v1/deployments/{ID}/{DIGEST}"}],
    } | changes


def parse(value):
    return StateManifest.parse(json.dumps(value).encode(), source="manifest")


@pytest.mark.requirement("OP-2", "OP-15")
@given(st.integers(1, 2**64 - 1))
def test_versions_keep_all_their_64_bits(version):
    parsed = parse(manifest(manifestVersion=version))
    assert parsed.manifest_version == version
    assert StateManifest.parse(parsed.render()) == parsed
    assert f'"manifestVersion":{version}'.encode() in parsed.render()


@pytest.mark.requirement("DS-10")
def test_an_empty_manifest_has_a_bundle_of_null():
    empty = parse({"manifestVersion": 1, "bundle": None, "deployments": []})
    assert empty.bundle is None
    assert empty.render() == b'{"bundle":null,"deployments":[],"manifestVersion":1}'


def without(name):
    value = manifest()
    del value[name]
    return value


def changed(section, **changes):
    value = manifest()
    part = value["bundle"] if section == "bundle" else value["deployments"][0]
    part.update(changes)
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param(manifest(manifestVersion=0), "$.manifestVersion", id="version 0"),
        pytest.param(manifest(manifestVersion=-1), "$.manifestVersion", id="negative version"),
        pytest.param(manifest(manifestVersion=2**64), "$.manifestVersion", id="65 bits"),
        pytest.param(manifest(manifestVersion=1.0), "$.manifestVersion", id="a double"),
        pytest.param(manifest(manifestVersion=True), "$.manifestVersion", id="a boolean"),
        pytest.param(manifest(manifestVersion="7"), "$.manifestVersion", id="text"),
        pytest.param(without("bundle"), "$.bundle", id="no bundle"),
        pytest.param(without("deployments"), "$.deployments", id="no deployments"),
        pytest.param(manifest(bundle=None), "$.bundle", id="null bundle with deployments"),
        pytest.param(manifest(deployments=[]), "$.bundle", id="bundle of nothing"),
        pytest.param(changed("bundle", mediaType="application/zip"), "$.bundle.mediaType", id="zip bundle"),
        pytest.param(
            changed("bundle", digest="sha512:" + "0" * 128),
            "$.bundle.digest",
            id="other algorithm",
            marks=pytest.mark.requirement("DS-15"),
        ),
        pytest.param(changed("bundle", url=f"/api/v1/bundles/{DIGEST}"), "$.bundle.url", id="URL of another"),
        pytest.param(
            changed("bundle", url=f"https://e/api/v1/bundles/{BUNDLE}"), "$.bundle.url", id="foreign URL"
        ),
        pytest.param(
            changed("bundle", url=f"/api/v1/../x/bundles/{BUNDLE}"), "$.bundle.url", id="climbing URL"
        ),
        pytest.param(changed("bundle", sizeBytes=-1), "$.bundle.sizeBytes", id="negative size"),
        pytest.param(changed("bundle", sizeBytes=2**64), "$.bundle.sizeBytes", id="size of 65 bits"),
        pytest.param(changed("d", digest=DIGEST.upper()), "$.deployments[0].digest", id="upper case digest"),
        pytest.param(changed("d", deploymentId="x"), "$.deployments[0].deploymentId", id="no UUID"),
        pytest.param(
            changed("d", deploymentId=ID + "\n"), "$.deployments[0].deploymentId", id="UUID and newline"
        ),
        pytest.param(
            changed("d", url=f"/api/v1/deployments/{ID}/x"), "$.deployments[0].url", id="URL disagrees"
        ),
        pytest.param(
            manifest(deployments=manifest()["deployments"] * 2),
            "$.deployments[1].deploymentId",
            id="listed twice",
        ),
    ],
)
def test_manifests_that_contradict_themselves_are_refused(value, path):
    with pytest.raises(DocumentError) as caught:
        parse(value)
    assert caught.value.path == path


def test_all_violations_are_told_at_once():
    with pytest.raises(DocumentError) as caught:
        parse(changed("bundle", mediaType="x", url="y"))
    assert [path for path, _ in caught.value.problems] == ["$.bundle.mediaType", "$.bundle.url"]


@pytest.mark.requirement("API-13")
def test_references_made_here_read_back():
    made = StateManifest(
        manifest_version=1,
        bundle=BundleReference(
            media_type=media_types.BUNDLE, digest=BUNDLE, url=media_types.bundle_path(BUNDLE), size_bytes=6
        ),
        deployments=(
            DeploymentReference(deployment_id=ID, digest=DIGEST, url=media_types.deployment_path(ID, DIGEST)),
        ),
    )
    assert StateManifest.parse(made.render()) == made


def test_paths_of_the_device_api():
    assert media_types.status_path(ID) == f"/api/v1/deployments/{ID}/status"
    assert media_types.capabilities_path("gateway1/a") == "/api/v1/capabilities/gateway1/a"
