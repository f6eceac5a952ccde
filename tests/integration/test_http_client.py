"""The HTTP client against real sockets and real TLS."""

import gzip
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgewright.net.http import (
    AnswerTooLargeError,
    BadAnswerError,
    CertificateError,
    Client,
    HttpError,
    NoTlsError,
    ProxyError,
    Response,
    UrlError,
)
from edgewright.net.tls import TlsSetupError, mutual_context, registry_context, server_auth_context
from edgewright.protocol.errors import IdentityError
from support.certificates import Authority

Play = Callable[[socket.socket, list[bytes]], None]


class Server:
    """Plays one script for each connection, in their order; `requests` collects what was sent to it."""

    def __init__(self, listening: socket.socket, *plays: Play, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.handshake_errors: list[str] = []
        self._listening = listening
        self._plays = plays
        self._context = context
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for play in self._plays:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self._play(play, connection)

    def _play(self, play: Play, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    play(secured, self.requests)
            else:
                play(connection, self.requests)
        except OSError as error:
            self.handshake_errors.append(str(error))

    def close(self) -> None:
        """End it; a script nobody came for is not played."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
            while len(body) < length:
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answers(*data: bytes) -> Play:
    """Answer one request after the other, then close."""

    def play(connection: socket.socket, requests: list[bytes]) -> None:
        for one in data:
            request = read_request(connection)
            if not request:
                return
            requests.append(request)
            connection.sendall(one)

    return play


def ok(body: bytes = b"hello", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, str]]]:
    """`serve(*plays, context=None, host="127.0.0.1")` returns the server and its address."""
    running: list[Server] = []

    def start(
        *plays: Play, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> tuple[Server, str]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, 0), family=family)
        server = Server(listening, *plays, context=context)
        running.append(server)
        name = f"[{host}]" if ":" in host else host
        scheme = "http" if context is None else "https"
        return server, f"{scheme}://{name}:{listening.getsockname()[1]}"

    yield start
    for server in running:
        server.close()


# --- connections ----------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(serve):
    server, url = serve(answers(ok(), ok(), ok()))
    with Client(url) as client:
        assert [client.request("GET", f"/{number}").body for number in range(3)] == [b"hello"] * 3
        assert client.connections == 1
    assert [request.split(b" ")[1] for request in server.requests] == [b"/0", b"/1", b"/2"]


def test_a_kept_connection_the_server_closed_is_replaced_unnoticed(serve):
    _, url = serve(answers(ok()), answers(ok(b"again")))
    with Client(url) as client:
        client.request("GET", "/")
        assert select.select([client.fileno()], [], [], 10)[0]  # the ending has arrived
        assert client.request("POST", "/", body=b"x").body == b"again"
        assert client.connections == 2


def closes_on_the_second_request(connection: socket.socket, requests: list[bytes]) -> None:
    requests.append(read_request(connection))
    connection.sendall(ok())
    requests.append(read_request(connection))


def test_a_request_that_may_be_repeated_is_when_the_kept_connection_dies_under_it(serve):
    server, url = serve(closes_on_the_second_request, answers(ok(b"again")))
    with Client(url) as client:
        client.request("GET", "/")
        assert client.request("PUT", "/", body=b"x").body == b"again"
    assert len(server.requests) == 3


def test_a_request_that_may_have_been_acted_on_is_not_repeated(serve):
    server, url = serve(closes_on_the_second_request, answers(ok(b"again")))
    with Client(url) as client:
        client.request("GET", "/")
        with pytest.raises(HttpError, match="closed before the answer"):
            client.request("POST", "/", body=b"x")
        assert client.request("POST", "/", body=b"y").body == b"again"
    assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [b"", b"x", b"y"]


def test_a_new_connection_that_dies_is_not_tried_again(serve):
    server, url = serve(lambda connection, requests: requests.append(read_request(connection)), answers(ok()))
    with Client(url) as client, pytest.raises(HttpError, match="closed in the middle of the headers"):
        client.request("GET", "/")
    assert len(server.requests) == 1


def test_connection_close_is_obeyed(serve):
    _, url = serve(answers(ok(b"a", b"Connection: close")), answers(ok(b"b")))
    with Client(url) as client:
        assert [client.request("GET", "/").body, client.request("GET", "/").body] == [b"a", b"b"]
        assert client.connections == 2


def test_an_answer_nobody_asked_for_is_never_taken_for_the_next_one(serve):
    _, url = serve(answers(ok(b"a") + ok(b"poison")), answers(ok(b"b")))
    with Client(url) as client:
        assert [client.request("GET", "/").body, client.request("GET", "/").body] == [b"a", b"b"]


def test_nobody_listening_is_said(serve):
    server, url = serve()
    server.close()
    with Client(url) as client, pytest.raises(HttpError) as caught:
        client.request("GET", "/")
    assert str(caught.value) == f"{url.removeprefix('http://')}: connection refused; is it running?"
    assert caught.value.retryable


def test_ipv6_addresses_work(serve):
    try:
        server, url = serve(answers(ok()), host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Client(url) as client:
        assert client.request("GET", "/").body == b"hello"
    assert f"host: {url.removeprefix('http://')}\r\n".encode() in server.requests[0]


def test_unix_sockets_work(tmp_path: Path):
    path = str(tmp_path / "s.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    server = Server(listening, answers(ok()))
    with Client(f"unix://{path}") as client:
        assert client.request("GET", "/version").body == b"hello"
    server.close()
    assert b"host: localhost\r\n" in server.requests[0]


# --- bodies ---------------------------------------------------------------------------------------------


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def test_chunked_answers_keep_the_connection(serve):
    _, url = serve(answers(CHUNKED, CHUNKED))
    with Client(url) as client:
        assert [client.request("GET", "/").body for _ in range(2)] == [b"hello", b"hello"]
        assert client.connections == 1


def test_interim_answers_are_passed_over_on_the_wire(serve):
    _, url = serve(answers(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok()))
    with Client(url) as client:
        assert client.request("GET", "/").status == 200


def test_a_body_that_breaks_off_is_an_error(serve):
    _, url = serve(answers(ok()[:-2]))
    with Client(url) as client, pytest.raises(BadAnswerError, match="closed in the middle of the body"):
        client.request("GET", "/")


def test_a_body_larger_than_allowed_is_not_read(serve):
    _, url = serve(answers(ok(bytes(3_000_000))))
    with Client(url, max_body=1_000_000) as client, pytest.raises(AnswerTooLargeError) as caught:
        client.request("GET", "/")
    assert not caught.value.retryable


def test_huge_headers_are_not_read(serve):
    _, url = serve(answers(ok(b"", b"X: " + b"x" * 200_000)))
    with Client(url) as client, pytest.raises(AnswerTooLargeError, match="headers"):
        client.request("GET", "/")


@pytest.mark.requirement("DG-3")
def test_an_encoded_body_comes_decoded(serve):
    server, url = serve(answers(ok(gzip.compress(b"a: 1\n"), b"Content-Encoding: gzip")))
    with Client(url) as client:
        assert client.request("GET", "/").body == b"a: 1\n"
    assert b"accept-encoding: gzip\r\n" in server.requests[0]


def test_a_large_request_body_arrives_whole(serve):
    body = bytes(range(256)) * 20_000
    server, url = serve(answers(ok()))
    with Client(url) as client:
        assert client.request("PUT", "/blob", body=body).status == 200
    assert server.requests[0].endswith(body)


def test_an_answer_given_before_the_body_was_taken_is_read(serve):
    def refuses(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(connection.recv(100))
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    _, url = serve(refuses)
    with Client(url) as client:
        assert client.request("PUT", "/", body=bytes(5_000_000)).status == 413


def test_problems_come_with_their_media_type(serve):
    body = b'{"type": "about:blank", "status": 503}'
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json; charset=utf-8\r\n"
    _, url = serve(answers(head + b"Retry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    with Client(url) as client:
        answer = client.request("GET", "/")
    assert (answer.status, answer.media_type, answer.body) == (503, "application/problem+json", body)
    assert answer.headers["retry-after"] == "7"


def trickle(start: bytes) -> Play:
    """Send `start`, then a byte now and then for as long as anybody listens."""

    def play(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.sendall(start)
        pause = threading.Event()
        while not pause.wait(0.02):
            connection.sendall(b"x")

    return play


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", ok(bytes(10))[:-10].replace(b": 10", b": 100000")],
    ids=["status line", "headers", "body"],
)
def test_an_answer_that_only_trickles_in_meets_the_deadline(serve, start: bytes):
    _, url = serve(trickle(start))
    with Client(url, timeout=0.4) as client, pytest.raises(HttpError, match=r"no answer within 0\.4 s"):
        client.request("GET", "/")


def test_silence_meets_the_deadline_and_the_next_request_gets_a_new_connection(serve):
    def silent(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.recv(1)

    _, url = serve(silent, answers(ok()))
    with Client(url) as client:
        with pytest.raises(HttpError, match=r"no answer within 0\.2 s"):
            client.request("GET", "/", timeout=0.2)
        assert client.request("GET", "/").body == b"hello"


# --- downloads ------------------------------------------------------------------------------------------


def test_a_download_goes_to_the_sink(serve):
    body = bytes(range(256)) * 4000
    _, url = serve(answers(ok(body), ok()))
    received = bytearray()
    started: list[int] = []
    with Client(url) as client:
        answer = client.download("/", received.extend, started=lambda head: started.append(head.status))
        assert client.request("GET", "/").body == b"hello"
        assert client.connections == 1
    assert (bytes(received), answer.body, started) == (body, b"", [200])


def test_the_answer_to_a_failed_download_is_kept_from_the_sink(serve):
    _, url = serve(answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"))
    received = bytearray()
    with Client(url) as client:
        answer = client.download("/", received.extend)
    assert (answer.status, answer.body, received) == (404, b"gone", b"")


def test_what_the_sink_raises_passes_through_and_ends_the_connection(serve):
    _, url = serve(answers(ok(bytes(1_000_000))), answers(ok()))

    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    def unwanted(head: Response) -> None:
        raise ValueError("unwanted")

    with Client(url) as client:
        with pytest.raises(OSError, match="No space left"):
            client.download("/", full)
        with pytest.raises(ValueError, match="unwanted"):
            client.download("/", full, started=unwanted)
        assert client.connections == 2


def test_a_download_may_take_long_but_not_be_silent(serve):
    def pauses(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.sendall(ok(b"hello")[:-2])
        connection.recv(1)

    _, url = serve(pauses)
    received = bytearray()
    # Long enough for what is sent to arrive on a busy machine.
    with Client(url, timeout=3) as client, pytest.raises(HttpError, match="no answer within 3 s"):
        client.download("/", received.extend)
    assert received == b"hel"


# --- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("example.org")


def server_context(authority: Authority, directory: Path, *, mutual: bool = False) -> ssl.SSLContext:
    files = (authority.wfm("main") if mutual else authority.web_server("127.0.0.1")).write(
        directory, "server"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=text(authority.pem))
    return context


def text(pem: str | bytes) -> str:
    return pem.decode() if isinstance(pem, bytes) else pem


@pytest.mark.requirement("TLS-1", "TLS-10")
def test_a_server_is_checked_by_anchor_and_name(serve, authority: Authority, tmp_path: Path):
    _, url = serve(answers(ok()), answers(ok()), answers(ok()), context=server_context(authority, tmp_path))
    with Client(url, context=server_auth_context(anchors_pem=text(authority.pem))) as client:
        assert client.request("GET", "/").body == b"hello"
    other = Authority.create("example.org")
    with (
        Client(url, context=server_auth_context(anchors_pem=text(other.pem))) as client,
        pytest.raises(CertificateError, match="its certificate was refused"),
    ):
        client.request("GET", "/")
    named = url.replace("127.0.0.1", "localhost")
    with (
        Client(named, context=server_auth_context(anchors_pem=text(authority.pem))) as client,
        pytest.raises(CertificateError, match="Hostname mismatch"),
    ):
        client.request("GET", "/")


def test_a_tls_connection_is_kept_too(serve, authority: Authority, tmp_path: Path):
    _, url = serve(answers(ok(), ok(), ok()), context=server_context(authority, tmp_path))
    with Client(url, context=server_auth_context(anchors_pem=text(authority.pem))) as client:
        assert [client.request("GET", "/").status for _ in range(3)] == [200, 200, 200]
        assert client.connections == 1


@pytest.mark.requirement("TLS-4", "TLS-9", "SVID-5")
def test_both_sides_are_known_by_their_certificates(serve, authority: Authority, tmp_path: Path):
    server, url = serve(
        answers(ok()), answers(ok()), context=server_context(authority, tmp_path / "s", mutual=True)
    )
    files = authority.client("main", "edge-01").write(tmp_path)
    context = mutual_context(str(files.certificate), str(files.key), text(authority.pem))
    peers: list[bytes | None] = []
    with Client(url, context=context, check_peer=lambda peer: peers.append(peer.getpeercert(True))) as client:
        assert client.request("GET", "/").body == b"hello"
    assert peers[0]

    def refuse(peer: ssl.SSLSocket) -> None:
        raise IdentityError("another fleet manager")

    with (
        Client(url, context=context, check_peer=refuse) as client,
        pytest.raises(IdentityError, match="another fleet manager"),
    ):
        client.request("GET", "/secret")
    server.close()
    assert b"secret" not in b"".join(server.requests)


def test_an_anchor_counts_though_another_authority_signed_it(serve, authority: Authority, tmp_path: Path):
    middle = authority.intermediate()
    files = middle.wfm("main").write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    _, url = serve(answers(ok()), context=context)
    own = authority.client("main", "edge-01").write(tmp_path)
    trusting = mutual_context(str(own.certificate), str(own.key), text(middle.pem))
    with Client(url, context=trusting) as client:
        assert client.request("GET", "/").body == b"hello"


def test_a_client_without_a_certificate_is_told_that_it_was_refused(
    serve, authority: Authority, tmp_path: Path
):
    context = server_auth_context(anchors_pem=text(authority.pem))
    context.check_hostname = False
    _, url = serve(answers(ok()), context=server_context(authority, tmp_path, mutual=True))
    with Client(url, context=context) as client, pytest.raises(HttpError) as caught:
        client.request("GET", "/")
    assert "certificate required" in str(caught.value) or "cut off" in str(caught.value)


@pytest.mark.requirement("TLS-3")
def test_a_server_of_the_past_is_refused(serve, authority: Authority, tmp_path: Path):
    old = server_context(authority, tmp_path)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    _, url = serve(answers(ok()), answers(ok()), context=old)
    with (
        Client(url, context=server_auth_context(anchors_pem=text(authority.pem))) as client,
        pytest.raises(NoTlsError),
    ):
        client.request("GET", "/")
    ca = tmp_path / "ca.pem"
    ca.write_text(text(authority.pem))
    with Client(url, context=registry_context(str(ca))) as client:
        assert client.request("GET", "/").body == b"hello"


def test_a_port_without_tls_is_said_to_be_one(serve, authority: Authority):
    def plain(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    _, url = serve(plain)
    context = server_auth_context(anchors_pem=text(authority.pem))
    with (
        Client(url.replace("http:", "https:"), context=context) as client,
        pytest.raises(NoTlsError, match="are the address and the port right"),
    ):
        client.request("GET", "/")


def test_https_without_anything_to_check_by_is_refused():
    with Client("https://127.0.0.1:1") as client, pytest.raises(UrlError):
        client.request("GET", "/")


def test_a_truncated_body_is_no_body(serve, authority: Authority, tmp_path: Path):
    def cut(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\npartial")
        connection.shutdown(socket.SHUT_RDWR)  # without the TLS ending that says it was all

    _, url = serve(cut, context=server_context(authority, tmp_path))
    with (
        Client(url, context=server_auth_context(anchors_pem=text(authority.pem))) as client,
        pytest.raises(HttpError, match="cut off"),
    ):
        client.request("GET", "/")


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path):
    files = authority.client("main", "edge-01").write(tmp_path, "one")
    other = authority.client("main", "edge-02").write(tmp_path, "two")
    anchors = text(authority.pem)
    with pytest.raises(TlsSetupError, match=r"one\.pem.*two\.key.*mismatch"):
        mutual_context(str(files.certificate), str(other.key), anchors)
    with pytest.raises(TlsSetupError, match=r"none\.pem.*No such file"):
        mutual_context(str(tmp_path / "none.pem"), str(files.key), anchors)
    with pytest.raises(TlsSetupError, match="trust anchors"):
        mutual_context(str(files.certificate), str(files.key), "no certificate")
    with pytest.raises(TlsSetupError, match="trust anchors"):
        mutual_context(str(files.certificate), str(files.key), "")
    with pytest.raises(TlsSetupError, match="none"):
        server_auth_context(cafile=str(tmp_path / "none"))
    assert server_auth_context().cert_store_stats()["x509"] >= 0


def test_an_encrypted_key_is_refused_without_asking_for_its_password(authority: Authority, tmp_path: Path):
    from cryptography.hazmat.primitives import serialization

    issued = authority.client("main", "edge-01")
    files = issued.write(tmp_path)
    assert issued.key is not None
    files.key.write_bytes(
        issued.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsSetupError, match="encrypted"):
        mutual_context(str(files.certificate), str(files.key), text(authority.pem))


# --- proxies --------------------------------------------------------------------------------------------


def connects(address: tuple[str, int]) -> Play:
    """Play a proxy that connects to `address`, whatever it is asked for, and then only carries bytes."""

    def play(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        with socket.create_connection(address) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = {connection: onward, onward: connection}
            while True:
                for readable in select.select(list(ways), [], [])[0]:
                    data = readable.recv(65536)
                    if not data:
                        return
                    ways[readable].sendall(data)

    return play


def test_a_proxy_is_asked_for_a_connection_and_reads_nothing_of_it(serve, tmp_path: Path):
    authority = Authority.create("example.org")
    issued = authority.web_server("localhost").write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    server, url = serve(answers(ok(b"one"), ok(b"two")), context=context)
    port = int(url.rpartition(":")[2])
    proxy, way = serve(connects(("127.0.0.1", port)))
    trust = server_auth_context(anchors_pem=authority.pem.decode())
    with Client(
        f"https://localhost:{port}", context=trust, proxy=way, proxy_authorization=lambda: "Basic c2VjcmV0"
    ) as client:
        assert [client.request("GET", f"/{n}").body for n in range(2)] == [b"one", b"two"]
        assert client.connections == 1
    assert proxy.requests == [
        f"CONNECT localhost:{port} HTTP/1.1\r\nhost: localhost:{port}\r\n"
        "proxy-authorization: Basic c2VjcmV0\r\n\r\n".encode()
    ]
    assert b"secret" not in b"".join(server.requests) + b"".join(proxy.requests)
    assert b"proxy-authorization" not in b"".join(server.requests)


def test_a_proxy_that_is_not_there_is_named(serve):
    server, way = serve()
    server.close()
    with Client("http://git.example", proxy=way) as client, pytest.raises(ProxyError) as caught:
        client.request("GET", "/")
    assert str(caught.value) == f"proxy {way.removeprefix('http://')}: connection refused; is it running?"
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "shown", "reason"),
    [
        pytest.param(b"HTTP/1.1 407 Who\r\n\r\n", "", r"it wants credentials \(407\)", id="none shown"),
        pytest.param(b"HTTP/1.1 407 Who\r\n\r\n", "Basic eA==", "takes other credentials", id="wrong ones"),
        pytest.param(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "",
            "does not connect to git.example:80: 403 Forbidden",
            id="barred",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\nhello", "", "in the place of git.example:80", id="its own words"
        ),
        pytest.param(b"220 smtp ready\r\n\r\n", "", "does not start like HTTP", id="no proxy"),
        pytest.param(b"", "", "closed", id="nothing"),
    ],
)
def test_what_a_proxy_refuses_is_said_by_its_name(serve, answer, shown, reason):
    proxy, way = serve(answers(answer))
    with (
        Client("http://git.example", proxy=way, proxy_authorization=lambda: shown) as client,
        pytest.raises(ProxyError, match=rf"^proxy 127.0.0.1:\d+: .*({reason})") as caught,
    ):
        client.request("GET", "/")
    assert proxy.requests
    assert "eA==" not in str(caught.value)


def test_a_silent_proxy_meets_the_deadline(serve):
    def silent(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.recv(1)

    _, way = serve(silent)
    with (
        Client("http://git.example", proxy=way, timeout=0.2) as client,
        pytest.raises(ProxyError, match=r"no answer within 0\.2 s"),
    ):
        client.request("GET", "/")


@pytest.mark.parametrize(
    "proxy",
    ["proxy:3128", "https://proxy:3128", "http://proxy", "http://me:secret@proxy:3128", "http://p:1/x"],
)
def test_an_address_of_a_proxy_that_cannot_be_used_is_refused_and_not_repeated(proxy):
    with pytest.raises(UrlError, match="expected http://host:port") as caught:
        Client("http://git.example", proxy=proxy)
    assert "secret" not in str(caught.value)


def test_there_is_no_proxy_to_a_socket_of_this_machine():
    with Client("unix:///run/x.sock", proxy="http://127.0.0.1:1") as client, pytest.raises(UrlError):
        client.request("GET", "/")
