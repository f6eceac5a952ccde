"""An identity before it is used: checked as a whole, installed as a whole (spec: ON-2, SVID-1 to SVID-5).

Everything a peer would refuse later is found here, with the file it is in: a key of another certificate, a
certificate of another shape, a chain that ends nowhere, a date, an address.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgewright.agent.paths import Paths
from edgewright.agent.state.durable import sync_directory
from edgewright.agent.state.store import STATE, Store
from edgewright.agent.talk.session import ANCHORS, CERTIFICATE, KEY, SERVER, Identity, NotEnrolledError
from edgewright.net.http import Origin
from edgewright.protocol import spiffe, svid
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import EdgewrightError, IdentityError
from edgewright.protocol.trust import TrustBundle, ders_of, pem_of

_LONGEST_CHAIN = 10
_TRUST_BUNDLE = "trust-bundle.json"


class AlreadyEnrolledError(EdgewrightError):
    """There is an identity already, and nobody said that it is to be replaced."""

    code = "identity.exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A checked identity, ready to be installed.

    `svid_pem` is the leaf and its intermediates, `bundle` the trust bundle as it came (None where anchors
    came as PEM), `url` the base of the device API.
    """

    client: spiffe.SpiffeId
    svid_pem: str
    key_pem: bytes
    anchors_pem: str
    bundle: bytes | None
    url: str
    device_id: str

    @property
    def client_id(self) -> str:
        """The `wfm-client-id` the fleet manager's operator chose (spec: ID-2)."""
        return spiffe.parse_client(self.client)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What errors call the parts: file names, or where they came from."""

    svid: str
    key: str
    trust_bundle: str
    url: str


def check(
    *,
    svid_pem: bytes,
    key_pem: bytes,
    trust: bytes,
    url: str,
    device_id: str | None,
    sources: Sources,
    now: float,
) -> Material:
    """Return the parts as one identity, or raise IdentityError or DocumentError naming the part at fault.

    `trust` is a SPIFFE bundle (JSON) or CA certificates (PEM); `now` is unix seconds; `device_id` is the
    client id when None.
    """
    chain = _certificates(svid_pem, sources.svid)
    client = _client(chain[0], sources.svid)
    _check_dates(chain[0], sources.svid, now)
    _check_key(key_pem, chain[0], sources)
    bundle, anchors = _anchors(trust, sources.trust_bundle)
    _check_domain(client, anchors, sources.trust_bundle)
    _check_chain(chain, anchors, sources, now)
    return Material(
        client=client,
        svid_pem="".join(map(pem_of, chain)),
        key_pem=key_pem,
        anchors_pem="".join(map(pem_of, anchors)),
        bundle=bundle,
        url=_check_url(url, sources.url),
        device_id=device_id or spiffe.parse_client(client)[1],
    )


def install(paths: Paths, material: Material, *, replace: bool = False) -> None:
    """Make `material` the identity in use, in one step; raises AlreadyEnrolledError unless `replace`."""
    settings = json.dumps({"url": material.url, "device_id": material.device_id}, indent=2) + "\n"
    files = {
        CERTIFICATE: material.svid_pem.encode("ascii"),
        KEY: material.key_pem,
        ANCHORS: material.anchors_pem.encode("ascii"),
        SERVER: settings.encode("utf-8"),
    }
    if material.bundle is not None:
        files[_TRUST_BUNDLE] = material.bundle
    install_files(paths, files, told=f"enrolled as {material.client}", replace=replace)


def install_files(
    paths: Paths,
    files: Mapping[str, bytes],
    *,
    told: str,
    replace: bool = False,
    trial: Callable[[str], None] | None = None,
) -> None:
    """Make `files`, name to bytes, the identity in use, in one step; `told` is the event that makes.

    `trial` is called with the directory they are in before that; when it raises, nothing has changed.
    Raises AlreadyEnrolledError unless `replace`.
    """
    refuse_replacing(paths, replace=replace)
    paths.make()
    os.makedirs(paths.identities, mode=0o700, exist_ok=True)
    name = f"{time.time_ns():x}"
    directory = os.path.join(paths.identities, name)
    os.mkdir(directory, mode=0o700)
    try:
        for each, data in files.items():
            _write(directory, each, data)
        sync_directory(directory)
        if trial is not None:
            trial(directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    _point_to(paths, name)
    _delete_others(paths, name)
    store = Store(paths.database)
    store.record(STATE, told)
    store.close()


def files_in_use(paths: Paths) -> dict[str, bytes]:
    """Return the files of the identity in use, name to bytes; raises NotEnrolledError, IdentityError."""
    Identity(paths.identity)
    files = {}
    for name in sorted(os.listdir(paths.identity)):
        with open(os.path.join(paths.identity, name), "rb") as file:
            files[name] = file.read()
    return files


def check_certificate(certificate_pem: bytes, key_pem: bytes, *, source: str, key: str, now: float) -> None:
    """Raise IdentityError unless a certificate can be shown now: it has this key and is good at `now`."""
    chain = _certificates(certificate_pem, source)
    _check_dates(chain[0], source, now)
    _check_key(key_pem, chain[0], Sources(svid=source, key=key, trust_bundle="", url=""))


def check_authority(pem: bytes, source: str) -> None:
    """Raise IdentityError unless `pem` is certificates, as the authority of a server is told by."""
    try:
        ders_of(pem.decode("ascii", "replace"))
    except IdentityError as error:
        raise IdentityError(f"{source}: {error}; expected the authority's certificate") from None


def refuse_replacing(paths: Paths, *, replace: bool) -> None:
    """Raise AlreadyEnrolledError when there is an identity that is not to be replaced."""
    if os.path.lexists(paths.identity) and not replace:
        known = _client_in_use(paths) or "something unreadable"
        raise AlreadyEnrolledError(
            f"{paths.root}: enrolled already as {known}; give --replace to replace its identity"
        )


def make_key() -> bytes:
    """Return a new P-256 private key as PEM (spec: SVID-7, SVID-11)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_request(key_pem: bytes, common_name: str) -> str:
    """Return a certificate request for the key as PEM; its subject is advice only (spec: LC-1, LC-2)."""
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError("the pending key is not one this program made")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def digest_of_key(key_pem: bytes) -> str:
    """Return the digest of the key's public half, which people compare; raises IdentityError."""
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError("the pending key is damaged") from None
    return digest_of(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def write_private(path: str, data: bytes) -> None:
    """Write a file only its owner can ever read, whole or not at all, safe from a power cut."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    unfinished = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    _write(directory, os.path.basename(unfinished), data)
    os.replace(unfinished, path)
    sync_directory(directory)


def _certificates(pem: bytes, source: str) -> tuple[bytes, ...]:
    try:
        return ders_of(pem.decode("ascii", "replace"))
    except IdentityError as error:
        raise IdentityError(f"{source}: {error}; expected the SVID and its intermediates") from None


def _client(leaf: bytes, source: str) -> spiffe.SpiffeId:
    """Return the identity of a leaf that is a right client SVID (spec: ID-2, SVID-1, SVID-2)."""
    try:
        uris = svid.read_leaf(leaf).uris
        domain = spiffe.SpiffeId.parse(uris[0]).trust_domain if len(uris) == 1 else ""
        found, _ = svid.check_leaf(leaf, trust_domain=domain)
        spiffe.parse_client(found)
    except IdentityError as error:
        raise IdentityError(f"{source}: not the SVID of a client: {error}") from None
    return found


def _check_dates(leaf: bytes, source: str, now: float) -> None:
    facts = svid.read_leaf(leaf)
    if now > facts.not_after:
        raise IdentityError(f"{source}: it expired on {_date(facts.not_after)}")
    if now < facts.not_before:
        today = f"this device's clock says {_date(int(now))}"
        raise IdentityError(f"{source}: it is not valid before {_date(facts.not_before)}; {today}")


def _check_key(key_pem: bytes, leaf: bytes, sources: Sources) -> None:
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except TypeError:
        raise IdentityError(f"{sources.key}: the key is encrypted; a device has to read it alone") from None
    except (ValueError, UnsupportedAlgorithm):
        raise IdentityError(f"{sources.key}: expected a private key as PEM") from None
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if public != svid.read_leaf(leaf).public_key_info:
        raise IdentityError(f"{sources.key}: it is not the key of the certificate in {sources.svid}")


def _anchors(trust: bytes, source: str) -> tuple[bytes | None, tuple[bytes, ...]]:
    """Return the bundle, if it is one, and its anchors (spec: TB-10, TB-11)."""
    if trust.lstrip()[:1] == b"{":
        return trust, TrustBundle.parse(trust, source=source).anchors_der
    anchors = _certificates(trust, source)
    for anchor in anchors:
        if not svid.read_leaf(anchor).is_ca:
            raise IdentityError(f"{source}: holds a certificate that is not an authority's")
    return None, anchors


def _check_domain(client: spiffe.SpiffeId, anchors: Sequence[bytes], source: str) -> None:
    """Raise IdentityError for an anchor that says it is of another trust domain (spec: SVID-4)."""
    for anchor in anchors:
        for uri in svid.read_leaf(anchor).uris:
            if uri.startswith("spiffe://") and spiffe.SpiffeId.parse(uri).trust_domain != client.trust_domain:
                raise IdentityError(f"{source}: an anchor is of {uri}, the SVID of {client.trust_domain}")


def _check_chain(chain: Sequence[bytes], anchors: Sequence[bytes], sources: Sources, now: float) -> None:
    """Raise IdentityError unless the chain leads from its leaf to an anchor (spec: SVID-5, SVID-6)."""
    known = [x509.load_der_x509_certificate(der) for der in chain[1:]]
    roots = [x509.load_der_x509_certificate(der) for der in anchors]
    certificate = x509.load_der_x509_certificate(chain[0])
    moment = datetime.fromtimestamp(now, UTC)
    for _ in range(_LONGEST_CHAIN):
        if any(certificate == root or _issued(root, certificate) for root in _valid(roots, moment)):
            return
        above = next((each for each in _valid(known, moment) if _issued(each, certificate)), None)
        if above is None:
            issuer = certificate.issuer.rfc4514_string() or "an authority without a name"
            raise IdentityError(
                f"{sources.svid}: issued by {issuer}, which is neither in {sources.trust_bundle} "
                "nor beside the SVID, or is not valid now"
            )
        known.remove(above)
        certificate = above
    raise IdentityError(f"{sources.svid}: the chain is longer than {_LONGEST_CHAIN} certificates")


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return svid.read_leaf(issuer.public_bytes(serialization.Encoding.DER)).is_ca


def _valid(certificates: Sequence[x509.Certificate], moment: datetime) -> Iterator[x509.Certificate]:
    for each in certificates:
        if each.not_valid_before_utc <= moment <= each.not_valid_after_utc:
            yield each


def _check_url(url: str, source: str) -> str:
    try:
        origin = Origin(url)
    except EdgewrightError as error:
        raise IdentityError(f"{source}: {error}") from None
    if origin.scheme != "https":
        raise IdentityError(
            f"{source}: {url!r}: the fleet manager is reached by https:// only (spec: TLS-19)"
        )
    return url.rstrip("/")


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _write(directory: str, name: str, data: bytes) -> None:
    path = os.path.join(directory, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _client_in_use(paths: Paths) -> str | None:
    try:
        return Identity(paths.identity).relation
    except (NotEnrolledError, IdentityError):
        return None


def _point_to(paths: Paths, name: str) -> None:
    link = os.path.join(paths.identities, f"{name}.link")
    os.symlink(name, link)
    os.replace(link, paths.identity)
    sync_directory(paths.identities)


def _delete_others(paths: Paths, name: str) -> None:
    """Delete earlier identities and what killed enrolments left; pending keys are `enroll.py`'s."""
    for other in os.listdir(paths.identities):
        path = os.path.join(paths.identities, other)
        if os.path.isdir(path) and not os.path.islink(path) and other != name:
            shutil.rmtree(path)
        elif other.endswith(".link"):
            os.unlink(path)
