"""The Trust Domain's anchors as a SPIFFE bundle, and the discovery document that leads to it (spec: 4.5)."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import msgspec

from edgewright.protocol.documents import Document, Text, Violation
from edgewright.protocol.errors import IdentityError
from edgewright.protocol.svid import read_leaf

_SVID_USE = "x509-svid"


class TrustBundle(Document, frozen=True, kw_only=True):
    """A JWK Set; only its X.509 anchors count, and without any it is refused (spec: TB-9 to TB-11).

    `refresh_hint` is in seconds.
    """

    keys: tuple[Mapping[str, Any], ...]
    sequence: int | None = msgspec.field(name="spiffe_sequence", default=None)
    refresh_hint: int | None = msgspec.field(name="spiffe_refresh_hint", default=None)

    @classmethod
    def from_anchors_der(
        cls, anchors: Sequence[bytes], *, sequence: int, refresh_hint: int | None = None
    ) -> Self:
        """Make the bundle of CA certificates given as DER; raise IdentityError for anything else or none."""
        if not anchors:
            raise IdentityError("a trust bundle needs at least one anchor")
        return cls(keys=tuple(map(_jwk, anchors)), sequence=sequence, refresh_hint=refresh_hint)

    @property
    def anchors_der(self) -> tuple[bytes, ...]:
        """The anchors as DER certificates, in the bundle's order."""
        return tuple(
            base64.b64decode(key["x5c"][0])
            for key in self.keys
            if key.get("use") == _SVID_USE and key.get("x5c")
        )

    @property
    def anchors_pem(self) -> str:
        """The anchors as one PEM text, as TLS libraries take it."""
        return "".join(map(pem_of, self.anchors_der))

    def violations(self) -> Iterator[Violation]:
        """Yield anchors that are no CA certificate, or that there is no anchor at all (fail closed)."""
        usable = False
        for index, key in enumerate(self.keys):
            if key.get("use") != _SVID_USE or not key.get("x5c"):
                continue  # TB-10: not an X.509 anchor, of no concern here
            usable = True
            try:
                _check_anchor(key["x5c"])
            except (IdentityError, binascii.Error, ValueError) as error:
                yield f"$.keys[{index}].x5c[0]", str(error)
        if not usable:
            yield "$.keys", "expected at least one X.509 anchor (use x509-svid with x5c)"


class DiscoveryDocument(Document, frozen=True, kw_only=True):
    """Where a Trust Domain publishes its bundle (spec: TB-4)."""

    trust_domain: Text
    trust_bundle_uri: Text

    def violations(self) -> Iterator[Violation]:
        """Yield a URI that is not absolute HTTPS (spec: TB-5)."""
        if not re.match(r"https://[^/\s]", self.trust_bundle_uri):
            yield "$.trustBundleUri", "expected an absolute https:// URL"


def pem_of(der: bytes) -> str:
    """Return one DER certificate as PEM."""
    lines = base64.encodebytes(der).decode("ascii").replace("\n", "")
    body = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def ders_of(pem: str) -> tuple[bytes, ...]:
    """Return the DER certificates in a PEM text, in order; raise IdentityError when there is none."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", pem)
    if not blocks:
        raise IdentityError("no PEM certificate in this text")
    try:
        return tuple(base64.b64decode("".join(block.split()), validate=True) for block in blocks)
    except binascii.Error as error:
        raise IdentityError(f"a PEM certificate is damaged: {error}") from None


def _check_anchor(x5c: Any) -> bytes:
    """Return the first certificate of `x5c`, the only one that counts (spec: TB-10)."""
    if not isinstance(x5c, list | tuple) or not isinstance(x5c[0], str):
        raise IdentityError("expected an array of base64 texts")
    der = base64.b64decode(x5c[0], validate=True)
    if not read_leaf(der).is_ca:
        raise IdentityError("expected a CA certificate")
    return der


def _jwk(der: bytes) -> Mapping[str, Any]:
    if not read_leaf(der).is_ca:
        raise IdentityError("a trust anchor has to be a CA certificate")
    return {"use": _SVID_USE, **_public_jwk(der), "x5c": [base64.b64encode(der).decode("ascii")]}


def _public_jwk(der: bytes) -> Mapping[str, str]:
    """Return the JWK members of a certificate's key (RFC 7518, RFC 8037)."""
    # Only who publishes bundles needs `cryptography` here; who reads them does not pay for it.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

    match load_der_x509_certificate(der).public_key():
        case ec.EllipticCurvePublicKey() as key:
            size = (key.curve.key_size + 7) // 8
            numbers = key.public_numbers()
            curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name)
            if curve is not None:
                x, y = (_base64url(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
                return {"kty": "EC", "crv": curve, "x": x, "y": y}
        case rsa.RSAPublicKey() as key:
            n, e = key.public_numbers().n, key.public_numbers().e
            return {"kty": "RSA", "n": _base64url(_minimal(n)), "e": _base64url(_minimal(e))}
        case ed25519.Ed25519PublicKey() as key:
            return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())}
    raise IdentityError("a trust anchor's key has to be NIST EC, RSA or Ed25519")


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
