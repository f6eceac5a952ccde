"""The TLS session to the fleet manager, made from the identity files, which may change at any time.

Before a byte is sent the server's SVID has to be the one identity our own names (spec: ID-12); its DNS name
counts for nothing (spec: TLS-9, ID-13). A connection lives an hour at most and never longer than either SVID
(spec: TLS-11, ID-15); replaced identity files mean a new connection (spec: TLS-13, LC-10). An answer that is
held back comes over a second connection, so that everything else can be said meanwhile.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
import os
import ssl
import time
from collections.abc import Iterable

from edgewright.agent.clock import SYSTEM
from edgewright.agent.paths import Paths
from edgewright.agent.state.store import Store
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import Manners
from edgewright.net.http import Client, Response
from edgewright.net.tls import mutual_context
from edgewright.protocol import spiffe, svid
from edgewright.protocol.errors import EdgewrightError, IdentityError

MAX_CONNECTION_SECONDS = 3600.0

CERTIFICATE, KEY, ANCHORS, SERVER = "svid.pem", "key.pem", "anchors.pem", "server.json"
GIT_ACCESS = "git.json"
API, GIT = "api", "git"
"""The transports: the fleet manager's device API, or a Git repository."""
_END = "-----END CERTIFICATE-----"


class NotEnrolledError(EdgewrightError):
    """There is no identity in the state directory yet."""

    code = "identity.missing"


class NoSvidError(IdentityError):
    """This device has a Git repository and no SVID: there is no fleet manager whose API it could ask."""

    code = "identity.no-svid"


class Identity:
    """Who this client is and whom it talks to, as its files say.

    `transport` is how it does that now: API or GIT. With an SVID there are `client` and `server`, `url` is
    the device API's, and `not_before`, `not_after` (unix seconds) are the SVID's. A device that has a Git
    repository alone has no SVID: `server` is None then, `url` empty, both times 0, and `client` None unless
    it was told by which name its fleet manager knows it.

    `relation` names whose desired state this device has, whichever transport brings it: the same for both
    where a client id is known, so that moving between them changes nothing.
    """

    __slots__ = (
        "anchors",
        "client",
        "device_id",
        "directory",
        "not_after",
        "not_before",
        "relation",
        "server",
        "transport",
        "url",
    )

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.anchors = ""
        self.client: spiffe.SpiffeId | None = None
        self.server: spiffe.SpiffeId | None = None
        self.not_before = self.not_after = 0
        try:
            settings = json.loads(_read(self.file(SERVER)))
            self.url = str(settings.get("url", ""))
            self.device_id = str(settings["device_id"])
            self.transport = str(settings.get("transport", API))
            if self.transport not in (API, GIT):
                raise ValueError(f"{SERVER}: transport {self.transport!r}")
            repository = self._repository()
            if self.transport == API or os.path.exists(self.file(CERTIFICATE)):
                self.anchors = _read(self.file(ANCHORS))
                self._read_svid(_read(self.file(CERTIFICATE)))
            elif settings.get("client"):
                self.client = spiffe.SpiffeId.parse(str(settings["client"]))
        except FileNotFoundError as error:
            raise NotEnrolledError(
                f"{directory}: this device is not enrolled; run 'edgewright agent enroll'"
            ) from error
        except OSError as error:
            raise IdentityError(f"{error.filename}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IdentityError(f"{directory}: damaged ({error}); enroll again with --replace") from error
        self.relation = f"git:{repository}" if self.client is None else str(self.client)

    def file(self, name: str) -> str:
        """Return the path of the identity's file `name`."""
        return os.path.join(self.directory, name)

    def _repository(self) -> str:
        """Return the address of the Git repository, empty where the device has none."""
        try:
            return str(json.loads(_read(self.file(GIT_ACCESS)))["url"])
        except FileNotFoundError:
            if self.transport == GIT:
                raise ValueError(f"{GIT_ACCESS} is missing") from None
            return ""

    def _read_svid(self, pem: str) -> None:
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(pem, self.file(CERTIFICATE)))
        try:
            leaf = svid.read_leaf(der)
            self.client = spiffe.SpiffeId.parse("".join(leaf.uris))
            self.server = spiffe.expected_wfm(self.client)
        except IdentityError as error:
            raise IdentityError(f"{self.file(CERTIFICATE)}: {error}") from error
        self.not_before, self.not_after = leaf.not_before, leaf.not_after


class _Line:
    """One connection to the fleet manager: `opened` (monotonic) and good until (unix seconds)."""

    __slots__ = ("client", "good_until", "opened")

    def __init__(self, identity: Identity, context: ssl.SSLContext) -> None:
        self.opened = 0.0
        self.good_until = 0.0

        def check_peer(peer: ssl.SSLSocket) -> None:
            not_after = _check_server(identity, peer)
            self.opened = time.monotonic()
            self.good_until = min(not_after, max(identity.not_after, time.time()))

        self.client = Client(identity.url, context=context, check_peer=check_peer)

    def renew(self, max_age: float, seconds: float = 0.0) -> None:
        """Let the next request open another connection unless this one is good for `seconds` more."""
        if time.monotonic() + seconds - self.opened > max_age or time.time() + seconds > self.good_until:
            self.client.close()


class Session:
    """Requests to the fleet manager of the identity in use; reads the identity when first asked to.

    Raises what `net.http.Client` raises, `IdentityError` when the server is not the one it has to be,
    `NotEnrolledError`, and `QuietError` when `manners` say that it wants to be left alone.
    """

    def __init__(
        self, paths: Paths, *, manners: Manners | None = None, max_age: float = MAX_CONNECTION_SECONDS
    ) -> None:
        self._directory = paths.identity
        self._manners = manners
        self._max_age = max_age
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._identity: Identity | None = None
        self._context: ssl.SSLContext | None = None
        self._talk: _Line | None = None
        self._held: _Line | None = None
        self._waiting = False

    @classmethod
    def polite(cls, paths: Paths, store: Store) -> "Session":
        """Return one that keeps what the fleet manager and the site ask for, whichever process was told."""
        return cls(paths, manners=Manners(store, SYSTEM, Hours(store, SYSTEM)))

    @property
    def identity(self) -> Identity:
        """The identity in use now; its files are looked at each time."""
        stamp = self._look()
        if self._identity is None or stamp != self._stamp:
            self.close()
            self._talk = self._held = self._context = None
            self._identity = Identity(self._directory)
            self._stamp = stamp
        return self._identity

    def request(
        self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Response:
        """Send one request over a connection that is young enough and whose SVIDs are still good."""
        identity = self.identity
        self._mind()
        if self._talk is None:
            self._talk = _Line(identity, self._tls(identity))
        self._talk.renew(self._max_age)
        return self._heard(self._talk.client.request(method, path, headers=headers, body=body))

    def hold(self, path: str, *, headers: Iterable[tuple[str, str]], seconds: float) -> None:
        """GET `path`, whose answer the fleet manager may hold back for `seconds`: see `answer`."""
        identity = self.identity
        self._mind()
        if self._held is None:
            self._held = _Line(identity, self._tls(identity))
        self._held.renew(self._max_age, seconds)
        self._held.client.begin("GET", path, headers=headers)
        self._waiting = True

    @property
    def held(self) -> int:
        """What becomes readable when an answer that is held back arrives; -1 while none is waited for."""
        return self._held.client.fileno() if self._waiting and self._held is not None else -1

    def answer(self) -> Response | None:
        """Return the answer that was held back, None while it is; once it has begun it comes whole."""
        assert self._held is not None  # noqa: S101 - `hold` came before
        try:
            if not self._held.client.arrived():
                return None
            self._waiting = False
            return self._heard(self._held.client.finish("GET"))
        except EdgewrightError:
            self._waiting = False
            raise

    def let_go(self) -> None:
        """Do not wait any longer for what is held back, nor keep a connection for it."""
        self._waiting = False
        if self._held is not None:
            self._held.client.close()

    def close(self) -> None:
        """Close the connections; the next request opens another."""
        self.let_go()
        if self._talk is not None:
            self._talk.client.close()

    def _tls(self, identity: Identity) -> ssl.SSLContext:
        if self._context is None:
            if identity.server is None:
                raise NoSvidError(
                    f"{identity.directory}: this device has a Git repository and no identity for an API; "
                    "'edgewright agent enroll TOKEN --replace' makes one"
                )
            self._context = mutual_context(identity.file(CERTIFICATE), identity.file(KEY), identity.anchors)
        return self._context

    def _mind(self) -> None:
        if self._manners is not None:
            self._manners.before()

    def _heard(self, response: Response) -> Response:
        if self._manners is not None:
            self._manners.heard(response)
        return response

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """Return what tells whether an identity file was replaced; empty where there is none."""
        stamps = []
        for name in (CERTIFICATE, KEY, ANCHORS, SERVER, GIT_ACCESS):
            try:
                found = os.stat(os.path.join(self._directory, name))
            except OSError:
                continue  # a device has the files of its transports, and none before it is enrolled
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(stamps)


def _check_server(identity: Identity, peer: ssl.SSLSocket) -> float:
    """Return until when (unix seconds) the server's SVID is good; raise IdentityError for another server."""
    der = peer.getpeercert(binary_form=True)
    if der is None:
        raise IdentityError("the server showed no certificate")
    assert identity.client is not None  # noqa: S101 - `_tls` has looked
    found, leaf = svid.check_leaf(der, trust_domain=identity.client.trust_domain)
    if found != identity.server:
        raise IdentityError(f"the server is {found}, expected {identity.server} (spec: ID-12)")
    return leaf.not_after


def _first_certificate(pem: str, path: str) -> str:
    head, end, _ = pem.partition(_END)
    if not end:
        raise IdentityError(f"{path}: expected a PEM certificate")
    return head[max(head.find("-----BEGIN CERTIFICATE-----"), 0) :] + end


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read(1 << 20)
