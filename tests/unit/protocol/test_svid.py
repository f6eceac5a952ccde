"""The DER reader against `cryptography`, on real certificates and on broken ones."""

import base64
import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.svid import CLIENT_AUTH, SERVER_AUTH, check_leaf, read_leaf, spki_pin

CLIENT = "spiffe://example.org/margo/wfm/main/client/edge-01"
KEYS = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "rsa": rsa.generate_private_key(65537, 3072),
}
BOTH_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


USAGES = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


def key_usage(**wanted):
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in USAGES})


def certificate(
    *,
    uris=(CLIENT,),
    key="p256",
    ca=False,
    usage=None,
    usage_critical=True,
    extended=BOTH_USES,
    names=(),
    not_before=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    not_after=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    extensions=True,
):
    private = KEYS[key]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ünter")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if extensions:
        builder = builder.add_extension(x509.BasicConstraints(ca, 1 if ca else None), critical=True)
        if usage is not False:
            builder = builder.add_extension(usage or key_usage(digital_signature=True), usage_critical)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        general = [*map(x509.UniformResourceIdentifier, uris), *names]
        if general:
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    algorithm = None if key == "ed25519" else hashes.SHA256()
    return builder.sign(private, algorithm).public_bytes(serialization.Encoding.DER)


def spki(der):
    return (
        x509.load_der_x509_certificate(der)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.requirement("SVID-7", "SVID-8")
@pytest.mark.parametrize("key", KEYS)
def test_every_kind_of_key_reads_as_cryptography_reads_it(key):
    der = certificate(key=key, names=[x509.DNSName("edge.example.org")])
    leaf = read_leaf(der)
    theirs = x509.load_der_x509_certificate(der)
    assert leaf.uris == (CLIENT,)
    assert leaf.public_key_info == spki(der)
    assert leaf.not_before == theirs.not_valid_before_utc.timestamp()
    assert leaf.not_after == theirs.not_valid_after_utc.timestamp()
    assert leaf.key_usage == {"digitalSignature"}
    assert leaf.key_usage_critical
    assert leaf.extended_key_usage == {SERVER_AUTH, CLIENT_AUTH}
    assert not leaf.is_ca


instants = st.datetimes(
    dt.datetime(1950, 1, 1),  # noqa: DTZ001
    dt.datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
).map(lambda instant: instant.replace(microsecond=0))
usages = st.sets(
    st.sampled_from(
        ["digital_signature", "content_commitment", "key_encipherment", "key_cert_sign", "crl_sign"]
    )
)


@given(
    times=st.tuples(instants, instants).map(sorted),
    ca=st.booleans(),
    usage=usages,
    critical=st.booleans(),
    uris=st.lists(st.sampled_from([CLIENT, "https://example.org/", "urn:x:y"]), max_size=3),
    oids=st.lists(
        st.from_regex(r"[0-2]\.(3[0-9]|[1-9])(\.(0|[1-9][0-9]{0,8})){1,5}", fullmatch=True), max_size=3
    ),
)
def test_the_reader_agrees_with_cryptography(times, ca, usage, critical, uris, oids):
    der = certificate(
        uris=uris,
        ca=ca,
        usage=key_usage(**dict.fromkeys(usage, True)) if usage else False,
        usage_critical=critical,
        extended=tuple(map(x509.ObjectIdentifier, oids)),
        not_before=times[0],
        not_after=times[1],
    )
    leaf = read_leaf(der)
    assert (leaf.not_before, leaf.not_after) == tuple(int(time.timestamp()) for time in times)
    assert leaf.is_ca == ca
    assert leaf.uris == tuple(uris)
    assert leaf.extended_key_usage == (frozenset(oids) if oids else None)
    assert (leaf.key_usage is None) == (not usage)
    assert leaf.key_usage_critical == (critical and bool(usage))
    assert len(leaf.key_usage or ()) == len(usage)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_our_error(data):
    with pytest.raises(IdentityError):
        read_leaf(data)


SAMPLE = certificate()


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_escapes_as_another_error(at, change):
    broken = bytearray(SAMPLE)
    broken[at] ^= change
    try:
        check_leaf(bytes(broken), trust_domain="example.org")
        spki_pin(bytes(broken))
    except IdentityError:
        pass


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_cut_certificate_is_refused(length):
    with pytest.raises(IdentityError):
        read_leaf(SAMPLE[:length])


def test_bytes_after_the_certificate_are_refused():
    with pytest.raises(IdentityError):
        read_leaf(SAMPLE + b"\0")


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"\x30\x80\x00\x00", id="indefinite length"),
        pytest.param(b"\x30\x81\x05" + b"\0" * 5, id="long form for a short length"),
        pytest.param(b"\x30\x82\x00\x85" + b"\0" * 0x85, id="length with a leading zero"),
        pytest.param(b"\x30\x85\x01\x00\x00\x00\x00", id="length of five bytes"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff", id="length beyond the data"),
    ],
)
def test_lengths_that_are_not_der_are_refused(der):
    with pytest.raises(IdentityError):
        read_leaf(der)


@pytest.mark.requirement("SVID-1", "SVID-2", "SVID-3", "SVID-12")
def test_a_client_svid_is_accepted_with_its_identity():
    identity, leaf = check_leaf(SAMPLE, trust_domain="example.org")
    assert str(identity) == CLIENT
    assert leaf.not_after > leaf.not_before


@pytest.mark.requirement("SVID-3")
def test_an_svid_without_extended_key_usage_is_accepted():
    check_leaf(certificate(extended=()), trust_domain="example.org")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        pytest.param({"uris": ()}, "0 URI SANs", id="no URI", marks=pytest.mark.requirement("SVID-1")),
        pytest.param(
            {"uris": (CLIENT, CLIENT + "x")},
            "2 URI SANs",
            id="two URIs",
            marks=pytest.mark.requirement("SVID-1"),
        ),
        pytest.param({"uris": ("https://example.org/",)}, "spiffe://", id="no SPIFFE ID"),
        pytest.param(
            {"uris": ("spiffe://example.com/margo/wfm/main/client/a",)},
            "not of the trust domain",
            id="another domain",
            marks=pytest.mark.requirement("SVID-12"),
        ),
        pytest.param(
            {"uris": ("spiffe://example.org",)},
            "names a trust domain",
            id="root",
            marks=pytest.mark.requirement("SVID-2"),
        ),
        pytest.param({"ca": True}, "issuing", id="CA", marks=pytest.mark.requirement("SVID-2", "SVID-4")),
        pytest.param(
            {"usage": False}, "key usage", id="no key usage", marks=pytest.mark.requirement("SVID-2")
        ),
        pytest.param(
            {"usage_critical": False}, "critical", id="not critical", marks=pytest.mark.requirement("SVID-2")
        ),
        pytest.param(
            {"usage": key_usage(key_agreement=True)},
            "digitalSignature",
            id="no signature",
            marks=pytest.mark.requirement("SVID-2"),
        ),
        pytest.param(
            {"usage": key_usage(digital_signature=True, key_cert_sign=True)},
            "signing certificates",
            id="signs certificates",
            marks=pytest.mark.requirement("SVID-2"),
        ),
        pytest.param(
            {"usage": key_usage(digital_signature=True, crl_sign=True)},
            "signing certificates",
            id="signs lists",
            marks=pytest.mark.requirement("SVID-2"),
        ),
        pytest.param(
            {"extended": (ExtendedKeyUsageOID.CLIENT_AUTH,)},
            "serverAuth",
            id="only clientAuth",
            marks=pytest.mark.requirement("SVID-3"),
        ),
        pytest.param({"extensions": False}, "0 URI SANs", id="plain certificate"),
    ],
)
def test_other_certificates_are_no_svids(made, says):
    with pytest.raises(IdentityError, match=says):
        check_leaf(certificate(**made), trust_domain="example.org")


@pytest.mark.requirement("TLS-14")
@pytest.mark.parametrize("key", KEYS)
def test_a_pin_is_the_hash_of_the_public_key_info(key):
    der = certificate(key=key)
    assert spki_pin(der) == base64.b64encode(hashlib.sha256(spki(der)).digest()).decode()


@pytest.mark.requirement("TLS-14")
def test_certificates_of_one_key_have_one_pin():
    assert spki_pin(certificate()) == spki_pin(certificate(uris=(CLIENT + "-renewed",)))
