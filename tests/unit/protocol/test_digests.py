import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.digests import DigestCheck, check_digest, digest_of, verify_digest
from edgewright.protocol.errors import DigestError, DigestMismatchError


@pytest.mark.requirement("DG-1", "DG-2", "DG-3")
@given(st.binary())
def test_a_digest_is_the_lower_case_sha256_of_the_exact_bytes(data):
    assert digest_of(data) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert check_digest(digest_of(data)) == digest_of(data)


@pytest.mark.requirement("DS-15", "DG-1", "DG-2")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("sha512:" + "a" * 128, id="another algorithm"),
        pytest.param("sha256:" + "a" * 63, id="too short"),
        pytest.param("sha256:" + "A" * 64, id="upper case digits"),
        pytest.param("SHA256:" + "a" * 64, id="upper case algorithm"),
        pytest.param("sha256:" + "a" * 64 + "\n", id="newline after it"),
        pytest.param(" sha256:" + "a" * 64, id="blank before it"),
        pytest.param("sha256:" + "٣" * 64, id="digits of another script"),
        pytest.param('"sha256:' + "a" * 64 + '"', id="quoted as in an ETag"),
    ],
)
def test_what_cannot_be_verified_is_no_digest(text):
    with pytest.raises(DigestError):
        check_digest(text)


@pytest.mark.requirement("DS-13", "CMP-11")
@given(st.lists(st.binary()))
def test_pieces_are_verified_as_their_concatenation(pieces):
    check = DigestCheck(digest_of(b"".join(pieces)), "somewhere")
    for piece in pieces:
        check.update(piece)
    check.finish()


@pytest.mark.requirement("DS-13", "DS-14")
@given(st.binary(min_size=1), st.integers(min_value=0), st.integers(1, 255))
def test_one_changed_byte_is_found(data, at, change):
    changed = bytearray(data)
    changed[at % len(data)] ^= change
    with pytest.raises(DigestMismatchError) as caught:
        verify_digest(bytes(changed), digest_of(data), location="/api/v1/bundles/x")
    assert caught.value.location == "/api/v1/bundles/x"
    assert caught.value.expected == digest_of(data)
    assert caught.value.actual == digest_of(bytes(changed))
