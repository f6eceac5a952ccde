"""What the server's authority issues, checked by the same reader that peers use (spec: 4.2)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import parse_client
from edgewright.protocol.svid import check_leaf, read_leaf, spki_pin
from edgewright.server.identity import authority as ca

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLIENT = "spiffe://example.org/margo/wfm/main/client/edge-01"


def authority() -> ca.Authority:
    return ca.make_authority("Devices", now=NOW, trust_domain="example.org")


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the administrator")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.mark.requirement("SVID-1", "SVID-2", "SVID-3", "SVID-7", "LC-9")
def test_a_device_svid_passes_the_check_of_every_peer() -> None:
    maker, key = authority(), ca.new_key()
    svid = ca.issue_svid(maker, key.public_key(), CLIENT, now=NOW, lifetime=ca.DEVICE_LIFETIME)
    spiffe_id, leaf = check_leaf(der(svid), trust_domain="example.org")
    assert parse_client(spiffe_id) == ("main", "edge-01")
    assert datetime.fromtimestamp(leaf.not_after, UTC) - NOW == timedelta(days=90)
    names = svid.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (names.critical, len(svid.subject)) == (True, 0)
    svid.verify_directly_issued_by(maker.certificate)


@pytest.mark.requirement("SVID-4")
def test_the_authority_has_the_trust_domain_as_its_identity_and_is_no_peer() -> None:
    certificate = authority().certificate
    leaf = read_leaf(der(certificate))
    assert (leaf.uris, leaf.is_ca) == (("spiffe://example.org",), True)
    with pytest.raises(IdentityError):
        check_leaf(der(certificate), trust_domain="example.org")


def test_two_authorities_never_share_a_subject() -> None:
    assert authority().certificate.subject != authority().certificate.subject


@pytest.mark.requirement("LC-1", "LC-2")
def test_only_the_key_is_taken_from_a_request() -> None:
    key = ca.new_key()
    assert ca.public_key_of_request(request(key)) == key.public_key()


@pytest.mark.requirement("SVID-10")
@pytest.mark.parametrize(
    ("pem", "told"),
    [
        pytest.param(lambda: request(ec.generate_private_key(ec.SECP384R1())), "P-256", id="another curve"),
        pytest.param(
            lambda: request(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "P-256", id="RSA"
        ),
        pytest.param(lambda: "not PEM", "PKCS#10", id="no PEM"),
        pytest.param(lambda: "ü", "PKCS#10", id="beyond ASCII"),
        pytest.param(lambda: forged(request(ca.new_key())), "PKCS#10|its own key", id="forged"),
    ],
)
def test_requests_that_cannot_be_certified_are_refused(pem: object, told: str) -> None:
    with pytest.raises(IdentityError, match=told):
        ca.public_key_of_request(pem())  # type: ignore[operator]


def forged(pem: str) -> str:
    """Return `pem` with a signature that another key could have made."""
    lines = pem.strip().splitlines()
    body = bytearray("".join(lines[1:-1]).encode())
    body[-12] = ord("A") if body[-12] != ord("A") else ord("B")
    return "\n".join([lines[0], body.decode(), lines[-1]]) + "\n"


@pytest.mark.requirement("TLS-14")
def test_the_pin_is_the_one_peers_compute() -> None:
    maker, key = ca.make_authority("Web", now=NOW), ca.new_key()
    leaf = ca.issue_web_certificate(maker, key.public_key(), ("plant.test", "192.0.2.1", "::1"), now=NOW)
    assert ca.pin_of(key.public_key()) == spki_pin(der(leaf))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["plant.test", "192.0.2.1", "::1"]


@pytest.mark.requirement("LC-5")
@pytest.mark.parametrize(
    ("elapsed", "due"), [(timedelta(days=59), False), (timedelta(days=61), True), (timedelta(days=91), True)]
)
def test_renewal_is_due_when_a_third_is_left(elapsed: timedelta, due: bool) -> None:
    svid = ca.issue_svid(authority(), ca.new_key().public_key(), CLIENT, now=NOW, lifetime=timedelta(days=90))
    assert ca.is_renewal_due(svid, NOW + elapsed) is due
