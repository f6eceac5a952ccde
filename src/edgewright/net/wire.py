"""HTTP/1.1 as bytes: renders a request's head, reads an answer. No sockets, no clock.

The reader is strict, because what it accepts decides where one answer ends and the next begins: one framing,
sizes in plain digits, no folded headers, everything bounded. It reads from a function that returns bytes,
or none at the end; whatever that function raises passes through.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator

from edgewright.protocol.errors import EdgewrightError

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 4096
MAX_INTERIM_ANSWERS = 16
READ_BYTES = 64 * 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\r\x00]*))?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class WireError(EdgewrightError):
    """The other side's bytes are not the HTTP/1.1 answer they have to be."""

    code = "http.bad-answer"
    retryable = True


class TooLargeError(WireError):
    """The answer is larger than the caller is willing to hold."""

    code = "http.answer-too-large"
    retryable = False


class BadRequestError(EdgewrightError):
    """What we were asked to send is no HTTP request: a blank in the path, a line break in a header."""

    code = "http.bad-request"


def render_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Render a request's head; nothing in it can start a second line or a second request."""
    if not _TOKEN.fullmatch(method.encode("ascii", "replace")):
        raise BadRequestError(f"not an HTTP method: {method!r}")
    if not _TARGET.fullmatch(target):
        raise BadRequestError(f"not a path that can be requested: {target!r}")
    return _render(f"{method} {target}", headers)


def render_connect(authority: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Render the request to a proxy for a connection to `authority`, a `host:port`."""
    return _render(f"CONNECT {authority}", [("host", authority), *headers])


def _render(request: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{request} HTTP/1.1"]
    for name, value in headers:
        if not _TOKEN.fullmatch(name.encode("ascii", "replace")) or not _VALUE.fullmatch(value):
            raise BadRequestError(f"not a header that can be sent: {name!r}: {value!r}")
        lines.append(f"{name}: {value}")
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadRequestError(f"a header of {request} holds characters HTTP cannot carry") from error


class Head:
    """Status and headers of an answer, and how its body is delimited.

    `headers` maps lower-case name to value; what was sent several times is joined by ", ".
    `length` is the number of body bytes, or None for a body that is chunked or lasts until the end.
    """

    __slots__ = ("chunked", "headers", "keep_alive", "length", "reason", "status")

    def __init__(self, minor: int, status: int, reason: str, headers: dict[str, str], method: str) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.chunked = False
        self.length: int | None = None
        self._frame(minor, method)
        tokens = headers.get("connection", "").lower()
        persistent = "close" not in tokens if minor else "keep-alive" in tokens
        self.keep_alive = persistent and (self.chunked or self.length is not None)

    def _frame(self, minor: int, method: str) -> None:
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if method == "HEAD" or self.status in (204, 304):
            self.length = 0
        elif coding is not None:
            if coding.strip().lower() != "chunked" or not minor:
                raise WireError(f"transfer coding {coding!r} is not understood")
            if length is not None:
                raise WireError("both a length and a transfer coding were given")
            self.chunked = True
        elif length is not None:
            values = {part.strip() for part in length.split(",")}
            text = values.pop()
            if values or not _LENGTH.fullmatch(text):
                raise WireError(f"content length {length!r} is not a number")
            self.length = int(text)


class Reader:
    """Reads one answer after the other from `receive(limit)`, which returns b"" at the end."""

    __slots__ = ("_buffer", "_receive", "received")

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self.received = 0

    @property
    def pending(self) -> bool:
        """Whether bytes nobody asked for are waiting: then the connection cannot be used again."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in bytes that came before they were asked for."""
        self.received += len(data)
        self._buffer += data

    def head(self, method: str) -> Head:
        """Read the head of the answer to a `method` request, passing over interim (1xx) answers."""
        for _ in range(MAX_INTERIM_ANSWERS):
            head = self._one_head(method)
            if head.status >= 200:
                return head
            if head.status == 101:
                raise WireError("the other side wants to change the protocol, which nobody asked for")
        raise WireError("nothing but interim answers")

    def body(self, head: Head) -> Iterator[bytes]:
        """Yield the body as it arrives, in pieces of no particular size, as it was sent (still encoded)."""
        if head.chunked:
            yield from self._chunks()
        elif head.length is not None:
            yield from self._exactly(head.length)
        else:
            yield from self._until_end()

    def _one_head(self, method: str) -> Head:
        budget = [MAX_HEAD_BYTES]
        line = self._line(budget, "the headers")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise WireError(f"does not start like HTTP/1.1 but with {line[:40]!r}")
        headers: dict[str, str] = {}
        while line := self._line(budget, "the headers"):
            name, colon, value = line.partition(b":")
            if not colon or not _TOKEN.fullmatch(name) or b"\0" in value or b"\r" in value:
                raise WireError(f"not a header line: {line[:80]!r}")
            key = name.decode("ascii").lower()
            text = value.strip(b" \t").decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        reason = (match[3] or b"").decode("latin-1")
        return Head(int(match[1]), int(match[2]), reason, headers, method)

    def _line(self, budget: list[int], where: str) -> bytes:
        """Read up to the next line feed; `budget[0]` bytes may still be spent on lines."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start > budget[0]:
                break
            self._fill(where)
        if end < 0 or end >= budget[0]:
            raise TooLargeError(f"{where} are larger than allowed")
        budget[0] -= end + 1
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _fill(self, where: str) -> None:
        data = self._receive(READ_BYTES)
        if not data:
            raise WireError(f"the connection was closed in the middle of {where}")
        self.feed(data)

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._buffer:
                self._fill("the body")
            piece = bytes(self._buffer[:count])
            del self._buffer[: len(piece)]
            count -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._line([MAX_CHUNK_LINE_BYTES], "a chunk's size line")
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise WireError(f"not a chunk size: {line[:40]!r}")
            size = int(match[1], 16)
            if not size:
                break
            yield from self._exactly(size)
            if self._line([MAX_CHUNK_LINE_BYTES], "a chunk's end"):
                raise WireError("a chunk is longer than it said")
        budget = [MAX_HEAD_BYTES]
        while self._line(budget, "the trailers"):
            pass

    def _until_end(self) -> Iterator[bytes]:
        if self._buffer:
            yield bytes(self._buffer)
            self._buffer.clear()
        while data := self._receive(READ_BYTES):
            self.received += len(data)
            yield data


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undo a content coding piece by piece (spec: DG-3); only gzip and none at all are understood."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        yield from pieces
        return
    if name not in ("gzip", "x-gzip"):
        raise WireError(f"content coding {encoding!r} was not asked for")
    inflate = zlib.decompressobj(wbits=31)
    try:
        for piece in pieces:
            data = inflate.decompress(piece, READ_BYTES)
            while data:
                yield data
                data = inflate.decompress(inflate.unconsumed_tail, READ_BYTES)
    except zlib.error as error:
        raise WireError(f"the body is not gzip: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise WireError("the gzip body is cut short or has something behind it")


def bounded(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Pass pieces on until they are more than `limit` bytes in all."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")
        yield piece
