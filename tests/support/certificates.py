"""Certificates for tests: authorities, right SVIDs, and every wrong shape a verifier has to refuse.

    authority = Authority.create("example.org")
    device = authority.client("main", "edge-01")            # a right client SVID
    server = authority.wfm("main")                          # a right WFM SVID
    odd = authority.wfm("main", **WRONG_SHAPES["is an authority"])
    files = device.write(tmp_path)                          # files.certificate, files.key

Everything is made in memory; only `write` touches the disk. Keys are P-256 unless asked otherwise,
because all-P-256 is the combination every peer must support (spec: SVID-7, SVID-10).
"""

import base64
import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_BOTH_ROLES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_BEFORE = timedelta(hours=1)  # room for clocks; also keeps "valid from now" out of the tests' way
_LIFETIME = timedelta(days=7)


def make_key(algorithm: str = "p256") -> PrivateKey:
    """Return a new private key: `p256`, `p384`, `ed25519` or `rsa` (3072 bits)."""
    match algorithm:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "rsa":
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case _:
            raise ValueError(f"no such key algorithm: {algorithm}")


def key_pem(key: PrivateKey) -> bytes:
    """Return `key` as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def spki_pin(certificate: x509.Certificate) -> str:
    """Return the pin of the certificate's key: base64 of SHA-256 over its SPKI (spec: TLS-14)."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Files:
    """Where an issued certificate lies on disk: `certificate` is leaf and intermediates, `key` is 0600."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf with what is needed to present it; `intermediates` from the leaf's issuer upwards."""

    certificate: x509.Certificate
    key: PrivateKey | None
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The leaf alone as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """Leaf, then intermediates, as PEM: what a peer presents (spec: SVID-5)."""
        return b"".join(
            each.public_bytes(serialization.Encoding.PEM) for each in (self.certificate, *self.intermediates)
        )

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8 PEM; only for leaves whose key was made here."""
        assert self.key is not None, "issued from a CSR: the key stayed with its maker"
        return key_pem(self.key)

    @property
    def pin(self) -> str:
        """The pin of the leaf's key (spec: TLS-14)."""
        return spki_pin(self.certificate)

    def write(self, directory: Path, name: str = "svid") -> Files:
        """Write `<name>.pem` and `<name>.key` (0600) into `directory`, which is made if missing."""
        directory.mkdir(parents=True, exist_ok=True)
        files = Files(directory / f"{name}.pem", directory / f"{name}.key")
        files.certificate.write_bytes(self.pem)
        files.key.touch(mode=0o600)
        files.key.write_bytes(self.key_pem)
        return files


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of one trust domain: a root, or an intermediate below one."""

    trust_domain: str
    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = field(default=())

    @classmethod
    def create(
        cls,
        trust_domain: str = "example.org",
        *,
        algorithm: str = "p256",
        name: str = "Test Root",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> "Authority":
        """Return a new self-signed root for `trust_domain` with its SPIFFE ID (no path, spec: SVID-4)."""
        key = make_key(algorithm)
        certificate = _authority_certificate(
            trust_domain, name, key.public_key(), name, key, not_before, not_after
        )
        return cls(trust_domain, certificate, key)

    def intermediate(self, *, algorithm: str = "p256", name: str = "Test Intermediate") -> "Authority":
        """Return an authority below this one; its leaves carry it in `intermediates`."""
        key = make_key(algorithm)
        certificate = _authority_certificate(
            self.trust_domain, name, key.public_key(), self._name, self.key, None, None
        )
        above = (certificate, *self.above)
        return Authority(self.trust_domain, certificate, key, above)

    @property
    def _name(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def der(self) -> bytes:
        """The authority's own certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate as PEM: the trust anchor when it is a root."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pin(self) -> str:
        """The pin of the authority's key (spec: TLS-14)."""
        return spki_pin(self.certificate)

    def issue(
        self,
        uris: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        common_name: str | None = None,
        algorithm: str = "p256",
        public_key: PublicKey | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        is_ca: bool | None = False,
        key_usage: Mapping[str, bool] | None = None,
        no_key_usage: bool = False,
        key_usage_critical: bool = True,
        extended_key_usage: Sequence[x509.ObjectIdentifier] | None = _BOTH_ROLES,
    ) -> Issued:
        """Return a leaf with exactly these properties; the defaults are those of a right SVID.

        `names` are DNS names or IP addresses. `key_usage` gives the bits that are set (default:
        `digital_signature`), `no_key_usage` leaves the extension out, `is_ca=None` leaves basic
        constraints out. With `public_key` the leaf certifies that key and `Issued.key` is None.
        """
        key = None if public_key is not None else make_key(algorithm)
        builder = _builder(
            common_name, self.certificate.subject, public_key or _public(key), not_before, not_after
        )
        alternatives = [*map(x509.UniformResourceIdentifier, uris), *map(_general_name, names)]
        if alternatives:
            san = x509.SubjectAlternativeName(alternatives)
            builder = builder.add_extension(san, critical=common_name is None)
        if is_ca is not None:
            constraints = x509.BasicConstraints(ca=is_ca, path_length=None)
            builder = builder.add_extension(constraints, critical=True)
        if not no_key_usage:
            usage = _key_usage(key_usage if key_usage is not None else {"digital_signature": True})
            builder = builder.add_extension(usage, critical=key_usage_critical)
        if extended_key_usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended_key_usage), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
            critical=False,
        )
        return Issued(builder.sign(self.key, _hash(self.key)), key, self.above)

    def client(self, wfm: str = "main", client: str = "edge-01", **shape: Any) -> Issued:
        """Return a client SVID of this trust domain (spec: ID-2); `shape` as for `issue`."""
        uri = f"spiffe://{self.trust_domain}/margo/wfm/{wfm}/client/{client}"
        return self.issue(**{"uris": [uri], **shape})

    def wfm(self, wfm: str = "main", **shape: Any) -> Issued:
        """Return a WFM SVID of this trust domain (spec: ID-1); `shape` as for `issue`."""
        return self.issue(**{"uris": [f"spiffe://{self.trust_domain}/margo/wfm/{wfm}"], **shape})

    def web_server(self, *names: str) -> Issued:
        """Return an ordinary web certificate, by default for `localhost` and 127.0.0.1."""
        return self.issue(
            names=names or ("localhost", "127.0.0.1"),
            common_name="web",
            extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,),
        )

    def sign_csr(self, csr_pem: str | bytes, uri: str, **shape: Any) -> Issued:
        """Return an SVID for the key of a CSR; only the key is taken from it (spec: LC-2)."""
        data = csr_pem.encode("ascii") if isinstance(csr_pem, str) else csr_pem
        csr = x509.load_pem_x509_csr(data)
        assert csr.is_signature_valid
        public_key = csr.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey)
        return self.issue([uri], public_key=public_key, **shape)


def trust_bundle(*authorities: Authority, sequence: int = 1, refresh_hint: int = 3600) -> bytes:
    """Return the authorities' certificates as a SPIFFE bundle, a JSON Web Key Set (spec: TB-9)."""
    keys = [
        {**_jwk(each.certificate), "use": "x509-svid", "x5c": [base64.b64encode(each.der).decode("ascii")]}
        for each in authorities
    ]
    document = {"keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": refresh_hint}
    return json.dumps(document).encode("utf-8")


WRONG_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "no URI at all": {"uris": [], "names": ["localhost"]},
    "two URIs": {"uris": ["spiffe://example.org/margo/wfm/main", "spiffe://example.org/margo/wfm/other"]},
    "not a SPIFFE URI": {"uris": ["https://example.org/margo/wfm/main"]},
    "SPIFFE ID without a path": {"uris": ["spiffe://example.org"]},
    "foreign trust domain": {"uris": ["spiffe://example.net/margo/wfm/main"]},
    "is an authority": {
        "is_ca": True,
        "key_usage": {"digital_signature": True, "key_cert_sign": True, "crl_sign": True},
    },
    "may sign certificates": {"key_usage": {"digital_signature": True, "key_cert_sign": True}},
    "may sign revocation lists": {"key_usage": {"digital_signature": True, "crl_sign": True}},
    "no key usage": {"no_key_usage": True},
    "key usage not critical": {"key_usage_critical": False},
    "key usage without digitalSignature": {"key_usage": {"key_agreement": True}},
    "extended key usage without clientAuth": {"extended_key_usage": (ExtendedKeyUsageOID.SERVER_AUTH,)},
    "extended key usage without serverAuth": {"extended_key_usage": (ExtendedKeyUsageOID.CLIENT_AUTH,)},
}
"""Leaves that are no SVID of `example.org`, as keyword arguments for `issue`, `client` and `wfm`.

Each breaks one rule (spec: SVID-1 to SVID-3, SVID-12).
"""

EXPIRED: Mapping[str, Any] = {
    "not_before": datetime(2020, 1, 1, tzinfo=UTC),
    "not_after": datetime(2020, 2, 1, tzinfo=UTC),
}
"""Lifetime of a leaf that ended long ago (spec: TLS-5)."""

NOT_YET_VALID: Mapping[str, Any] = {
    "not_before": datetime(2190, 1, 1, tzinfo=UTC),
    "not_after": datetime(2190, 2, 1, tzinfo=UTC),
}
"""Lifetime of a leaf that has not begun (spec: TLS-5)."""


def _authority_certificate(
    trust_domain: str,
    name: str,
    public_key: PublicKey,
    issuer: str,
    issuer_key: PrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
) -> x509.Certificate:
    builder = _builder(name, _distinguished(issuer), public_key, not_before, not_after)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = _key_usage({"key_cert_sign": True, "crl_sign": True})
    builder = builder.add_extension(usage, critical=True)
    identity = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    builder = builder.add_extension(identity, critical=False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return builder.add_extension(identifier, critical=False).sign(issuer_key, _hash(issuer_key))


def _builder(
    common_name: str | None,
    issuer: x509.Name,
    public_key: PublicKey,
    not_before: datetime | None,
    not_after: datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(_distinguished(common_name) if common_name else x509.Name([]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - _BEFORE)
        .not_valid_after(not_after or now + _LIFETIME)
    )


def _distinguished(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(bits: Mapping[str, bool]) -> x509.KeyUsage:
    none = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**{**none, **bits})


def _public(key: PrivateKey | None) -> PublicKey:
    assert key is not None
    return key.public_key()


def _hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        return hashes.SHA384()
    return hashes.SHA256()


def _jwk(certificate: x509.Certificate) -> dict[str, str]:
    key = certificate.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            size = (key.key_size + 7) // 8
            numbers = key.public_numbers()
            curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name]
            return {"kty": "EC", "crv": curve, "x": _base64(numbers.x, size), "y": _base64(numbers.y, size)}
        case rsa.RSAPublicKey():
            modulus, exponent = key.public_numbers().n, key.public_numbers().e
            return {"kty": "RSA", "n": _base64(modulus, (key.key_size + 7) // 8), "e": _base64(exponent, 3)}
        case ed25519.Ed25519PublicKey():
            raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
        case _:
            raise ValueError("no JWK form for this kind of key")


def _base64(number: int, size: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode("ascii")
