"""The listeners' TLS, and the connections on them.

The device listener lets nobody in who does not present a client SVID of this very fleet manager: the
handshake demands a certificate of the trust domain, and a connection whose leaf is another shape of
identity is closed before a byte of it is read (spec: API-5, ID-11, SVID-12). What was proven travels to
the application as the ASGI TLS extension. The Git listener asks for the same certificate and does without it,
as its callers may show a secret instead.

Connections end by themselves: idle ones, ones whose request head does not arrive, ones that grew old, and
ones whose certificate has expired meanwhile (spec: TLS-11, ID-14). There are no session tickets (spec:
TLS-12).
"""

import logging
import ssl
import time
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import EdgewrightError, IdentityError
from edgewright.protocol.spiffe import parse_client
from edgewright.protocol.svid import Leaf, check_leaf
from edgewright.server.identity.files import Identity
from edgewright.server.problems import raw_problem

log = logging.getLogger(__name__)

HEAD_SECONDS = 15.0
IDLE_SECONDS = 600
MAX_AGE_SECONDS = 6 * 3600.0
MAX_HEAD_BYTES = 32 * 1024
_TOO_LONG = "the request line and headers are longer than 32 KiB"
# A peer that does not answer the end of TLS must not hold up the end of the server.
FAREWELL_SECONDS = 0.5
# How long what is left of a refused body may take to arrive, so that its sender reads the answer first.
LINGER_SECONDS = 20.0
REFUSALS_EVERY_SECONDS = 3600.0
_MOST_REFUSALS = 1000

CheckPeer = Callable[[bytes], tuple[str, Leaf]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom the TLS layer proved at the other end (spec: API-6); `key_digest` is of the public key."""

    client_id: str
    key_digest: str


class Line:
    """Tells a request that waits on a connection when it must not wait any longer.

    That is when the connection is lost or is to end, or when the caller has sent its next request.
    """

    __slots__ = ("_interrupt", "is_ending", "is_lost", "is_wanted")

    def __init__(self) -> None:
        self.is_lost = False
        self.is_ending = False
        self.is_wanted = False
        self._interrupt: Callable[[], None] | None = None

    @property
    def may_wait(self) -> bool:
        """Whether nothing speaks against waiting now."""
        return not (self.is_lost or self.is_ending or self.is_wanted)

    @contextmanager
    def waiting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Have `interrupt` called, once or more often, if the wait has to end while the block runs."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None

    def interrupt(self) -> bool:
        """End the wait; return whether there was one."""
        if self._interrupt is None:
            return False
        self._interrupt()
        return True


def device_context(identity: Identity) -> ssl.SSLContext:
    """Present the fleet manager's SVID and demand one in return, TLS 1.3 only (spec: TLS-1, TLS-3, TLS-4).

    Every anchor counts by itself, also one that another authority signed.
    """
    context = _server_context(str(identity.wfm_certificate), str(identity.wfm_key))
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=identity.anchors_pem)
    return context


def git_context(identity: Identity) -> ssl.SSLContext:
    """Present the web certificate and ask for a client SVID, which may be missing but not wrong."""
    context = _server_context(str(identity.web_certificate), str(identity.web_key))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=identity.anchors_pem)
    return context


def web_context(identity: Identity) -> ssl.SSLContext:
    """Present the web certificate; nothing is asked of who connects."""
    return _server_context(str(identity.web_certificate), str(identity.web_key))


def check_client(der: bytes, *, trust_domain: str, wfm: str) -> tuple[str, Leaf]:
    """Return the client id and the facts of a leaf that is a client SVID of fleet manager `wfm`.

    Raises `IdentityError` for every other shape, in the order of the specification (spec: SVID-12, ID-11).
    """
    spiffe_id, leaf = check_leaf(der, trust_domain=trust_domain)
    named_wfm, client = parse_client(spiffe_id)
    if named_wfm != wfm:
        raise IdentityError(f"{spiffe_id}: a client of another fleet manager than '{wfm}'")
    return client, leaf


class Connection(HttpToolsProtocol):
    """An HTTP/1.1 connection with bounds on time and size; what is no request gets a problem body."""

    _head_timer: TimerHandle | None = None
    _age_timer: TimerHandle | None = None
    _in_head = True
    # Of what is neither kept as a body nor a whole head: an unfinished head, frames of chunks, trailers.
    _head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.line = Line()
        self._watch_head()
        self._age_timer = self.loop.call_later(self.lifetime(), self.shutdown)

    def lifetime(self) -> float:
        """Return how many seconds this connection may stay in use from now."""
        return MAX_AGE_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._age_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self.line.is_lost = True
        self.line.interrupt()

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, _TOO_LONG)
        if self._in_head:
            self._watch_head()

    def shutdown(self) -> None:
        super().shutdown()
        self.line.is_ending = True
        if self.line.interrupt() or self.transport.is_closing():
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the body come trailers, which would count as headers otherwise: who asks, and in which way.
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        # One that came in a piece is as long as one that comes in drops.
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse(431, _TOO_LONG)
            raise ValueError(_TOO_LONG)  # the parser ends at that
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        if self.pipeline:
            self.line.is_wanted = True
            self.line.interrupt()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.line.is_wanted = bool(self.pipeline)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's name
        self._refuse(400, "not an HTTP/1.1 request")

    def _watch_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_overdue)

    def _head_overdue(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(raw_problem(status, detail))
            self.transport.close()


class Refusals:
    """Says in the log who was not let in, about the same peer and reason once an hour at most."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, host: str, reason: str, *, now: float) -> None:
        """Log that `host` was refused; `now` is any clock in seconds that only goes forward."""
        key = (host, reason)
        if now - self._told.get(key, -REFUSALS_EVERY_SECONDS) < REFUSALS_EVERY_SECONDS:
            return
        if len(self._told) >= _MOST_REFUSALS:
            self._told.clear()
        self._told[key] = now
        log.warning("refused a connection from %s: %s", host, reason)


def device_connection(check_peer: CheckPeer) -> type[Connection]:
    """Return the connection class of the device listener, which admits whom `check_peer` accepts."""
    refusals = Refusals()

    class DeviceConnection(Connection):
        _leaf: Leaf

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            try:
                client, self._leaf = check_peer(der)
            except EdgewrightError as error:
                refusals.tell(_host(transport), str(error), now=self.loop.time())
                self.transport = transport
                self.parser = None  # type: ignore[assignment]
                transport.abort()
                return
            super().connection_made(transport)
            caller = Caller(client, digest_of(self._leaf.public_key_info))
            self.app = _identified(self.app, {"caller": caller, "line": self.line})

        def connection_lost(self, exc: Exception | None) -> None:
            if self.parser is not None:
                super().connection_lost(exc)

        def lifetime(self) -> float:
            return max(0.0, min(MAX_AGE_SECONDS, self._leaf.not_after - time.time()))

    return DeviceConnection


def git_connection(check_peer: CheckPeer, *, most: int) -> type[Connection]:
    """Return the connection class of the Git listener: who presents a certificate has to be whom `check_peer`
    accepts, and there are `most` connections at once.

    A caller with another certificate is told so in words, as people with Git's own program are among them.
    """
    refusals = Refusals()

    class GitConnection(Connection):
        _leaf: Leaf | None = None
        _linger: TimerHandle | None = None
        _in_body = False

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            caller: Caller | None = None
            refusal: str | None = None
            if der is not None:
                try:
                    client, self._leaf = check_peer(der)
                    caller = Caller(client, digest_of(self._leaf.public_key_info))
                except EdgewrightError as error:
                    refusal = str(error)
                    refusals.tell(_host(transport), refusal, now=self.loop.time())
            super().connection_made(transport)
            found = {"caller": caller, "refusal": refusal, "line": self.line, "drop": transport.abort}
            self.app = _identified(self.app, found)
            if len(self.connections) > most:
                self._refuse(503, "too many connections are open; try again later")

        def lifetime(self) -> float:
            if self._leaf is None:
                return MAX_AGE_SECONDS
            return max(0.0, min(MAX_AGE_SECONDS, self._leaf.not_after - time.time()))

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_lingering()
            super().connection_lost(exc)

        def on_headers_complete(self) -> None:
            self._in_body = True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_body = False
            self._stop_lingering()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # An answer that comes before the end of its request's body: the rest is thrown away, for a while.
            if self._in_body and not self.pipeline and not self.transport.is_closing():
                self._stop_lingering()
                self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

        def _stop_lingering(self) -> None:
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None

    return GitConnection


def caller_of(scope: Any) -> Caller:
    """Return who makes the request of this ASGI scope."""
    caller: Caller = scope["extensions"]["tls"]["caller"]
    return caller


def presented(scope: Any) -> Caller | None:
    """Return who makes the request by the certificate presented, None where none was.

    Raises `IdentityError` where it is none that a client of this fleet manager has.
    """
    found = scope["extensions"]["tls"]
    if found["refusal"] is not None:
        raise IdentityError(found["refusal"])
    caller: Caller | None = found["caller"]
    return caller


def line_of(scope: Any) -> Line:
    """Return the line on which the request of this ASGI scope came in."""
    line: Line = scope["extensions"]["tls"]["line"]
    return line


def spiffe_peer(trust_domain: str, wfm: str) -> CheckPeer:
    """Return a `check_client` for one fleet manager."""

    def check(der: bytes) -> tuple[str, Leaf]:
        return check_client(der, trust_domain=trust_domain, wfm=wfm)

    return check


def _identified(app: Any, found: Mapping[str, Any]) -> Any:
    """Wrap `app` so that every request of one connection carries what is known of it.

    That is who is at its other end (`caller`), and the `line`; on the Git listener also why a certificate
    was refused (`refusal`), and what ends the connection at once (`drop`).
    """

    async def call(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = found
        await app(scope, receive, send)

    return call


def _host(transport: Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else "an unknown address"


def _server_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context
