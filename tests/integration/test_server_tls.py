"""Who gets in on the device listener: exactly the accepted clients of this fleet manager."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.certificates import EXPIRED, NOT_YET_VALID, WRONG_SHAPES, Authority, Issued
from support.foreign_client import ForeignClient, anchors_of, web_request
from support.server_process import ServerProcess

CLIENT = "spiffe://example.org/margo/wfm/main/client/edge-01"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has accepted the client edge-01."""
    created = ServerProcess.create(tmp_path_factory.mktemp("tls") / "server")
    with created:
        created.operator.post("/devices/edge-01/accept")
        yield created


@pytest.fixture(scope="module")
def authority(server: ServerProcess) -> Authority:
    """The server's own authority, as somebody with its key would use it."""
    folder = server.data / "identity"
    key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    return Authority("example.org", certificate, key)  # type: ignore[arg-type]


def anchors(server: ServerProcess) -> str:
    return anchors_of(web_request("GET", server.web_url, "/.well-known/spiffe/bundle.json").json)


def client_with(server: ServerProcess, issued: Issued, folder: Path) -> ForeignClient:
    return ForeignClient.presenting(issued, folder, url=server.device_url, anchors=anchors(server))


def assert_refused(client: ForeignClient) -> None:
    """The connection ends before any answer: in the handshake, or before a byte of the request is read."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.poll()


@pytest.mark.requirement("API-5", "TLS-4", "ID-11", "SVID-7")
def test_a_right_client_svid_is_let_in(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    with client_with(server, authority.client("main", "edge-01"), tmp_path) as client:
        assert client.poll().status == 200


@pytest.mark.requirement("SVID-1", "SVID-2", "SVID-3", "ID-11")
@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in WRONG_SHAPES.items()])
def test_a_leaf_that_is_no_svid_is_refused(
    server: ServerProcess, authority: Authority, tmp_path: Path, shape: Mapping[str, Any]
) -> None:
    with client_with(server, authority.issue(**{"uris": [CLIENT], **shape}), tmp_path) as client:
        assert_refused(client)


@pytest.mark.requirement("ID-11", "SVID-12")
@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("spiffe://example.org/margo/wfm/main", id="a fleet manager's identity"),
        pytest.param("spiffe://example.org/margo/wfm/other/client/edge-01", id="client of another one"),
        pytest.param("spiffe://example.net/margo/wfm/main/client/edge-01", id="another trust domain"),
        pytest.param("spiffe://example.org/margo/wfm/main/client/edge-01/more", id="longer path"),
        pytest.param("spiffe://example.org/margo/wfm/main/client/", id="empty client id"),
        pytest.param("spiffe://example.org/margo/wfm/MAIN/client/edge-01", id="other case"),
        pytest.param("spiffe://example.org/workload/edge-01", id="no client path"),
    ],
)
def test_a_valid_svid_of_another_shape_is_not_a_client(
    server: ServerProcess, authority: Authority, tmp_path: Path, uri: str
) -> None:
    with client_with(server, authority.issue([uri]), tmp_path) as client:
        assert_refused(client)


@pytest.mark.requirement("TLS-5")
@pytest.mark.parametrize("lifetime", [EXPIRED, NOT_YET_VALID], ids=["expired", "not yet valid"])
def test_lifetimes_are_kept(
    server: ServerProcess, authority: Authority, tmp_path: Path, lifetime: Mapping[str, Any]
) -> None:
    with client_with(server, authority.client("main", "edge-01", **lifetime), tmp_path) as client:
        assert_refused(client)


@pytest.mark.requirement("TLS-4", "TLS-5")
def test_another_authority_of_the_same_name_is_not_believed(server: ServerProcess, tmp_path: Path) -> None:
    with client_with(server, Authority.create().client("main", "edge-01"), tmp_path) as client:
        assert_refused(client)


@pytest.mark.requirement("SVID-4")
def test_the_authority_itself_is_not_a_peer(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    with client_with(server, Issued(authority.certificate, authority.key), tmp_path) as client:
        assert_refused(client)


@pytest.mark.requirement("API-5", "ID-24")
def test_nobody_gets_an_answer_without_a_certificate(server: ServerProcess) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_without_certificate(server, context)


def ask_without_certificate(server: ServerProcess, context: ssl.SSLContext) -> None:
    parts = urlsplit(server.device_url)
    plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
    with context.wrap_socket(plain) as connection:
        connection.sendall(b"GET /api/v1/deployments HTTP/1.1\r\nhost: x\r\n\r\n")
        if not connection.recv(1):
            raise ConnectionError("closed without an answer")


@pytest.mark.requirement("TLS-1", "TLS-2", "TLS-3")
def test_older_tls_is_not_spoken(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    client = client_with(server, authority.client("main", "edge-01"), tmp_path)
    with pytest.raises(ssl.SSLError):
        client.connect(client.context(ssl.TLSVersion.TLSv1_2))


@pytest.mark.requirement("TLS-12")
def test_there_are_no_session_tickets(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    client = client_with(server, authority.client("main", "edge-01"), tmp_path)
    with client.connect() as connection:
        connection.sendall(b"GET /api/v1/deployments HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert connection.session is None or not connection.session.has_ticket


@pytest.mark.requirement("ID-1", "SVID-5", "TLS-9")
def test_the_server_presents_its_own_identity(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    client = client_with(server, authority.client("main", "edge-01"), tmp_path)
    with client.connect() as connection:
        leaf = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://example.org/margo/wfm/main"]


@pytest.mark.requirement("ID-20", "ID-21", "API-10", "API-11")
def test_a_client_nobody_accepted_is_refused_with_a_reason(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    with client_with(server, authority.client("main", "stranger"), tmp_path) as client:
        reply = client.poll()
    assert reply.status == 403
    assert reply.json["type"] == "https://docs.margo.org/specification/problem-types#not-authorized"


@pytest.mark.requirement("ID-22", "ID-23", "API-11", "LC-7")
def test_retiring_acts_on_the_next_request_of_an_open_connection(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    server.operator.post("/devices/edge-02/accept")
    with client_with(server, authority.client("main", "edge-02"), tmp_path) as client:
        assert client.poll().status == 200
        server.operator.delete("/devices/edge-02")
        refused = client.poll()
        assert (refused.status, refused.json["title"]) == (403, "Client Relationship Retired")
        assert client.report_capabilities("edge-02", {}).status == 403
        assert client.request("OPTIONS", "/api/v1/deployments").status == 403
        assert client.request("GET", "/nothing").status == 403
        server.operator.post("/devices/edge-02/accept")
        assert client.poll().status == 200


@pytest.mark.requirement("LC-8", "SVID-5", "SVID-12", "TB-9")
def test_an_authority_added_by_the_operator_is_as_good_as_ours(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    foreign = Authority.create()
    with server:
        before = web_request("GET", server.web_url, "/.well-known/spiffe/bundle.json").json
    (server.data / "identity" / "anchors" / "plant.pem").write_bytes(foreign.pem)
    with server:
        server.operator.post("/devices/edge-03/accept")
        after = web_request("GET", server.web_url, "/.well-known/spiffe/bundle.json").json
        leaf = foreign.intermediate().client("main", "edge-03")
        with client_with(server, leaf, tmp_path / "client") as client:
            assert client.poll().status == 200
    assert (before["spiffe_sequence"], after["spiffe_sequence"]) == (1, 2)
    assert (len(before["keys"]), len(after["keys"])) == (1, 2)
