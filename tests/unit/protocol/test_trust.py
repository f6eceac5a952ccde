import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from edgewright.protocol.errors import DocumentError, IdentityError
from edgewright.protocol.trust import DiscoveryDocument, TrustBundle, ders_of, pem_of

KEYS = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA": rsa.generate_private_key(65537, 3072),
    "P-224": ec.generate_private_key(ec.SECP224R1()),
}


def certificate(key="P-256", *, ca=True):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    private = KEYS[key]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2036, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .sign(private, None if key == "Ed25519" else hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


ROOT, LEAF = certificate(), certificate(ca=False)


def entry(der=ROOT, **changes):
    return {"use": "x509-svid", "kty": "EC", "x5c": [base64.b64encode(der).decode()]} | changes


def parse(*keys, **members):
    return TrustBundle.parse(json.dumps({"keys": list(keys)} | members).encode(), source="bundle")


@pytest.mark.requirement("TB-8", "TB-9")
@pytest.mark.parametrize("key", ["P-256", "P-384", "Ed25519", "RSA"])
def test_a_bundle_made_of_anchors_gives_them_back(key):
    anchors = (certificate(key), ROOT)
    bundle = TrustBundle.from_anchors_der(anchors, sequence=12, refresh_hint=3600)
    read = TrustBundle.parse(bundle.render())
    assert read.anchors_der == anchors
    assert (read.sequence, read.refresh_hint) == (12, 3600)
    assert TrustBundle.parse(read.render()).render() == bundle.render()


@pytest.mark.requirement("TB-9")
def test_an_anchor_is_published_with_the_members_of_its_key():
    plain = json.loads(TrustBundle.from_anchors_der([ROOT], sequence=1).render())
    (key,) = plain["keys"]
    numbers = KEYS["P-256"].public_key().public_numbers()
    assert (key["use"], key["kty"], key["crv"]) == ("x509-svid", "EC", "P-256")
    assert int.from_bytes(base64.urlsafe_b64decode(key["x"] + "="), "big") == numbers.x
    assert int.from_bytes(base64.urlsafe_b64decode(key["y"] + "="), "big") == numbers.y
    assert base64.b64decode(key["x5c"][0]) == ROOT
    assert "kid" not in key
    assert plain["spiffe_sequence"] == 1


@pytest.mark.requirement("SVID-4", "TB-9")
@pytest.mark.parametrize("der", [LEAF, b"", certificate("P-224")], ids=["leaf", "nothing", "curve"])
def test_only_usable_ca_certificates_become_anchors(der):
    with pytest.raises(IdentityError):
        TrustBundle.from_anchors_der([der], sequence=1)


@pytest.mark.requirement("TB-11")
def test_a_bundle_is_not_made_of_nothing():
    with pytest.raises(IdentityError, match="at least one"):
        TrustBundle.from_anchors_der([], sequence=1)


@pytest.mark.requirement("TB-5", "TB-10")
def test_entries_of_no_concern_are_ignored():
    others = (
        {"use": "jwt-svid", "kid": "a"},
        {"use": "new-svid", "x5c": [1]},
        entry(x5c=[]),
        {"use": "x509-svid"},
        {},
    )
    assert parse(*others, entry(), spiffe_refresh_hint=5, more={}).anchors_der == (ROOT,)


@pytest.mark.requirement("TB-10")
def test_only_the_first_certificate_of_an_entry_counts():
    assert parse(entry(x5c=[base64.b64encode(ROOT).decode(), "not even base64"])).anchors_der == (ROOT,)


@pytest.mark.requirement("TB-11")
@pytest.mark.parametrize(
    ("keys", "path"),
    [
        pytest.param([], "$.keys", id="no keys"),
        pytest.param([{"use": "jwt-svid", "kid": "a"}], "$.keys", id="only JWT keys"),
        pytest.param([entry(), entry(LEAF)], "$.keys[1].x5c[0]", id="leaf as anchor"),
        pytest.param([entry(x5c=["<placeholder>"])], "$.keys[0].x5c[0]", id="placeholder"),
        pytest.param([entry(x5c=[base64.b64encode(b"x").decode()])], "$.keys[0].x5c[0]", id="no certificate"),
        pytest.param([entry(x5c="text")], "$.keys[0].x5c[0]", id="text"),
        pytest.param([entry(x5c=[5])], "$.keys[0].x5c[0]", id="number"),
        pytest.param(["x"], "$.keys[0]", id="no object"),
    ],
)
def test_bundles_without_usable_anchors_are_refused(keys, path):
    with pytest.raises(DocumentError) as caught:
        parse(*keys)
    assert caught.value.path == path


def test_pem_and_der_are_two_forms_of_the_same():
    pem = "some words\n" + pem_of(ROOT) + pem_of(LEAF)
    assert ders_of(pem) == (ROOT, LEAF)
    assert x509.load_pem_x509_certificates(pem.encode())[1].public_bytes(
        serialization.Encoding.PEM
    ).decode() == pem_of(LEAF)
    assert parse(entry()).anchors_pem == pem_of(ROOT)


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"])
def test_text_without_a_whole_certificate_is_refused(text):
    with pytest.raises(IdentityError):
        ders_of(text)


@pytest.mark.requirement("TB-4", "TB-5")
def test_a_discovery_document_is_read_whatever_else_it_says():
    text = b'{"trustDomain": "factory.example", "trustBundleUri": "https://mis.example/b", "more": 1}'
    assert DiscoveryDocument.parse(text).trust_bundle_uri == "https://mis.example/b"


@pytest.mark.requirement("TB-5")
@pytest.mark.parametrize(
    "uri", ["http://mis.example/b", "/b", "https://", "https:///b", "file:///etc/passwd", ""]
)
def test_bundles_are_only_fetched_over_https(uri):
    with pytest.raises(DocumentError) as caught:
        DiscoveryDocument.parse(json.dumps({"trustDomain": "d", "trustBundleUri": uri}).encode())
    assert caught.value.path == "$.trustBundleUri"
