"""Whatever anybody sends, the answer is foreseen: never the server's own failure."""

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.foreign_client import ForeignClient, capabilities
from support.server_process import ServerProcess

DESCRIPTION = {
    "apiVersion": "v1",
    "id": "hello",
    "metadata": {"name": "H", "version": "1.0.0", "catalog": {"organization": [{"name": "E"}]}},
    "deploymentProfiles": [
        {
            "type": "compose",
            "id": "compose",
            "components": [
                {"name": "app", "properties": {"repository": "oci://r.test/a", "revision": "1.0.0"}}
            ],
        }
    ],
    "parameters": {"a": {"targets": [{"pointer": "A", "components": ["app"]}]}},
}
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def changed(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`document` with some members replaced by anything, or left out."""
    members = st.dictionaries(st.sampled_from(sorted(document)), values, max_size=3)
    return st.builds(
        lambda some, gone: {key: value for key, value in {**document, **some}.items() if key not in gone},
        members,
        st.sets(st.sampled_from(sorted(document)), max_size=1),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        text = yaml.safe_dump(DESCRIPTION).encode()
        member = tarfile.TarInfo("margo.yaml")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    with ServerProcess.create(tmp_path_factory.mktemp("fuzz") / "server") as running:
        running.operator.post("/packages", body=buffer.getvalue(), media_type="application/gzip")
        yield running
        assert "failed" not in running.output


@pytest.fixture(scope="module")
def client(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignClient]:
    token = server.operator.post("/enrollments", {"name": "edge"})["token"]
    with ForeignClient.enrolled(token, tmp_path_factory.mktemp("fuzz") / "client") as enrolled:
        assert enrolled.report_capabilities("edge", capabilities("edge")).status == 201
        yield enrolled


@pytest.fixture(scope="module")
def deployment(server: ServerProcess, client: ForeignClient) -> str:
    wish = {"application": "hello", "version": "1.0.0", "device": "edge"}
    made: str = server.operator.post("/deployments", wish)["id"]
    return made


def assert_foreseen(status: int, media_type: str, body: bytes) -> None:
    assert status < 500, body
    if status >= 400:
        assert media_type == "application/problem+json"
        assert json.loads(body)["status"] == status


OF_A_DEVICE = ("/devices/edge", "/devices/edge/policy", "/fleet")


def assert_pages_are_shown(server: ServerProcess, *paths: str) -> None:
    for path in paths:
        answer = server.operator.request("GET", path, prefix="", headers={"Accept": "text/html"})
        assert answer.status == 200, (path, server.output)


@pytest.mark.requirement("CAP-6", "ERR-1")
@FEW
@given(properties=changed(capabilities("edge")["properties"]), labels=values)
def test_capabilities(
    server: ServerProcess, client: ForeignClient, properties: dict[str, Any], labels: Any
) -> None:
    reply = client.report_capabilities("edge", {"properties": properties, "labels": labels})
    assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)
    assert_pages_are_shown(server, *OF_A_DEVICE, "/packages/hello/1.0.0/devices")


@pytest.mark.requirement("ST-4", "ERR-1")
@FEW
@given(
    members=changed(
        {"adoptedManifestVersion": 1, "status": {"state": "installed"}, "components": [], "deviceId": "edge"}
    )
)
def test_statuses(
    server: ServerProcess, client: ForeignClient, deployment: str, members: dict[str, Any]
) -> None:
    reply = client.request(
        "POST",
        f"/api/v1/deployments/{deployment}/status",
        body=json.dumps({"deploymentId": deployment, **members}).encode(),
    )
    assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)
    assert_pages_are_shown(server, *OF_A_DEVICE, f"/deployments/{deployment}", "/deployments")


HOLD = {
    "deploymentId": "00000000-0000-4000-8000-000000000001",
    "name": "hello",
    "kind": "install",
    "digest": "sha256:aa",
    "reason": "approval",
    "message": "waits",
    "since": "2026-11-26T12:00:00Z",
    "approval": 1,
}
ACTION = {
    "number": 1,
    "at": "2026-11-26T12:00:00Z",
    "who": "ana",
    "via": "page",
    "what": "approve",
    "reason": "",
}


@FEW
@given(
    policy=changed({"inForce": {}, "origins": {}, "problem": None}),
    in_force=values,
    hold=changed(HOLD),
    action=changed(ACTION),
    members=st.dictionaries(
        st.sampled_from(["clock", "paused", "approvals", "deviceId"]), values, max_size=1
    ),
)
def test_site_reports(
    server: ServerProcess,
    client: ForeignClient,
    policy: dict[str, Any],
    in_force: Any,
    hold: dict[str, Any],
    action: dict[str, Any],
    members: dict[str, Any],
) -> None:
    whole = {"deviceId": "edge", "policy": policy, "holds": [hold], "audit": [action]} | members
    mild = {"deviceId": "edge", "policy": {"inForce": {"polling": in_force}}}
    for document in (whole, mild):
        reply = client.report_site(document)
        assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)
        server.operator.get("/devices/edge")
        server.operator.get("/devices")
        assert_pages_are_shown(server, *OF_A_DEVICE)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"audit": [ACTION | {"who": "\ud800"}]}, id="half a character"),
        pytest.param({"audit": [ACTION | {"at": "0001-01-01T00:00:00+14:00"}]}, id="before all time"),
        pytest.param({"policy": {"inForce": {"rollback": {"keep": 2**200}}}}, id="a number beyond all"),
        pytest.param({"policy": {"inForce": {"polling": {"rate": "0s"}}}}, id="no rate"),
        pytest.param({"policy": {"inForce": {"polling": {"rate": "9999999d"}}}}, id="a rate of ages"),
        pytest.param({"policy": {"inForce": {"downtime": ["daily 25:00-26:00"]}}}, id="no time of day"),
    ],
)
def test_odd_site_reports(server: ServerProcess, client: ForeignClient, members: dict[str, Any]) -> None:
    reply = client.report_site({"deviceId": "edge"} | members)
    assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)
    assert server.operator.get("/devices/edge")["contact"]["state"] == "in-contact"
    server.operator.get("/devices/edge/audit")
    assert_pages_are_shown(server, *OF_A_DEVICE)


@FEW
@given(
    text=st.text(max_size=60) | st.sampled_from(["polling: {rate: 5m}", "downtime: [daily]", "a: &a [*a]"])
)
def test_policies(server: ServerProcess, client: ForeignClient, text: str) -> None:
    answer = server.operator.request(
        "PUT", "/devices/edge/policy", body=text.encode(), media_type="application/yaml"
    )
    assert_foreseen(answer.status, answer.headers.get("content-type", ""), answer.body)
    reply = client.request("GET", "/edgewright/v1/policy")
    assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)


@FEW
@given(
    prefer=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.sampled_from(["wait=0", "wait=-1", "wait=1e9", "wait=", 'wait="', "wait;wait=1"])
)
def test_preferences(client: ForeignClient, prefer: str) -> None:
    headers = {"Prefer": prefer, "If-None-Match": '"old"'}
    reply = client.request("GET", "/api/v1/deployments", headers=headers)
    assert reply.status == 200


@pytest.mark.requirement("ERR-1")
@FEW
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    start=st.sampled_from(
        ["/", "/api/v1/deployments/", "/api/v1/bundles/", "/api/v1/capabilities/", "/edgewright/v1/"]
    ),
    rest=texts,
    accept=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_paths_and_headers(client: ForeignClient, method: str, start: str, rest: str, accept: str) -> None:
    reply = client.request(
        method, start + quote(rest, safe="/"), headers={"Accept": accept, "If-None-Match": accept}
    )
    if method != "HEAD":
        assert_foreseen(reply.status, reply.headers.get("content-type", ""), reply.body)


@FEW
@given(
    wish=changed(
        {"application": "hello", "version": "1.0.0", "device": "edge", "parameters": {"a": "b"}, "name": "x"}
    )
)
def test_wishes_of_operators(server: ServerProcess, client: ForeignClient, wish: dict[str, Any]) -> None:
    answer = server.operator.request("POST", "/deployments", wish)
    assert_foreseen(answer.status, answer.headers.get("content-type", ""), answer.body)
    if answer.status == 201:
        server.operator.delete(f"/deployments/{answer.json['id']}")


@FEW
@given(value=values)
def test_parameter_values(server: ServerProcess, deployment: str, value: Any) -> None:
    answer = server.operator.request("PUT", f"/deployments/{deployment}", {"parameters": {"a": value}})
    assert_foreseen(answer.status, answer.headers.get("content-type", ""), answer.body)


@pytest.mark.requirement("DS-7")
def test_changes_at_the_same_time_get_versions_of_their_own(
    server: ServerProcess, tmp_path: Path, unique: str
) -> None:
    token = server.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path) as client:
        client.report_capabilities(unique, capabilities(unique))
        wish = {"application": "hello", "version": "1.0.0", "device": unique}
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: server.operator.post("/deployments", wish), range(16)))
        manifest = client.poll().json
    assert sorted(one["manifest_version"] for one in made) == list(range(2, 18))
    assert manifest["manifestVersion"] == 17
    assert {one["deploymentId"] for one in manifest["deployments"]} == {one["id"] for one in made}
