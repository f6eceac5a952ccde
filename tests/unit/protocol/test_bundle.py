import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import media_types
from edgewright.protocol.archive import pack_directory_entries, read_archive
from edgewright.protocol.bundle import pack_bundle, unpack_bundle
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import ArchiveError, DigestMismatchError, DocumentError
from edgewright.protocol.manifest import BundleReference, DeploymentReference, StateManifest

A, B = "a3e2f5dc-912e-494f-8395-52cf3769bc06", "b3e2f5dc-912e-494f-8395-52cf3769bc06"
DOCUMENTS = {A: f"id: {A}\nname: one\n".encode(), B: f"id: {B}\nname: two\n".encode()}


def manifest(bundle, documents):
    digest = digest_of(bundle)
    return StateManifest(
        manifest_version=1,
        bundle=BundleReference(
            media_type=media_types.BUNDLE, digest=digest, url=media_types.bundle_path(digest)
        ),
        deployments=tuple(
            DeploymentReference(
                deployment_id=key,
                digest=digest_of(data),
                url=media_types.deployment_path(key, digest_of(data)),
            )
            for key, data in documents.items()
        ),
    )


@pytest.mark.requirement("DS-11", "DS-13", "OP-14")
@given(st.dictionaries(st.uuids().map(str), st.text("abc: \n#", max_size=20), min_size=1, max_size=5))
def test_a_bundle_gives_back_exactly_what_the_manifest_lists(comments):
    documents = {key: f"id: {key}\n# {text.encode().hex()}\n".encode() for key, text in comments.items()}
    bundle = pack_bundle(documents)
    assert unpack_bundle(bundle, manifest(bundle, documents)) == documents
    assert pack_bundle(dict(reversed(documents.items()))) == bundle


@pytest.mark.requirement("DS-11", "OP-14")
def test_files_are_named_by_their_deployment_at_the_root():
    archive = read_archive(pack_bundle(DOCUMENTS), source="bundle")
    assert sorted(archive.entries) == [f"{A}.yaml", f"{B}.yaml"]
    assert archive.directories == ()


@pytest.mark.requirement("OP-14")
def test_other_file_names_and_dialects_are_understood():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number, data in enumerate(DOCUMENTS.values()):
            member = tarfile.TarInfo(f"./{number}.yml")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    bundle = gzip.compress(buffer.getvalue())
    assert unpack_bundle(bundle, manifest(bundle, DOCUMENTS)) == DOCUMENTS


@pytest.mark.requirement("DS-10")
def test_an_empty_bundle_is_never_made():
    with pytest.raises(ValueError, match="at least one"):
        pack_bundle({})


def packed(**files):
    return pack_directory_entries({name: (data, 0o644) for name, data in files.items()})


@pytest.mark.requirement("DS-11")
@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(packed(a=DOCUMENTS[A]), id="one is missing"),
        pytest.param(packed(a=DOCUMENTS[A], b=DOCUMENTS[B], c=b"id: c\n"), id="one more"),
        pytest.param(packed(a=DOCUMENTS[A], b=DOCUMENTS[B], c=DOCUMENTS[B]), id="one twice"),
        pytest.param(packed(a=DOCUMENTS[A], b=DOCUMENTS[B] + b"\n"), id="one changed"),
        pytest.param(packed(**{"a": DOCUMENTS[A], "d/b": DOCUMENTS[B]}), id="one in a directory"),
    ],
)
def test_bundles_that_hold_anything_else_are_refused(bundle):
    with pytest.raises(ArchiveError):
        unpack_bundle(bundle, manifest(bundle, DOCUMENTS))


@pytest.mark.requirement("DS-13", "DS-14")
def test_a_bundle_of_other_bytes_is_refused_unread():
    with pytest.raises(DigestMismatchError):
        unpack_bundle(b"not even gzip", manifest(pack_bundle(DOCUMENTS), DOCUMENTS))


@pytest.mark.requirement("OP-14")
@pytest.mark.parametrize("data", [f"id: {B}\n".encode(), b"name: x\n", b"- a\n"])
def test_a_document_of_another_id_is_refused(data):
    bundle = pack_bundle({A: data})
    with pytest.raises(ArchiveError, match="another id"):
        unpack_bundle(bundle, manifest(bundle, {A: data}))


def test_a_document_that_is_no_yaml_is_refused():
    bundle = pack_bundle({A: b"a: ["})
    with pytest.raises(DocumentError, match=A):
        unpack_bundle(bundle, manifest(bundle, {A: b"a: ["}))


def test_a_manifest_without_a_bundle_has_none_to_unpack():
    with pytest.raises(ArchiveError, match="names none"):
        unpack_bundle(b"", StateManifest(manifest_version=1, bundle=None, deployments=()))
