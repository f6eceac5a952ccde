"""The device API by the letter, asked by a client that is not ours (spec: 2.1, 7, 8, 9, 10, 12, 13)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.foreign_client import MANIFEST, ForeignClient, Reply, capabilities
from support.server_process import ServerProcess

TYPES = "https://docs.margo.org/specification/problem-types#"
NOWHERE = "00000000-0000-4000-8000-000000000000"
NO_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("device-api") / "server") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    token = server.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "client") as enrolled:
        yield enrolled


def assert_problem(reply: Reply, status: int, kind: str) -> None:
    """The body is a problem of that type with the retry members of a final error (spec: ERR-1, RT-3)."""
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert "retry-after" not in reply.headers
    document = reply.json
    assert document["type"] == (kind if kind == "about:blank" else TYPES + kind)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert (document["retryable"], document["backoffStrategy"]) == (False, "none")


@pytest.mark.requirement("DS-4", "DS-5", "DG-5", "DG-9")
def test_a_poll_is_answered_with_a_manifest_of_this_client_alone(client: ForeignClient) -> None:
    reply = client.poll(accept=None)
    assert (reply.status, reply.headers["content-type"]) == (200, MANIFEST)
    assert reply.headers["etag"] == f'"{reply.digest}"'
    assert reply.headers["cache-control"] == "private"


@pytest.mark.requirement("DS-6")
@pytest.mark.parametrize("form", ["{0}", "W/{0}", '"other", {0}', "*"])
def test_a_known_manifest_is_not_sent_again(client: ForeignClient, form: str) -> None:
    etag = client.poll().headers["etag"]
    reply = client.poll(form.format(etag))
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)


@pytest.mark.requirement("DS-6")
def test_another_etag_gets_the_manifest(client: ForeignClient) -> None:
    assert client.poll(f'"{NO_DIGEST}"').status == 200


@pytest.mark.requirement("DS-4")
@pytest.mark.parametrize(
    "accept", ["application/vnd.margo.manifest.v1.jws+json", "text/html, image/*", f"{MANIFEST};q=0"]
)
def test_an_accept_that_cannot_be_met_is_said_so(client: ForeignClient, accept: str) -> None:
    assert_problem(client.poll(accept=accept), 406, "server-cannot-generate-response")


@pytest.mark.requirement("DS-4")
@pytest.mark.parametrize("accept", ["*/*", "application/*;q=0.1", f"text/html, {MANIFEST};q=0.5"])
def test_an_accept_that_includes_the_manifest_is_met(client: ForeignClient, accept: str) -> None:
    assert client.poll(accept=accept).status == 200


def test_head_is_answered_like_get_without_the_body(client: ForeignClient) -> None:
    got, head = client.poll(), client.request("HEAD", "/api/v1/deployments")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", got.headers["etag"])


@pytest.mark.requirement("ERR-1", "ERR-2", "RT-3", "DS-21")
@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", f"/api/v1/deployments/{NOWHERE}/{NO_DIGEST}", 404, "deployment-not-found"),
        ("GET", "/api/v1/deployments/x/y", 404, "deployment-not-found"),
        ("GET", f"/api/v1/bundles/{NO_DIGEST}", 404, "invalid-bundle"),
        ("GET", "/api/v1/bundles/sha1:00", 404, "invalid-bundle"),
        ("DELETE", "/api/v1/capabilities/nobody", 404, "device-not-found"),
        ("GET", "/", 404, "about:blank"),
        ("GET", "/api/v1/clients/x/deployments", 404, "about:blank"),
        ("GET", "/operator/v1/devices", 404, "about:blank"),
        ("POST", "/edgewright/v1/enroll", 404, "about:blank"),
        ("GET", "/.well-known/margo", 404, "about:blank"),
        ("POST", "/api/v1/deployments", 405, "about:blank"),
        ("GET", "/api/v1/capabilities/edge-01", 405, "about:blank"),
        ("GET", f"/api/v1/deployments/{NOWHERE}/status", 405, "about:blank"),
    ],
)
def test_every_error_is_a_problem_of_its_type(
    client: ForeignClient, method: str, path: str, status: int, kind: str
) -> None:
    reply = client.request(method, path)
    if status == 405:
        assert "allow" in reply.headers
    assert_problem(reply, status, kind)


@pytest.mark.requirement("CAP-4", "CAP-5", "CAP-9", "EXT-2")
def test_capabilities_are_created_updated_and_removed(client: ForeignClient) -> None:
    document = capabilities("edge") | {"x-acme-extensions": {"a": 1}, "labels": {"acme.test/line": 4}}
    assert client.report_capabilities("edge", document).status == 201
    assert client.report_capabilities("edge", document).status == 200
    removed = client.request("DELETE", "/api/v1/capabilities/edge")
    assert (removed.status, removed.body) == (204, b"")
    assert_problem(client.request("DELETE", "/api/v1/capabilities/edge"), 404, "device-not-found")
    assert client.report_capabilities("edge", document).status == 201


@pytest.mark.requirement("CAP-8")
def test_unknown_runtimes_are_taken_as_custom(client: ForeignClient) -> None:
    document = capabilities("edge", supportedRuntimes=["wasm"], supportedDeploymentTypes=["quadlet"])
    assert client.report_capabilities("edge", document).status == 201


@pytest.mark.requirement("CAP-6", "ERR-1", "RT-3")
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 5000])
def test_a_body_that_is_no_json_is_a_bad_request(client: ForeignClient, body: bytes) -> None:
    assert_problem(client.request("PUT", "/api/v1/capabilities/edge", body=body), 400, "invalid-request")
    assert_problem(
        client.request("POST", f"/api/v1/deployments/{NOWHERE}/status", body=body), 400, "invalid-request"
    )


@pytest.mark.requirement("CAP-6", "CAP-10", "ERR-6")
@pytest.mark.parametrize(
    ("document", "field"),
    [
        pytest.param({}, "properties", id="nothing in it"),
        pytest.param(capabilities("other"), "properties.id", id="another id than the path"),
        pytest.param(capabilities("edge", memory="much"), "properties.memory", id="no amount"),
        pytest.param(
            capabilities("edge", supportedRuntimes=[]), "properties.supportedRuntimes", id="empty list"
        ),
        pytest.param(capabilities("edge", vendor=7), "properties.vendor", id="wrong type"),
    ],
)
def test_wrong_capabilities_name_the_field(client: ForeignClient, document: Any, field: str) -> None:
    reply = client.report_capabilities("edge", document)
    assert_problem(reply, 422, "semantic-error")
    assert [error["field"] for error in reply.json["errors"]] == [field]


@pytest.mark.requirement("GW-2", "GW-3", "GW-4", "OP-22", "OP-23")
def test_children_come_after_their_gateway_and_go_with_it(client: ForeignClient) -> None:
    gateway = {
        "properties": {"id": "gw", "vendor": "V", "modelNumber": "M", "serialNumber": "S"},
    }
    child = capabilities("gw/path/a")
    assert_problem(client.report_capabilities("gw/path/a", child), 404, "gateway-not-found")
    assert client.report_capabilities("gw", gateway).status == 201
    assert client.report_capabilities("gw/path/a", child).status == 201
    assert client.report_capabilities("gw%2Fpath%2Fa", child).status == 200
    assert client.request("DELETE", "/api/v1/capabilities/gw").status == 204
    assert_problem(client.request("DELETE", "/api/v1/capabilities/gw/path/a"), 404, "device-not-found")


@pytest.mark.requirement("CAP-10")
@pytest.mark.parametrize("path", ["a%20b", "a//b", "a/", "%2Fa", "a/../b", "%ff", "a%00"])
def test_paths_that_are_no_device_ids_are_refused(client: ForeignClient, path: str) -> None:
    reply = client.report_capabilities(path, capabilities("a"))
    assert reply.status in {404, 422}
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.requirement("API-7", "API-8")
def test_two_clients_with_one_device_id_own_two_records(
    server: ServerProcess, client: ForeignClient, tmp_path: Path, unique: str
) -> None:
    token = server.operator.post("/enrollments", {"name": f"{unique}-b"})["token"]
    with ForeignClient.enrolled(token, tmp_path / "other") as other:
        assert client.report_capabilities("edge", capabilities("edge", vendor="A")).status == 201
        assert other.report_capabilities("edge", capabilities("edge", vendor="B")).status == 201
        assert other.request("DELETE", "/api/v1/capabilities/edge").status == 204
    shown = server.operator.get(f"/devices/{unique}")["devices"]
    assert [one["capabilities"]["properties"]["vendor"] for one in shown] == ["A"]


@pytest.mark.requirement("ST-4", "ERR-6")
@pytest.mark.parametrize(
    ("members", "field"),
    [
        pytest.param({}, "deploymentId", id="a deployment nobody made"),
        pytest.param({"status": {"state": "Installed"}}, "status.state", id="state in upper case"),
        pytest.param({"adoptedManifestVersion": 0}, "adoptedManifestVersion", id="version zero"),
        pytest.param({"adoptedManifestVersion": 2**64}, "adoptedManifestVersion", id="more than 64 bits"),
        pytest.param({"components": None}, "components", id="no components"),
    ],
)
def test_wrong_statuses_name_the_field(client: ForeignClient, members: Any, field: str) -> None:
    reply = client.report_status(NOWHERE, "installed", 1, **members)
    assert_problem(reply, 422, "semantic-error")
    assert [error["field"] for error in reply.json["errors"]] == [field]


def test_a_body_that_is_too_long_is_refused_and_the_answer_arrives(client: ForeignClient) -> None:
    reply = client.request("PUT", "/api/v1/capabilities/edge", body=b" " * (3 << 20))
    assert_problem(reply, 413, "about:blank")


@pytest.mark.requirement("ERR-1")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"NOT HTTP AT ALL\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, 431, id="endless headers"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400, id="path with bytes beyond ASCII"),
        pytest.param(b"GET /api/v1/deployments HTTP/1.1\r\nhost: a b\r\n\r\n", 400, id="host with a blank"),
        pytest.param(
            b"PUT /api/v1/capabilities/a HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
            400,
            id="negative length",
        ),
    ],
)
def test_what_is_no_request_gets_a_problem_too(client: ForeignClient, sent: bytes, status: int) -> None:
    with client.connect() as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer and answer.endswith(b"}"):
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_requests_on_one_connection_are_answered_in_order(client: ForeignClient) -> None:
    one = b"GET /api/v1/deployments HTTP/1.1\r\nhost: x\r\n\r\n"
    two = b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with client.connect() as connection:
        connection.sendall(one + two)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.index(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")
