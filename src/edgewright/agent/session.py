"""The TLS session to the fleet manager, made from the identity files, which may change at any time.

Before a byte is sent the server's SVID has to be the one identity our own names (spec: ID-12); its DNS name
counts for nothing (spec: TLS-9, ID-13). A connection lives an hour at most and never longer than either SVID
(spec: TLS-11, ID-15); replaced identity files mean a new connection (spec: TLS-13, LC-10).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
import os
import ssl
import time
from collections.abc import Iterable

from edgewright.agent.paths import Paths
from edgewright.net.http import Client, Response
from edgewright.net.tls import mutual_context
from edgewright.protocol import spiffe, svid
from edgewright.protocol.errors import EdgewrightError, IdentityError

MAX_CONNECTION_SECONDS = 3600.0

CERTIFICATE, KEY, ANCHORS, SERVER = "svid.pem", "key.pem", "anchors.pem", "server.json"
_END = "-----END CERTIFICATE-----"


class NotEnrolledError(EdgewrightError):
    """There is no identity in the state directory yet."""

    code = "identity.missing"


class Identity:
    """Who this client is and whom it talks to, as its files say; `not_after` is unix seconds."""

    __slots__ = ("anchors", "client", "device_id", "directory", "not_after", "server", "url")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        try:
            der = ssl.PEM_cert_to_DER_cert(_first_certificate(self.file(CERTIFICATE)))
            self.anchors = _read(self.file(ANCHORS))
            settings = json.loads(_read(self.file(SERVER)))
            self.url = str(settings["url"])
            self.device_id = str(settings["device_id"])
        except FileNotFoundError as error:
            raise NotEnrolledError(
                f"{directory}: this device is not enrolled; run 'edgewright agent enroll'"
            ) from error
        except OSError as error:
            raise IdentityError(f"{error.filename}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise IdentityError(f"{directory}: damaged ({error}); enroll again with --replace") from error
        try:
            leaf = svid.read_leaf(der)
            self.client = spiffe.SpiffeId.parse("".join(leaf.uris))
            self.server = spiffe.expected_wfm(self.client)
        except IdentityError as error:
            raise IdentityError(f"{self.file(CERTIFICATE)}: {error}") from error
        self.not_after = leaf.not_after

    def file(self, name: str) -> str:
        """Return the path of the identity's file `name`."""
        return os.path.join(self.directory, name)


class Session:
    """Requests to the fleet manager of the identity in use; reads the identity when first asked to.

    Raises what `net.http.Client` raises, `IdentityError` when the server is not the one it has to be,
    and `NotEnrolledError`.
    """

    def __init__(self, paths: Paths, *, max_age: float = MAX_CONNECTION_SECONDS) -> None:
        self._directory = paths.identity
        self._max_age = max_age
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._identity: Identity | None = None
        self._client: Client | None = None
        self._opened = 0.0
        self._good_until = 0.0

    @property
    def identity(self) -> Identity:
        """The identity in use now; its files are looked at each time."""
        stamp = self._look()
        if self._identity is None or stamp != self._stamp:
            self.close()
            self._client = None
            self._identity = Identity(self._directory)
            self._stamp = stamp
        return self._identity

    def request(
        self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Response:
        """Send one request over a connection that is young enough and whose SVIDs are still good."""
        identity = self.identity
        if self._client is None:
            context = mutual_context(identity.file(CERTIFICATE), identity.file(KEY), identity.anchors)
            self._client = Client(identity.url, context=context, check_peer=self._check_peer)
        if time.monotonic() - self._opened > self._max_age or time.time() > self._good_until:
            self._client.close()
        return self._client.request(method, path, headers=headers, body=body)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._client is not None:
            self._client.close()

    def _check_peer(self, peer: ssl.SSLSocket) -> None:
        identity = self._identity
        der = peer.getpeercert(binary_form=True)
        if identity is None or der is None:
            raise IdentityError("the server showed no certificate")
        found, leaf = svid.check_leaf(der, trust_domain=identity.client.trust_domain)
        if found != identity.server:
            raise IdentityError(f"the server is {found}, expected {identity.server} (spec: ID-12)")
        self._opened = time.monotonic()
        self._good_until = min(leaf.not_after, max(identity.not_after, time.time()))

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """Return what tells whether an identity file was replaced; empty where there is none."""
        stamps = []
        for name in (CERTIFICATE, KEY, ANCHORS, SERVER):
            try:
                found = os.stat(os.path.join(self._directory, name))
            except OSError:
                return ()
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(stamps)


def _first_certificate(path: str) -> str:
    head, end, _ = _read(path).partition(_END)
    if not end:
        raise IdentityError(f"{path}: expected a PEM certificate")
    return head[max(head.find("-----BEGIN CERTIFICATE-----"), 0) :] + end


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read(1 << 20)
