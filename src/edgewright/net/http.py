"""An HTTP/1.1 client with one kept-alive connection: `https://`, `http://` and `unix://` alike.

Every wait has an end: a request has one deadline from the connection to the last byte of the answer (a
download: a longest silence, and a deadline where one is given). Only looking up a name is left to the system.
An answer that may be held back for long is waited for elsewhere: `begin` sends the request, `arrived` tells
without waiting whether the answer has begun, and only then `finish` reads it.
A proxy is used where one is named, by CONNECT, so that nobody but the other side reads what is said.
No redirects, no session resumption (it leaks in CPython, and TLS-12 bounds it). Not for several threads at
once.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import re
import select
import socket
import ssl
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from time import monotonic

from edgewright.net.wire import (
    READ_BYTES,
    Head,
    Reader,
    TooLargeError,
    WireError,
    bounded,
    decoded,
    render_connect,
    render_head,
)
from edgewright.protocol.errors import EdgewrightError

DEFAULT_TIMEOUT = 15.0
DEFAULT_MAX_BODY = 16 * 1024 * 1024

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_PORTS = {"https": 443, "http": 80}
# By hand, as urllib.parse brings half a megabyte into the watch.
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#\s]*)?"
)
# With its port: programs differ in which one they take where none is named.
_PROXY = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+):[0-9]{1,5}/?")


class HttpError(EdgewrightError):
    """No answer was had; the message names the other side (`origin`) and what went wrong (`reason`)."""

    code = "http.unreachable"
    retryable = True

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin = origin
        self.reason = reason


class CertificateError(HttpError):
    """The TLS handshake was refused, by us or by the other side."""

    code = "http.certificate-refused"


class NoTlsError(HttpError):
    """There is no TLS to be had on this port, or none that both sides can speak."""

    code = "http.no-tls"


class BadAnswerError(HttpError):
    """The other side answered with something that is not the HTTP answer it has to be."""

    code = "http.bad-answer"


class AnswerTooLargeError(HttpError):
    """The answer is larger than the caller is willing to hold."""

    code = "http.answer-too-large"
    retryable = False


class ProxyError(HttpError):
    """The way through the proxy is barred; `origin` is the proxy, `answer` its answer if there was one."""

    code = "http.proxy"

    def __init__(self, origin: str, reason: str, answer: "Response | None" = None) -> None:
        super().__init__(origin, reason)
        self.answer = answer


class UrlError(EdgewrightError):
    """A configured address is not one this client can use."""

    code = "http.bad-url"


class Response:
    """An answer: `headers` maps lower-case name to value, `body` is decoded (empty after a download)."""

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason} with {len(self.body)} bytes>"

    @property
    def media_type(self) -> str:
        """The media type of the body without its parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Origin:
    """Where a base URL points: `scheme`, `host`, `port` (or `path` of a unix socket), `prefix` of paths."""

    __slots__ = ("host", "name", "path", "port", "prefix", "scheme")

    def __init__(self, base_url: str) -> None:
        self.path = ""
        self.prefix = ""
        self.scheme, _, rest = base_url.partition("://")
        if self.scheme == "unix":
            if not rest.startswith("/"):
                raise UrlError(f"{base_url!r}: expected unix:// and the absolute path of a socket")
            self.path, self.name, self.host, self.port = rest, rest, "localhost", 0
            return
        if self.scheme not in _PORTS:
            raise UrlError(f"{base_url!r}: expected an address that starts with https://, http:// or unix://")
        self._parse_authority(base_url)

    def _parse_authority(self, base_url: str) -> None:
        match = _AUTHORITY.fullmatch(base_url.partition("://")[2])
        port = int(match["port"]) if match and match["port"] else _PORTS[self.scheme]
        if match is None or port > 65535:
            raise UrlError(f"{base_url!r}: expected {self.scheme}://host[:port][/path] and nothing else")
        self.host = match["host"].strip("[]")
        self.port = port
        self.prefix = (match["path"] or "").rstrip("/")
        self.name = f"{match['host']}:{port}"

    @property
    def header(self) -> str:
        """The value of the Host header."""
        if not self.port:
            return self.host
        default = self.port == _PORTS.get(self.scheme)
        return self.name.rsplit(":", 1)[0] if default else self.name


class Client:
    """Sends requests to one place, one after the other, over one connection, kept if the server lets it.

    `check_peer` sees the TLS socket after every handshake, before a single byte of a request is sent, and
    raises to refuse; `connections` counts the connections made so far. Every failure is an `HttpError`, or
    what `check_peer` raised. A request is sent again only if a kept connection ended before any answer, and
    it was not sent whole or may be repeated. `proxy` is `http://host:port`, empty for none;
    `proxy_authorization` returns what is shown to it, and is asked for each connection.
    """

    def __init__(
        self,
        base_url: str,
        *,
        context: ssl.SSLContext | None = None,
        check_peer: Callable[[ssl.SSLSocket], None] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        max_body: int = DEFAULT_MAX_BODY,
        proxy: str = "",
        proxy_authorization: Callable[[], str] | None = None,
    ) -> None:
        self.origin = Origin(base_url)
        self._proxy = _Proxy(proxy, proxy_authorization) if proxy else None
        self.connections = 0
        self._context = context
        self._check_peer = check_peer
        self._timeout = timeout
        self._max_body = max_body
        self._connection: _Connection | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout: float | None = None,
        repeatable: bool = False,
    ) -> Response:
        """Send one request, return the whole answer whatever its status; `timeout` (seconds) bounds it.

        `repeatable`: it changes nothing on the other side, whatever its method says.
        """
        limit = self._timeout if timeout is None else timeout
        clock = _Clock(limit, limit)
        message = self._render(method, path, [*headers, ("accept-encoding", "gzip")], body)
        head, connection = self._exchange(method, message, clock, repeatable=repeatable)
        pieces: list[bytes] = []
        self._receive_body(connection, head, pieces.append, self._max_body)
        return Response(head.status, head.reason, head.headers, b"".join(pieces))

    def download(
        self,
        path: str,
        sink: Callable[[bytes], object],
        *,
        headers: Iterable[tuple[str, str]] = (),
        started: Callable[[Response], None] | None = None,
        timeout: float | None = None,
        max_body: int | None = None,
    ) -> Response:
        """GET `path` and hand the body of a 200 or 206 to `sink` piece by piece as it arrives.

        `started` sees the answer before its first byte and may raise. An answer of any other status is
        returned with its body, and `sink` sees nothing. `timeout` (seconds) bounds the whole; without one
        only silence is bounded. What `sink` and `started` raise passes through.
        """
        clock = _Clock(self._timeout, timeout)
        head, connection = self._exchange("GET", self._render("GET", path, headers, None), clock)
        answer = Response(head.status, head.reason, head.headers)
        if head.status not in (200, 206):
            pieces: list[bytes] = []
            self._receive_body(connection, head, pieces.append, self._max_body)
            answer.body = b"".join(pieces)
            return answer
        if started is not None:
            try:
                started(answer)
            except BaseException:
                self.close()
                raise
        self._receive_body(connection, head, sink, max_body)
        return answer

    def begin(self, method: str, path: str, *, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a request without a body and return; `finish` is to follow, or `close`."""
        clock = _Clock(self._timeout, self._timeout)
        message = self._render(method, path, [*headers, ("accept-encoding", "gzip")], None)
        try:
            connection = self._connection
            if connection is None or not connection.idle_and_alive():
                connection = self._open(clock)
            connection.send(message, clock)
        except OSError as error:
            self.close()
            raise explain(self.origin, error, clock.limit) from error
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return what becomes readable when something arrives; -1 without a connection."""
        return -1 if self._connection is None else self._connection.fileno()

    def arrived(self) -> bool:
        """Whether the answer to what was begun is there or on its way; never waits. Raises HttpError.

        That the socket is readable is not enough: TLS talks to itself as well (session tickets, new keys).
        """
        assert self._connection is not None  # noqa: S101 - `begin` has set it
        try:
            return self._connection.arrived()
        except (OSError, WireError) as error:
            self.close()
            raise explain(self.origin, error, self._timeout) from error

    def finish(self, method: str) -> Response:
        """Return the answer to the `method` request that was begun, as `request` does."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - `begin` has set it
        clock = _Clock(self._timeout, self._timeout)
        try:
            head = connection.head(method, clock)
        except (OSError, WireError) as error:
            self.close()
            raise explain(self.origin, error, clock.limit) from error
        pieces: list[bytes] = []
        self._receive_body(connection, head, pieces.append, self._max_body)
        return Response(head.status, head.reason, head.headers, b"".join(pieces))

    def close(self) -> None:
        """Close the kept connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _render(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> bytes:
        lines = [("host", self.origin.header), *headers]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append(("content-length", str(len(body or b""))))
        return render_head(method, self.origin.prefix + path, lines) + (body or b"")

    def _exchange(
        self, method: str, message: bytes, clock: "_Clock", *, repeatable: bool = False
    ) -> "tuple[Head, _Connection]":
        """Send `message` and read the answer's head; once more where a kept connection was dead."""
        try:
            head = self._exchange_on_kept(method, message, clock, repeatable or method in _IDEMPOTENT)
            if head is None:
                head = self._exchange_on_new(method, message, clock)
        except (OSError, WireError) as error:
            self.close()
            raise explain(self.origin, error, clock.limit) from error
        except BaseException:
            self.close()
            raise
        assert self._connection is not None  # noqa: S101 - one of the two has set it
        return head, self._connection

    def _exchange_on_kept(
        self, method: str, message: bytes, clock: "_Clock", repeatable: bool
    ) -> Head | None:
        connection = self._connection
        if connection is None or not connection.idle_and_alive():
            return None
        try:
            return connection.exchange(method, message, clock)
        except _DeadConnectionError as error:
            if error.fully_sent and not repeatable:
                reason = "the connection was closed before the answer"
                raise HttpError(self.origin.name, reason) from error
            return None

    def _exchange_on_new(self, method: str, message: bytes, clock: "_Clock") -> Head:
        return self._open(clock).exchange(method, message, clock)

    def _open(self, clock: "_Clock") -> "_Connection":
        """Return a new connection, in place of the one there was."""
        self.close()
        if self.origin.scheme == "https" and self._context is None:
            raise UrlError(f"{self.origin.name}: an https:// address needs certificates to check it by")
        through = _dial(self.origin, clock) if self._proxy is None else self._proxy.dial(self.origin, clock)
        stream = _Stream(through, clock)
        connection = self._connection = _Connection(stream)
        self.connections += 1
        if self.origin.scheme == "https" and self._context is not None:
            secured = stream.secure(self.origin, self._context)
            if self._check_peer is not None:
                self._check_peer(secured)
        return connection

    def _receive_body(
        self, connection: "_Connection", head: Head, sink: Callable[[bytes], object], limit: int | None
    ) -> None:
        """Pass the decoded body to `sink`; then keep or close the connection, as the answer wants."""
        whole = False
        pieces = self._body(connection, head, limit)
        try:
            for piece in pieces:
                sink(piece)
            whole = True
        finally:
            pieces.close()
            if not whole or not head.keep_alive or connection.reader.pending:
                self.close()

    def _body(self, connection: "_Connection", head: Head, limit: int | None) -> Generator[bytes, None, None]:
        pieces: Iterable[bytes] = connection.reader.body(head)
        if head.length != 0:
            pieces = decoded(pieces, head.headers.get("content-encoding", ""))
        if limit is not None:
            pieces = bounded(pieces, limit)
        try:
            yield from pieces
        except (OSError, WireError) as error:
            raise explain(self.origin, error, connection.clock.limit) from error


class _Clock:
    """How long an exchange may take: `silence` seconds without a byte, `whole` seconds in all."""

    __slots__ = ("_deadline", "_silence", "limit")

    def __init__(self, silence: float, whole: float | None) -> None:
        self.limit = silence if whole is None else whole
        self._silence = silence
        self._deadline = None if whole is None else monotonic() + whole

    def remaining(self) -> float:
        if self._deadline is None:
            return self._silence
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return min(left, self._silence)


class _DeadConnectionError(Exception):
    """A kept connection ended before any answer; `fully_sent`: the request may have been acted on."""

    def __init__(self, fully_sent: bool) -> None:
        self.fully_sent = fully_sent


class _Stream:
    """A connected socket with a clock; raises OSError as it comes."""

    __slots__ = ("_socket", "clock")

    def __init__(self, connected: socket.socket, clock: _Clock) -> None:
        self._socket = connected
        self.clock = clock

    def secure(self, origin: Origin, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Do the TLS handshake; returns the socket, so that the peer can be looked at."""
        self._socket.settimeout(self.clock.remaining())
        # As bytes: a str goes through the idna codec, whose tables the watch would carry for ever.
        secured = context.wrap_socket(
            self._socket,
            server_hostname=origin.host.encode("ascii"),
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._socket = secured
        secured.do_handshake()
        return secured

    def receive(self, limit: int) -> bytes:
        self._socket.settimeout(self.clock.remaining())
        return self._socket.recv(limit)

    def send(self, message: bytes) -> None:
        view = memoryview(message)
        while view:
            self._socket.settimeout(self.clock.remaining())
            view = view[self._socket.send(view[: 256 * 1024]) :]

    def receive_at_once(self, limit: int) -> bytes | None:
        """Return what is here already, nothing (None) where that is none of the other side's words."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(limit)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def fileno(self) -> int:
        return self._socket.fileno()

    def is_silent(self) -> bool:
        """Whether there is nothing to read, not even an ending."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return not poller.poll(0)

    def close(self) -> None:
        self._socket.close()


class _Connection:
    """A stream and what reads answers from it; raises OSError and WireError as they come.

    Neither refers back to this object: what is dropped is freed at once, with no cycle to be collected.
    """

    __slots__ = ("_stream", "_used", "reader")

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._used = False
        self.reader = Reader(stream.receive)

    @property
    def clock(self) -> _Clock:
        return self._stream.clock

    def idle_and_alive(self) -> bool:
        """Whether nothing has arrived since the last answer: whatever did can only be an ending."""
        return not self.reader.pending and self._stream.is_silent()

    def exchange(self, method: str, message: bytes, clock: _Clock) -> Head:
        """Send a request and read the head of its answer."""
        reused = self._used
        seen = self.reader.received
        fully_sent = False
        try:
            fully_sent = self.send(message, clock)
            return self.reader.head(method)
        except TimeoutError:
            raise
        except (OSError, WireError) as error:
            if reused and self.reader.received == seen:
                raise _DeadConnectionError(fully_sent) from error
            raise

    def send(self, message: bytes, clock: _Clock) -> bool:
        """Send a request; return whether it was sent whole.

        Its answer may be there all the same: a body refused early, a TLS alert that says why.
        """
        self._stream.clock = clock
        self._used = True
        with suppress(BrokenPipeError, ConnectionResetError):
            self._stream.send(message)
            return True
        return False

    def arrived(self) -> bool:
        """Whether bytes of an answer are here; never waits."""
        data = self._stream.receive_at_once(READ_BYTES)
        if data == b"":
            raise WireError("the connection was closed before the answer")
        if data is not None:
            self.reader.feed(data)
        return data is not None

    def head(self, method: str, clock: _Clock) -> Head:
        """Read the head of the answer to what was sent."""
        self._stream.clock = clock
        return self.reader.head(method)

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        self._stream.close()


class _Proxy:
    """A proxy that is asked for a connection to somebody else (RFC 9110, CONNECT)."""

    __slots__ = ("_authorization", "_origin")

    def __init__(self, url: str, authorization: Callable[[], str] | None) -> None:
        if not _PROXY.fullmatch(url):  # not repeated here: there may be a password in it
            raise UrlError("the proxy's address is not one that can be used: expected http://host:port")
        self._origin = Origin(url)
        self._authorization = authorization

    def dial(self, origin: Origin, clock: _Clock) -> socket.socket:
        """Return a socket that is connected with `origin`; every failure names the proxy."""
        if origin.path:
            raise UrlError(f"{origin.name}: there is no proxy on the way to a socket of this machine")
        made = None
        try:
            made = _dial(self._origin, clock)
            self._connect(made, origin, clock)
        except (OSError, WireError) as error:
            if made is not None:
                made.close()
            raise ProxyError(self._name, explain(self._origin, error, clock.limit).reason) from error
        except BaseException:
            if made is not None:
                made.close()
            raise
        return made

    @property
    def _name(self) -> str:
        return f"proxy {self._origin.name}"

    def _connect(self, made: socket.socket, origin: Origin, clock: _Clock) -> None:
        authorization = self._authorization() if self._authorization is not None else ""
        shown = [("proxy-authorization", authorization)] if authorization else []
        stream = _Stream(made, clock)
        stream.send(render_connect(origin.name, shown))
        reader = Reader(stream.receive)
        head = reader.head("CONNECT")
        answer = Response(head.status, head.reason, head.headers)
        if head.status == 407:
            how = "takes other credentials than those it was shown" if shown else "wants credentials"
            raise ProxyError(self._name, f"it {how} (407)", answer)
        if not 200 <= head.status < 300:
            words = f"{head.status} {head.reason}".strip()
            raise ProxyError(self._name, f"it does not connect to {origin.name}: {words}", answer)
        if reader.pending:
            raise ProxyError(self._name, f"it said something in the place of {origin.name}")


def _dial(origin: Origin, clock: _Clock) -> socket.socket:
    """Return a socket connected to `origin`, trying every address its name has, in the system's order."""
    if origin.path:
        return _connected(socket.AF_UNIX, origin.path, clock)
    # As bytes, like the server name: a str would load the idna codec's tables.
    addresses = socket.getaddrinfo(origin.host.encode("ascii"), origin.port, 0, socket.SOCK_STREAM)
    for family, _, _, _, address in addresses[:-1]:
        try:
            return _connected(family, address, clock)
        except OSError:
            continue
    family, _, _, _, address = addresses[-1]
    return _connected(family, address, clock)


def _connected(family: int, address: str | tuple[object, ...], clock: _Clock) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(clock.remaining())
        made.connect(address)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def explain(origin: Origin, error: OSError | WireError, limit: float) -> HttpError:
    """Return what went wrong with `origin` as an error of ours; `limit`: seconds until a time-out."""
    if isinstance(error, TooLargeError):
        return AnswerTooLargeError(origin.name, str(error))
    if isinstance(error, WireError):
        return BadAnswerError(origin.name, str(error))
    if isinstance(error, ssl.SSLEOFError):
        return HttpError(origin.name, "the connection was cut off")
    if isinstance(error, ssl.SSLError):
        return _tls_error(origin, error)
    return HttpError(origin.name, _os_reason(origin, error, limit))


def _tls_error(origin: Origin, error: ssl.SSLError) -> HttpError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(origin.name, f"its certificate was refused: {error.verify_message}")
    reason = error.reason or str(error)
    words = reason.lower().replace("_", " ")
    if "ALERT" in reason and "PROTOCOL_VERSION" not in reason:
        return CertificateError(origin.name, f"it refused our TLS connection ({words})")
    return NoTlsError(origin.name, f"no TLS connection ({words}); are the address and the port right?")


def _os_reason(origin: Origin, error: OSError, limit: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {limit:g} s" if error.errno is None else "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is it running?"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was cut off"
    if isinstance(error, socket.gaierror):
        return f"the name cannot be looked up ({error.strerror})"
    if origin.path and isinstance(error, FileNotFoundError):
        return "no such socket; is it running?"
    if origin.path and isinstance(error, PermissionError):
        return "no permission to use this socket"
    return os.strerror(error.errno) if error.errno else str(error)
