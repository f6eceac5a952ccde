"""The same documents make the same manifest (spec: DS-7, DS-10, DS-11, DS-22)."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.bundle import unpack_bundle
from edgewright.protocol.digests import digest_of
from edgewright.protocol.manifest import StateManifest
from edgewright.server.domain.manifests import build_manifest, version_after_loss

ids = st.integers(min_value=0, max_value=2**128 - 1).map(lambda number: str(uuid.UUID(int=number)))
documents = st.lists(ids, unique=True, max_size=5).map(
    lambda keys: {key: f"id: {key}\n".encode() for key in keys}
)
versions = st.integers(min_value=1, max_value=2**63)


@pytest.mark.requirement("DS-10", "DS-11", "DS-22", "DG-5", "OP-14", "OP-15")
@given(documents=documents, version=versions)
def test_a_manifest_names_exactly_its_documents(documents: dict[str, bytes], version: int) -> None:
    built = build_manifest(version, documents)
    manifest = StateManifest.parse(built.body)
    assert built.digest == digest_of(built.body)
    assert manifest.manifest_version == version
    named = {one.deployment_id: one.digest for one in manifest.deployments}
    assert named == {key: digest_of(body) for key, body in documents.items()}
    assert list(named) == list(documents)
    if not documents:
        assert built.bundle is None
        assert manifest.bundle is None
    else:
        assert built.bundle is not None
        assert unpack_bundle(built.bundle[1], manifest) == documents
    assert build_manifest(version, documents) == built


@pytest.mark.requirement("OP-16")
@given(known=st.integers(min_value=0, max_value=2**62), now=st.integers(min_value=1, max_value=2**33))
def test_a_version_after_a_loss_is_above_what_is_known_and_above_the_clock(known: int, now: int) -> None:
    version = version_after_loss(known, now)
    assert version > known
    assert version >= now
