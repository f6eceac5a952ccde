"""Which manifests are accepted, and which documents are fetched how."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.state.store import SECURITY, SERVER, Manifest
from edgewright.agent.work.accept import Acceptable, Refused, Unchanged, judge
from edgewright.protocol.digests import digest_of

HERE, ELSEWHERE = "spiffe://example.org/margo/wfm/a/client/x", "spiffe://example.org/margo/wfm/b/client/x"


def manifest(version, *, relation=HERE, accepted=False, note=""):
    body = json.dumps({"manifestVersion": version, "bundle": None, "deployments": [], "note": note}).encode()
    return Manifest(
        relation=relation,
        etag="",
        digest=digest_of(body),
        body=body,
        version=version if accepted else None,
    )


versions = st.integers(min_value=1, max_value=2**64 - 1)


@pytest.mark.requirement("DS-12", "OP-15")
@given(versions, versions)
def test_exactly_greater_versions_are_accepted(stored, received):
    judgement = judge(manifest(received, note="other bytes"), manifest(stored, accepted=True))
    if received > stored:
        assert isinstance(judgement, Acceptable)
    else:
        assert isinstance(judgement, Refused)
        assert judgement.kind == SECURITY


@pytest.mark.requirement("DS-12")
@given(versions)
def test_with_nothing_stored_any_version_is_accepted(version):
    assert isinstance(judge(manifest(version), None), Acceptable)


@pytest.mark.requirement("OP-18")
@given(versions)
def test_the_accepted_bytes_again_are_unchanged(version):
    assert judge(manifest(version), manifest(version, accepted=True)) == Unchanged()


@given(versions, versions)
def test_another_fleet_managers_versions_are_another_sequence(stored, received):
    accepted = manifest(stored, relation=ELSEWHERE, accepted=True)
    assert isinstance(judge(manifest(received), accepted), Acceptable)


@pytest.mark.requirement("OP-16")
def test_after_a_reset_the_same_and_older_ones_are_accepted():
    forgotten = manifest(7)
    assert isinstance(judge(manifest(7), forgotten), Acceptable)
    assert isinstance(judge(manifest(3), forgotten), Acceptable)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"manifestVersion": 0}'])
def test_what_is_no_manifest_is_refused_and_no_security_event(body):
    received = Manifest(relation=HERE, etag="", digest=digest_of(body), body=body)
    judgement = judge(received, None)
    assert isinstance(judgement, Refused)
    assert judgement.kind == SERVER
