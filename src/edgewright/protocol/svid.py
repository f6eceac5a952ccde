"""What an X.509-SVID says about itself, read by a small strict DER reader (spec: SVID-1 to SVID-3, SVID-12).

Signatures, validity and the chain are the TLS library's work; this module reads the fields the
specification adds on top. It is no general X.509 library: whatever is not plain DER is refused.
Standard library only, because the watch imports it; tests hold it against `cryptography`.
"""

import binascii
import hashlib
from datetime import UTC, datetime

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import SpiffeId

_BOOLEAN, _INTEGER, _BIT_STRING, _OCTET_STRING, _OID, _SEQUENCE = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _ISSUER_UNIQUE_ID, _SUBJECT_UNIQUE_ID, _EXTENSIONS = 0xA0, 0x81, 0x82, 0xA3
_URI_NAME = 0x86

_BASIC_CONSTRAINTS, _KEY_USAGE = bytes.fromhex("551d13"), bytes.fromhex("551d0f")
_SUBJECT_ALT_NAME, _EXTENDED_KEY_USAGE = bytes.fromhex("551d11"), bytes.fromhex("551d25")

_KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"


class Leaf:
    """The facts of one certificate that identity decisions need.

    `uris` are all URI SANs in order; `key_usage` and `extended_key_usage` (names as in RFC 5280;
    dotted OIDs) are None when the extension is absent; times are unix seconds; `public_key_info`
    is the DER SubjectPublicKeyInfo.
    """

    __slots__ = (
        "extended_key_usage",
        "is_ca",
        "key_usage",
        "key_usage_critical",
        "not_after",
        "not_before",
        "public_key_info",
        "uris",
    )

    def __init__(self) -> None:
        self.uris: tuple[str, ...] = ()
        self.is_ca = False
        self.key_usage: frozenset[str] | None = None
        self.key_usage_critical = False
        self.extended_key_usage: frozenset[str] | None = None
        self.not_before = 0
        self.not_after = 0
        self.public_key_info = b""


def read_leaf(der: bytes) -> Leaf:
    """Read one DER certificate; raise IdentityError when it is not exactly one."""
    whole = _Reader(der)
    certificate = whole.enter(_SEQUENCE)
    whole.end()
    tbs = certificate.enter(_SEQUENCE)
    certificate.take(_SEQUENCE)
    certificate.take(_BIT_STRING)
    certificate.end()
    return _read_tbs(tbs)


def check_leaf(der: bytes, *, trust_domain: str) -> tuple[SpiffeId, Leaf]:
    """Return the SPIFFE ID and facts of a peer's leaf, or raise IdentityError.

    The trust domain comes first (spec: SVID-12); that the chain is valid is the caller's, that is
    the TLS library's, part of the same order.
    """
    leaf = read_leaf(der)
    if len(leaf.uris) != 1:
        raise IdentityError(f"certificate has {len(leaf.uris)} URI SANs, an SVID has exactly one")
    identity = SpiffeId.parse(leaf.uris[0])
    if identity.trust_domain != trust_domain:
        raise IdentityError(f"{identity} is not of the trust domain {trust_domain}")
    if not identity.path:
        raise IdentityError(f"{identity} names a trust domain, not a workload")
    if leaf.is_ca:
        raise IdentityError(f"{identity}: an issuing certificate never authenticates a peer")
    if leaf.key_usage is None or not leaf.key_usage_critical or "digitalSignature" not in leaf.key_usage:
        raise IdentityError(f"{identity}: expected a critical key usage with digitalSignature")
    if leaf.key_usage & {"keyCertSign", "cRLSign"}:
        raise IdentityError(f"{identity}: key usage allows signing certificates or revocation lists")
    if leaf.extended_key_usage is not None and not leaf.extended_key_usage >= {SERVER_AUTH, CLIENT_AUTH}:
        raise IdentityError(f"{identity}: extended key usage lacks serverAuth or clientAuth")
    return identity, leaf


def spki_pin(der: bytes) -> str:
    """Return the pin of a certificate's key: base64 of SHA-256 over its public key info (spec: TLS-14)."""
    digest = hashlib.sha256(read_leaf(der).public_key_info).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


class _Reader:
    """Walks the elements of one constructed DER value; tags of one byte, definite minimal lengths only."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def tag(self) -> int | None:
        """Return the tag of the next element without taking it, None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def element(self, tag: int) -> bytes:
        """Take the next element, header included; it has to carry `tag`."""
        start = self._at
        self.take(tag)
        return self._data[start : self._at]

    def take(self, tag: int) -> bytes:
        """Take the content of the next element; it has to carry `tag`."""
        if self.tag() != tag:
            raise IdentityError(f"certificate: expected DER tag 0x{tag:02x}, found {self.tag()!r}")
        length, start = self._length(self._at + 1)
        self._at = start + length
        if self._at > len(self._data):
            raise IdentityError("certificate: a DER value ends early")
        return self._data[start : self._at]

    def enter(self, tag: int) -> "_Reader":
        """Take the next element and return a reader of its content."""
        return _Reader(self.take(tag))

    def end(self) -> None:
        """Refuse anything left over."""
        if self._at != len(self._data):
            raise IdentityError("certificate: unexpected bytes after a DER value")

    def _length(self, at: int) -> tuple[int, int]:
        head = self._data[at : at + 1]
        if head and head[0] < 0x80:
            return head[0], at + 1
        count = head[0] & 0x7F if head else 0
        digits = self._data[at + 1 : at + 1 + count]
        if not 1 <= count <= 4 or len(digits) != count or digits[0] == 0:
            raise IdentityError("certificate: a DER length is cut, indefinite or not minimal")
        length = int.from_bytes(digits, "big")
        if length < 0x80:
            raise IdentityError("certificate: a DER length is not minimal")
        return length, at + 1 + count


def _read_tbs(tbs: _Reader) -> Leaf:
    leaf = Leaf()
    if tbs.tag() == _VERSION:
        tbs.take(_VERSION)
    tbs.take(_INTEGER)
    tbs.take(_SEQUENCE)  # signature algorithm
    tbs.take(_SEQUENCE)  # issuer
    validity = tbs.enter(_SEQUENCE)
    leaf.not_before, leaf.not_after = _read_time(validity), _read_time(validity)
    validity.end()
    tbs.take(_SEQUENCE)  # subject
    leaf.public_key_info = tbs.element(_SEQUENCE)
    for unique_id in (_ISSUER_UNIQUE_ID, _SUBJECT_UNIQUE_ID):
        if tbs.tag() == unique_id:
            tbs.take(unique_id)
    if tbs.tag() == _EXTENSIONS:
        wrapper = tbs.enter(_EXTENSIONS)
        _read_extensions(wrapper.enter(_SEQUENCE), leaf)
        wrapper.end()
    tbs.end()
    return leaf


def _read_time(reader: _Reader) -> int:
    if reader.tag() == _UTC_TIME:
        text = _ascii(reader.take(_UTC_TIME))
        century = "19" if text[:2] >= "50" else "20"  # RFC 5280, 4.1.2.5.1
        text = century + text
    else:
        text = _ascii(reader.take(_GENERALIZED_TIME))
    if len(text) != 15 or text[14] != "Z" or not text[:14].isdigit():
        raise IdentityError("certificate: a time is not written as RFC 5280 demands")
    try:
        month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
        return int(datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        raise IdentityError("certificate: a time names no instant") from None


def _read_extensions(extensions: _Reader, leaf: Leaf) -> None:
    seen: set[bytes] = set()
    while extensions.tag() is not None:
        extension = extensions.enter(_SEQUENCE)
        oid = extension.take(_OID)
        critical = extension.tag() == _BOOLEAN and _read_boolean(extension)
        value = _Reader(extension.take(_OCTET_STRING))
        extension.end()
        if oid in seen:
            raise IdentityError("certificate: an extension appears twice")
        seen.add(oid)
        if oid == _BASIC_CONSTRAINTS:
            constraints = value.enter(_SEQUENCE)
            leaf.is_ca = constraints.tag() == _BOOLEAN and _read_boolean(constraints)
        elif oid == _KEY_USAGE:
            leaf.key_usage, leaf.key_usage_critical = _read_bits(value.take(_BIT_STRING)), critical
        elif oid == _SUBJECT_ALT_NAME:
            leaf.uris = _read_uris(value.enter(_SEQUENCE))
        elif oid == _EXTENDED_KEY_USAGE:
            leaf.extended_key_usage = _read_oids(value.enter(_SEQUENCE))
        else:
            continue
        value.end()


def _read_boolean(reader: _Reader) -> bool:
    content = reader.take(_BOOLEAN)
    if content not in {b"\x00", b"\xff"}:
        raise IdentityError("certificate: a DER boolean is neither true nor false")
    return content == b"\xff"


def _read_bits(content: bytes) -> frozenset[str]:
    if len(content) < 2 or content[0] > 7:
        raise IdentityError("certificate: key usage is not a DER bit string")
    bits = "".join(f"{byte:08b}" for byte in content[1:])
    return frozenset(name for name, bit in zip(_KEY_USAGES, bits, strict=False) if bit == "1")


def _read_uris(names: _Reader) -> tuple[str, ...]:
    uris = []
    while (tag := names.tag()) is not None:
        content = names.take(tag)
        if tag == _URI_NAME:
            uris.append(_ascii(content))
    return tuple(uris)


def _read_oids(oids: _Reader) -> frozenset[str]:
    found = set()
    while oids.tag() is not None:
        found.add(_dotted(oids.take(_OID)))
    return frozenset(found)


def _dotted(oid: bytes) -> str:
    arcs, value = [], 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if not arcs or value:
        raise IdentityError("certificate: an object identifier is cut")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def _ascii(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise IdentityError("certificate: text outside ASCII where RFC 5280 forbids it") from None
