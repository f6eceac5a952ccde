import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import media_types
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import DigestError, DocumentError
from edgewright.protocol.oci import (
    EMPTY,
    OciReference,
    app_manifest,
    compose_layer,
    compose_manifest,
    describe,
    parse_manifest,
    resource_layer,
)

DIGEST = digest_of(b"x")


@pytest.mark.requirement("REG-3")
def test_the_empty_config_is_the_one_of_the_oci_specification():
    assert EMPTY.digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (EMPTY.size, EMPTY.data, EMPTY.media_type) == (2, "e30=", "application/vnd.oci.empty.v1+json")


@pytest.mark.requirement("CMP-3", "CMP-4")
def test_a_compose_manifest_says_what_the_specification_asks():
    data = compose_manifest(compose_layer(b"archive", version="1.0.0", title="web.tgz"))
    plain = json.loads(data)
    assert plain["schemaVersion"] == 2
    assert plain["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert plain["artifactType"] == "application/vnd.org.margo.component.compose+json"
    (layer,) = plain["layers"]
    assert layer["mediaType"] == "application/vnd.org.margo.component.compose.tar+gzip"
    assert (layer["digest"], layer["size"]) == (digest_of(b"archive"), 7)
    assert layer["annotations"] == {
        "org.margo.component.type": "compose",
        "org.margo.component.version": "1.0.0",
        "org.opencontainers.image.version": "1.0.0",
        "org.opencontainers.image.title": "web.tgz",
    }
    assert parse_manifest(data).only_layer(media_types.COMPOSE_LAYER, source="x").size == 7
    assert compose_manifest(compose_layer(b"archive", version="1.0.0", title="web.tgz")) == data


@pytest.mark.requirement("REG-3", "REG-4", "REG-5", "OP-29")
def test_a_package_manifest_names_description_and_resources():
    description = describe(b"apiVersion: v1", media_types.APP_DESCRIPTION_LAYER)
    icon = resource_layer(b"png", resource="icon", path="resources/logo.PNG")
    plain = json.loads(app_manifest(description, [icon], annotations={"a": "b"}))
    assert plain["artifactType"] == "application/vnd.margo.app.v1+json"
    assert plain["config"]["data"] == "e30="
    assert [layer["mediaType"] for layer in plain["layers"]] == [
        "application/vnd.margo.app.description.v1+yaml",
        "application/vnd.margo.app.icon.v1+png",
    ]
    assert plain["layers"][1]["annotations"] == {
        "org.margo.app.resource": "icon",
        "org.opencontainers.image.title": "resources/logo.PNG",
    }
    assert plain["annotations"] == {"a": "b"}


def test_resources_without_an_ending_have_a_format_all_the_same():
    assert resource_layer(b"", resource="licenseFile", path="a.b/LICENSE").media_type.endswith("+bin")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"schemaVersion": 1}, "$.schemaVersion"),
        ({"layers": None}, "$.layers"),
        ({"config": {"mediaType": "x", "digest": "md5:1", "size": 1}}, "$.config.digest"),
        ({"layers": [{"mediaType": "x", "digest": DIGEST, "size": -1}]}, "$.layers[0].size"),
        ({"layers": [{"mediaType": "x", "digest": DIGEST + "0", "size": 1}]}, "$.layers[0].digest"),
    ],
)
def test_unusable_manifests_are_refused(change, path):
    plain = json.loads(compose_manifest(compose_layer(b"", version="1.0.0"))) | change
    with pytest.raises(DocumentError) as caught:
        parse_manifest(json.dumps(plain).encode(), source="registry")
    assert caught.value.path == path


def test_an_index_is_no_manifest():
    index = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}
    with pytest.raises(DocumentError):
        parse_manifest(json.dumps(index).encode())


@pytest.mark.requirement("CMP-3")
@pytest.mark.parametrize("count", [0, 2])
def test_the_layer_that_counts_has_to_be_the_only_one(count):
    layers = [compose_layer(b"", version="1.0.0")] * count
    manifest = parse_manifest(app_manifest(describe(b"x", "text/plain"), layers))
    with pytest.raises(DocumentError, match=f"found {count}"):
        manifest.only_layer(media_types.COMPOSE_LAYER, source="x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("oci://registry.example/a", ("registry.example", "a", None, None)),
        ("oci://localhost:5000/a/b_c/d-e.f:1.0.0", ("localhost:5000", "a/b_c/d-e.f", "1.0.0", None)),
        (f"oci://127.0.0.1:80/a@{DIGEST}", ("127.0.0.1:80", "a", None, DIGEST)),
        (f"oci://[::1]:5000/a:b@{DIGEST}", ("[::1]:5000", "a", "b", DIGEST)),
    ],
)
def test_references_are_taken_apart_and_written_again(text, parts):
    reference = OciReference.parse(text)
    assert (reference.host, reference.repository, reference.tag, reference.digest) == parts
    assert str(reference) == text
    assert OciReference.parse(text.removeprefix("oci://")) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oci://",
        "oci://host",
        "oci://host/",
        "https://host/a",
        "oci://host/A",
        "oci://host/a//b",
        "oci://host/../a",
        "oci://host/a:",
        "oci://host/a:b c",
        "oci://user@host/a",
        "oci://host/a?b",
        "oci://-host/a",
        "oci://host/a:" + "b" * 129,
        "oci://host/" + "a/" * 600 + "a",
    ],
)
def test_other_texts_are_no_references(text):
    with pytest.raises(DocumentError):
        OciReference.parse(text)


def test_a_digest_in_a_reference_has_to_be_verifiable():
    with pytest.raises(DigestError):
        OciReference.parse("oci://host/a@sha512:00")


def test_references_move_to_a_tag_or_a_digest():
    reference = OciReference.parse("oci://host/a")
    assert reference.with_tag("1.0.0").target == "1.0.0"
    assert str(reference.with_tag("1.0.0").with_digest(DIGEST)) == f"oci://host/a@{DIGEST}"
    with pytest.raises(DocumentError, match="tag or a digest"):
        _ = reference.target


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused_with_our_error(text):
    try:
        reference = OciReference.parse("oci://" + text)
    except (DocumentError, DigestError):
        return
    assert str(reference) == "oci://" + text
