"""A small certificate authority: P-256 keys and certificates of the exact shapes the specification names.

Nothing here reads a clock or a disk: the time is an argument, certificates are values (spec: SVID-1 to
SVID-4, SVID-7).
"""

import base64
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewright.protocol.errors import IdentityError

AUTHORITY_LIFETIME = timedelta(days=3653)
DEVICE_LIFETIME = timedelta(days=90)
SERVER_LIFETIME = timedelta(days=90)
# Browsers refuse server certificates that live longer than 398 days.
WEB_LIFETIME = timedelta(days=397)
# Clocks of devices run late: a certificate is valid a little before it was made (spec: TLS-7).
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A key that signs certificates, and the certificate others trust it by."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key from the system's random generator (spec: SVID-7, SVID-11)."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(name: str, *, now: datetime, trust_domain: str | None = None) -> Authority:
    """Make a self-signed authority; with `trust_domain` its SPIFFE ID is that domain, without a path (spec:
    SVID-4).

    The name carries a part of the key, so that two authorities in one set of anchors never share a subject.
    """
    key = new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Edgewright"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {_key_digest(key.public_key()).hex()[:12]}"),
        ]
    )
    builder = (
        _certificate(key.public_key(), key.public_key(), now=now, lifetime=AUTHORITY_LIFETIME)
        .subject_name(subject)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    if trust_domain is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
        builder = builder.add_extension(names, critical=False)
    return Authority(certificate=builder.sign(key, SHA256()), key=key)


def issue_svid(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    spiffe_id: str,
    *,
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """Issue an X.509-SVID: one URI name, critical as the subject is empty (spec: SVID-1 to SVID-3)."""
    return _sign_leaf(
        authority,
        _certificate(public_key, authority.key.public_key(), now=now, lifetime=lifetime)
        .subject_name(x509.Name([]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]), critical=True
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        ),
    )


def issue_web_certificate(
    authority: Authority, public_key: ec.EllipticCurvePublicKey, hosts: tuple[str, ...], *, now: datetime
) -> x509.Certificate:
    """Issue an ordinary HTTPS certificate for `hosts` (names or IP addresses)."""
    return _sign_leaf(
        authority,
        _certificate(public_key, authority.key.public_key(), now=now, lifetime=WEB_LIFETIME)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Edgewright")]))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
    )


def public_key_of_request(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request whose signature proves possession of its private half.

    Only P-256 is certified: every peer can use it (spec: SVID-10). Subject and names in the request are
    ignored, the server decides them (spec: LC-2). Raises `IdentityError`.
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise IdentityError("csr: expected a PKCS#10 certificate request in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("csr: expected a P-256 key")
    if not is_signed:
        raise IdentityError("csr: its signature is not made by its own key")
    return key


def pin_of(key: CertificatePublicKeyTypes) -> str:
    """Return base64 of the SHA-256 of the key's DER SubjectPublicKeyInfo (spec: TLS-14)."""
    return base64.b64encode(_key_digest(key)).decode("ascii")


def is_renewal_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether no more than a third of the certificate's lifetime is left (spec: LC-5)."""
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now <= lifetime / 3


def certificate_pem(certificate: x509.Certificate) -> str:
    """Return the certificate in PEM form."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the private key in PEM form, PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def load_key(pem: bytes, *, source: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key written by `key_pem`; raises `IdentityError` naming `source`."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{source}: expected a private key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{source}: expected an elliptic-curve key")
    return key


def load_certificates(pem: bytes, *, source: str) -> tuple[x509.Certificate, ...]:
    """Read one or more PEM certificates; raises `IdentityError` naming `source`."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise IdentityError(f"{source}: expected certificates in PEM form") from error


def _certificate(
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _sign_leaf(authority: Authority, builder: x509.CertificateBuilder) -> x509.Certificate:
    return (
        builder.issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .sign(authority.key, SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_digest(key: CertificatePublicKeyTypes) -> bytes:
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
