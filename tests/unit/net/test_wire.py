import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.net.wire import (
    BadRequestError,
    Head,
    Reader,
    TooLargeError,
    WireError,
    bounded,
    decoded,
    render_head,
)


def receiver(data: bytes, sizes: list[int] | None = None) -> Callable[[int], bytes]:
    """Return what hands out `data` in pieces of `sizes` (again and again), then nothing for ever."""
    left = bytearray(data)
    turns = 0

    def receive(limit: int) -> bytes:
        nonlocal turns
        size = min(limit, sizes[turns % len(sizes)] if sizes else limit)
        turns += 1
        piece = bytes(left[:size])
        del left[:size]
        return piece

    return receive


def read(data: bytes, method: str = "GET", sizes: list[int] | None = None) -> tuple[Head, bytes]:
    reader = Reader(receiver(data, sizes))
    head = reader.head(method)
    return head, b"".join(reader.body(head))


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a:  2 \r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
UNTIL_END = b"HTTP/1.1 200 OK\r\n\r\nhello"


@pytest.mark.parametrize("data", [LENGTH, CHUNKED, UNTIL_END])
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_an_answer_reads_the_same_however_it_is_cut(data: bytes, sizes: list[int]):
    head, body = read(data, sizes=sizes)
    assert (head.status, head.reason, body) == (200, "OK", b"hello")


def test_headers_are_lower_case_and_joined():
    head, _ = read(LENGTH)
    assert head.headers == {"content-length": "5", "x-a": "1, 2"}


@pytest.mark.parametrize(
    ("data", "keep_alive"),
    [
        (LENGTH, True),
        (CHUNKED, True),
        (UNTIL_END, False),
        (LENGTH.replace(b"X-A", b"Connection: Close\r\nX-A"), False),
        (LENGTH.replace(b"1.1", b"1.0"), False),
        (LENGTH.replace(b"1.1", b"1.0").replace(b"X-A", b"Connection: keep-alive\r\nX-A"), True),
    ],
)
def test_a_connection_is_kept_only_where_the_answer_has_an_end_of_its_own(data: bytes, keep_alive: bool):
    assert read(data)[0].keep_alive is keep_alive


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"]
)
def test_interim_answers_are_passed_over(interim: bytes):
    head, body = read(interim * 3 + LENGTH)
    assert (head.status, body) == (200, b"hello")


@pytest.mark.parametrize(
    ("status", "method"),
    [("204 No Content", "GET"), ("304 Not Modified", "GET"), ("200 OK", "HEAD")],
)
def test_answers_without_a_body_end_with_their_head(status: str, method: str):
    data = f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n".encode()
    reader = Reader(receiver(data + LENGTH))
    head = reader.head(method)
    assert (b"".join(reader.body(head)), head.keep_alive) == (b"", True)
    assert reader.head("GET").status == 200


def test_bytes_nobody_asked_for_are_seen():
    reader = Reader(receiver(LENGTH + b"more"))
    assert b"".join(reader.body(reader.head("GET"))) == b"hello"
    assert reader.pending


def test_bare_line_feeds_end_lines_too():
    assert read(LENGTH.replace(b"\r\n", b"\n"))[1] == b"hello"


BAD_HEADS = {
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "a bare carriage return": b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 3\r\n\r\n",
    "a zero byte": b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
    "length and chunks": CHUNKED.replace(b"\r\nTransfer", b"\r\nContent-Length: 5\r\nTransfer", 1),
    "an unknown coding": CHUNKED.replace(b": chunked", b": gzip, chunked"),
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0"),
    "a change of protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim answers for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}
BAD_BODIES = {
    "half a body": LENGTH[:-1],
    "a chunk size that is none": CHUNKED.replace(b"3\r\nhel", b"0x3\r\nhel"),
    "a negative chunk": CHUNKED.replace(b"3\r\nhel", b"-3\r\nhel"),
    "a chunk longer than it says": CHUNKED.replace(b"hel\r\n", b"hello\r\n"),
    "a chunk size without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000,
    "a huge chunk size": CHUNKED.replace(b"3\r\nhel", b"ffffffffffffffffff\r\nhel"),
    "no last chunk": CHUNKED[: CHUNKED.index(b"0\r\nTrailer")],
    "half the trailers": CHUNKED[:-4],
}


@pytest.mark.parametrize("data", [*BAD_HEADS.values(), *BAD_BODIES.values()], ids=[*BAD_HEADS, *BAD_BODIES])
def test_what_is_no_proper_answer_is_refused(data: bytes):
    with pytest.raises(WireError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
    ids=["status line", "one header", "many headers"],
)
def test_a_huge_head_is_refused_before_it_is_held(data: bytes):
    with pytest.raises(TooLargeError):
        read(data)


@given(st.binary(max_size=200), st.sampled_from([b"", LENGTH[:40], CHUNKED[:60], b"HTTP/1.1 200 OK\r\n"]))
def test_whatever_comes_is_an_answer_or_refused(noise: bytes, start: bytes):
    try:
        read(start + noise)
    except WireError:
        return


def test_requests_are_rendered_as_given():
    rendered = render_head("GET", "/a?b=%20", [("host", "h:1"), ("if-none-match", '"x"')])
    assert rendered == b'GET /a?b=%20 HTTP/1.1\r\nhost: h:1\r\nif-none-match: "x"\r\n\r\n'


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("GET /x", "/", ("a", "b")),
        ("", "/", ("a", "b")),
        ("GET", "x", ("a", "b")),
        ("GET", "/a b", ("a", "b")),
        ("GET", "/a\r\nevil: 1", ("a", "b")),
        ("GET", "/é", ("a", "b")),
        ("GET", "/", ("a b", "c")),
        ("GET", "/", ("a", "b\r\nevil: 1")),
        ("GET", "/", ("a", "b\0")),
        ("GET", "/", ("a", "\u20ac")),
    ],
)
def test_a_request_that_would_be_another_is_never_sent(method: str, target: str, header: tuple[str, str]):
    with pytest.raises(BadRequestError):
        render_head(method, target, [header])


@pytest.mark.requirement("DG-3")
@given(st.binary(max_size=2000), st.integers(1, 50))
def test_gzip_is_undone(data: bytes, size: int):
    packed = gzip.compress(data)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert b"".join(decoded(pieces, "gzip")) == data
    assert b"".join(decoded([data], "")) == data


@pytest.mark.parametrize(
    ("pieces", "encoding"),
    [
        ([b"plain"], "gzip"),
        ([gzip.compress(b"hello")[:-3]], "gzip"),
        ([gzip.compress(b"hello") + b"more"], "gzip"),
        ([b"x"], "br"),
    ],
)
def test_a_body_that_cannot_be_decoded_is_refused(pieces: list[bytes], encoding: str):
    with pytest.raises(WireError):
        list(decoded(pieces, encoding))


def test_a_body_is_counted_as_it_is_unpacked():
    bomb = gzip.compress(bytes(50_000_000))
    seen: list[int] = []
    with pytest.raises(TooLargeError):
        seen.extend(len(piece) for piece in bounded(decoded([bomb], "gzip"), 1_000_000))
    assert sum(seen) <= 1_000_000
