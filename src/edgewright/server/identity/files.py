"""The `identity/` folder: made once by `server init`, read at every start, renewed before it expires.

ca.key, ca.pem the authority that signs devices and this server wfm.key, wfm.pem this server towards
devices: its X.509-SVID web-ca.key, web-ca.pem the authority of the web listener's certificate web.key,
web.pem the web listener; the key stays over renewals, as tokens pin it anchors/*.pem authorities of others
whose SVIDs are accepted as well bundle.json sequence number of the trust bundle and the digest of its
anchors
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import wfm_id
from edgewright.server.errors import SetupError
from edgewright.server.identity import authority as ca
from edgewright.server.settings import ServerSettings, write_private


class BundleState(msgspec.Struct, frozen=True):
    """Which sequence number the trust bundle has for which set of anchors (spec: TB-9)."""

    sequence: int
    anchors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All of the server's keys and certificates, as read at start."""

    folder: Path
    wfm: str
    authority: ca.Authority
    web_authority: ca.Authority
    web_pin: str
    anchors: tuple[bytes, ...]
    sequence: int

    @property
    def anchors_pem(self) -> str:
        """The certificates that clients may chain to, in PEM form."""
        return "".join(ca.certificate_pem(x509.load_der_x509_certificate(anchor)) for anchor in self.anchors)

    @property
    def wfm_certificate(self) -> Path:
        return self.folder / "wfm.pem"

    @property
    def wfm_key(self) -> Path:
        return self.folder / "wfm.key"

    @property
    def web_certificate(self) -> Path:
        return self.folder / "web.pem"

    @property
    def web_key(self) -> Path:
        return self.folder / "web.key"


def create_identity(folder: Path, settings: ServerSettings, *, now: datetime) -> None:
    """Make both authorities and both certificates in `folder`, which must not exist yet."""
    folder.mkdir(mode=0o700)
    (folder / "anchors").mkdir(mode=0o700)
    workload = ca.make_authority("Devices", now=now, trust_domain=settings.trust_domain)
    web = ca.make_authority("Web", now=now)
    for name, authority in (("ca", workload), ("web-ca", web)):
        write_private(folder / f"{name}.key", ca.key_pem(authority.key).encode())
        write_private(folder / f"{name}.pem", ca.certificate_pem(authority.certificate).encode())
    for name in ("wfm", "web"):
        write_private(folder / f"{name}.key", ca.key_pem(ca.new_key()).encode())
    _issue_wfm(folder, workload, settings, now)
    _issue_web(folder, web, settings, now)


def load_identity(folder: Path, settings: ServerSettings, *, now: datetime) -> Identity:
    """Read the folder; raise the bundle's sequence number if the anchors are others than before.

    Raises `SetupError` if a file is missing or damaged.
    """
    try:
        workload = _load_authority(folder, "ca")
        web = _load_authority(folder, "web-ca")
        web_key = ca.load_key((folder / "web.key").read_bytes(), source=str(folder / "web.key"))
        renew(folder, workload, web, settings, now=now)
        anchors = (workload.certificate.public_bytes(Encoding.DER), *_foreign_anchors(folder))
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}; put the file back from a backup") from error
    except IdentityError as error:
        raise SetupError(f"{error}; put the file back from a backup") from error
    return Identity(
        folder=folder,
        wfm=str(wfm_id(settings.trust_domain, settings.wfm_id)),
        authority=workload,
        web_authority=web,
        web_pin=ca.pin_of(web_key.public_key()),
        anchors=anchors,
        sequence=_sequence(folder, anchors),
    )


def renew(
    folder: Path, workload: ca.Authority, web: ca.Authority, settings: ServerSettings, *, now: datetime
) -> bool:
    """Issue again what is due, or names other identities or hosts than the settings; return whether any was.

    The keys stay: what pins them or knows them keeps working.
    """
    wfm = _leaf(folder, "wfm")
    wanted = str(wfm_id(settings.trust_domain, settings.wfm_id))
    wfm_due = ca.is_renewal_due(wfm, now) or _names(wfm) != {wanted}
    if wfm_due:
        _issue_wfm(folder, workload, settings, now)
    leaf = _leaf(folder, "web")
    web_due = ca.is_renewal_due(leaf, now) or _names(leaf) != set(_web_hosts(settings))
    if web_due:
        _issue_web(folder, web, settings, now)
    return wfm_due or web_due


def _issue_wfm(folder: Path, workload: ca.Authority, settings: ServerSettings, now: datetime) -> None:
    key = ca.load_key((folder / "wfm.key").read_bytes(), source=str(folder / "wfm.key"))
    spiffe_id = str(wfm_id(settings.trust_domain, settings.wfm_id))
    leaf = ca.issue_svid(workload, key.public_key(), spiffe_id, now=now, lifetime=ca.SERVER_LIFETIME)
    write_private(folder / "wfm.pem", ca.certificate_pem(leaf).encode())


def _issue_web(folder: Path, web: ca.Authority, settings: ServerSettings, now: datetime) -> None:
    key = ca.load_key((folder / "web.key").read_bytes(), source=str(folder / "web.key"))
    leaf = ca.issue_web_certificate(web, key.public_key(), _web_hosts(settings), now=now)
    # The authority goes along, so that a client holding its pin can follow the chain (spec: TLS-14).
    chain = ca.certificate_pem(leaf) + ca.certificate_pem(web.certificate)
    write_private(folder / "web.pem", chain.encode())


def _web_hosts(settings: ServerSettings) -> tuple[str, ...]:
    """The hosts of the settings and this machine's own loopback names, each once."""
    return tuple(dict.fromkeys((*settings.hosts, "localhost", "127.0.0.1", "::1")))


def _names(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def _leaf(folder: Path, name: str) -> x509.Certificate:
    path = folder / f"{name}.pem"
    return ca.load_certificates(path.read_bytes(), source=str(path))[0]


def _load_authority(folder: Path, name: str) -> ca.Authority:
    path = folder / f"{name}.key"
    return ca.Authority(certificate=_leaf(folder, name), key=ca.load_key(path.read_bytes(), source=str(path)))


def _foreign_anchors(folder: Path) -> Iterator[bytes]:
    for path in sorted((folder / "anchors").glob("*.pem")):
        for certificate in ca.load_certificates(path.read_bytes(), source=str(path)):
            try:
                constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
            except x509.ExtensionNotFound:
                constraints = x509.BasicConstraints(ca=False, path_length=None)
            if not constraints.ca:
                raise IdentityError(f"{path}: expected the certificate of an authority, found a leaf")
            yield certificate.public_bytes(Encoding.DER)


def _sequence(folder: Path, anchors: tuple[bytes, ...]) -> int:
    path = folder / "bundle.json"
    digest = sha256(b"".join(sorted(anchors))).hexdigest()
    try:
        known = msgspec.json.decode(path.read_bytes(), type=BundleState)
    except FileNotFoundError:
        known = BundleState(0, "")
    except msgspec.DecodeError as error:
        raise SetupError(f"{path}: {error}; put the file back from a backup") from error
    if known.anchors == digest:
        return known.sequence
    state = BundleState(known.sequence + 1, digest)
    write_private(path, msgspec.json.encode(state))
    return state.sequence
