"""HTTP/1.1 for one request on one connection: read strictly, bounded in size and in time.

One request a connection keeps it simple, and costs nothing between a browser and the machine it talks to.
Whoever sends slowly has until the deadline, whoever sends much is refused before it is read.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 64
MAX_FIELDS: Final = 32

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,9}")
_LINGER_BYTES: Final = 256 * 1024
_LINGER_SECONDS: Final = 1.0


class RefusedRequestError(Exception):
    """What came is no request that is answered; `status` says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class GoneError(Exception):
    """The other side went away, or took too long, before there was a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: `headers` by lower-case name, `form` the fields of its body, each once."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def cookies(self) -> dict[str, str]:
        """Return its cookies; of one that is there twice the first."""
        pairs = (each.strip().partition("=") for each in self.headers.get("cookie", "").split(";"))
        found: dict[str, str] = {}
        for name, equals, value in pairs:
            if equals:
                found.setdefault(name, value)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer."""

    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def render(self, *, with_body: bool) -> bytes:
        """Return its bytes; an answer to HEAD has the length of the body and not the body."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            *(f"{name}: {value}" for name, value in self.headers),
            f"Content-Length: {len(self.body)}",
            "Connection: close",
        ]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head + self.body if with_body else head


def read_request(connection: socket.socket, deadline: float) -> Request:
    """Return the request that comes on `connection` before `deadline` (monotonic).

    Raises RefusedRequestError for what is answered with an error, GoneError where nobody waits for one.
    """
    head, rest = _read_head(connection, deadline)
    method, target, headers = parse_head(head)
    length = _length(headers)
    body = bytearray(rest)
    while len(body) < length:
        body += _receive(connection, length - len(body), deadline)
    path, _, query = target.partition("?")
    return Request(
        method=method, path=path, query=query, headers=headers, form=_form(headers, bytes(body[:length]))
    )


def send(connection: socket.socket, data: bytes, deadline: float) -> None:
    """Send `data` before `deadline`; then let the other side read it. Raises GoneError."""
    view = memoryview(data)
    try:
        while view:
            connection.settimeout(_left(deadline))
            view = view[connection.send(view) :]
        _linger(connection)
    except OSError as error:
        raise GoneError(str(error)) from None


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Return method, target and headers of a request's head. Raises RefusedRequestError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "not a request line")
    if len(lines) > MAX_HEADERS:
        raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "not a header")
        name = header[1].lower()
        if name in headers and name != "cookie":
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"header {name} twice")
        headers[name] = f"{headers[name]}; {header[2]}" if name in headers else header[2]
    return found[1], found[2], headers


def _read_head(connection: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    data = bytearray()
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a head too large")
        if end:
            return bytes(head), bytes(rest)
        data += _receive(connection, 4096, deadline)


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED, "a body has to tell its length")
    text = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(text):
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "not a length")
    if int(text) > MAX_BODY_BYTES:
        raise RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a body too large")
    return int(text)


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    if not body:
        return {}
    if headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise RefusedRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not a form")
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "not a form") from None
    return {name: values[0] for name, values in fields.items()}


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    try:
        connection.settimeout(_left(deadline))
        data = connection.recv(size)
    except OSError as error:
        raise GoneError(str(error)) from None
    if not data:
        raise GoneError("closed")
    return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


def _linger(connection: socket.socket) -> None:
    """Read what was not read, for a moment: closing over it would take the answer away from the reader."""
    connection.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + _LINGER_SECONDS
    left = _LINGER_BYTES
    while left > 0:
        connection.settimeout(_left(deadline))
        data = connection.recv(4096)
        if not data:
            return
        left -= len(data)
