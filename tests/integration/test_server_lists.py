"""Lists of the operator API in pages, and changes that are refused because somebody else was quicker."""

import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from support.foreign_client import ForeignClient, capabilities
from support.operating import assert_problem, package, upload
from support.server_process import OperatorClient, ServerProcess

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("lists") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> OperatorClient:
    """A server with two devices, two applications in three versions, and a deployment of each on each."""
    operator = server.operator
    for application in ("kiosk", "shop"):
        for version in VERSIONS:
            assert upload(operator, package(application, version)).status == 201
    for device in ("edge-01", "edge-02"):
        token = operator.post("/enrollments", {"name": device})["token"]
        with ForeignClient.enrolled(token, tmp_path_factory.mktemp("devices") / device) as client:
            client.report_capabilities(device, capabilities(device))
        for application, version in (("kiosk", "1.0.0"), ("shop", "1.1.0")):
            wish = {"application": application, "version": version, "device": device}
            operator.post("/deployments", wish)
    operator.post("/enrollments", {"name": "edge-03"})
    return operator


def read_all(operator: OperatorClient, path: str, limit: int) -> list[list[Any]]:
    """Return the pages of a list as somebody reads them who follows `next`."""
    pages, after = [], ""
    while True:
        page = operator.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{after}")
        pages.append(page["items"])
        assert page["total"] >= sum(map(len, pages))
        if page["next"] is None:
            assert page["total"] == sum(map(len, pages))
            return pages
        after = f"&after={page['next']}"


@pytest.mark.parametrize(
    ("path", "sizes"),
    [
        ("/packages", [4, 2]),
        ("/packages?application=shop", [3]),
        ("/packages?q=SHO", [3]),
        ("/packages?q=nothing", [0]),
        ("/deployments", [4]),
        ("/deployments?device=edge-01", [2]),
        ("/deployments?application=shop&device=edge-02", [1]),
        ("/deployments?version=1.1.0", [2]),
        ("/deployments?q=KIOSK", [2]),
        ("/deployments?q=%25", [0]),
        ("/deployments?state=waiting", [4]),
        ("/deployments?state=converged", [0]),
        ("/enrollments", [3]),
        ("/enrollments?state=open", [1]),
        ("/enrollments?state=used&q=edge-02", [1]),
    ],
)
def test_a_list_is_what_its_filters_let_through_page_by_page(
    operator: OperatorClient, path: str, sizes: list[int]
) -> None:
    by_four = read_all(operator, path, 4)
    assert [len(page) for page in by_four] == sizes
    flat = [entry for page in by_four for entry in page]
    assert [entry for page in read_all(operator, path, 1) for entry in page] == flat


def test_the_last_page_of_a_full_list_is_not_followed_by_an_empty_one(operator: OperatorClient) -> None:
    assert [len(page) for page in read_all(operator, "/packages", 3)] == [3, 3]
    assert [len(page) for page in read_all(operator, "/deployments", 2)] == [2, 2]


@pytest.mark.parametrize("path", ["/packages", "/deployments", "/enrollments"])
@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 400, "limit"),
        ("limit=1001", 400, "limit"),
        ("limit=many", 400, "limit"),
        ("after=%00", 422, "after"),
        ("after=%C3%A4", 422, "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused_with_the_parameter(
    operator: OperatorClient, path: str, query: str, status: int, field: str
) -> None:
    answer = operator.request("GET", f"{path}?{query}")
    assert_problem(answer, status)
    assert [one["field"] for one in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/deployments?state=fine", "state"),
        ("/deployments?removed=perhaps", "removed"),
        ("/enrollments?state=x", "state"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_by_its_name(
    operator: OperatorClient, path: str, field: str
) -> None:
    answer = operator.request("GET", path)
    assert_problem(answer, 400)
    assert [one["field"] for one in answer.json["errors"]] == [field]


@pytest.fixture
def deployed(operator: OperatorClient, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    """A device of its own, with a deployment; `path` of it is in `deployment`."""
    token = operator.post("/enrollments", {"name": unique})["token"]
    upload(operator, package(unique, "1.0.0"))
    upload(operator, package(unique, "1.1.0"))
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        client.report_capabilities(unique, capabilities(unique))
        yield client
    for one in operator.items(f"/deployments?device={unique}"):
        operator.delete(f"/deployments/{one['id']}")


def test_a_change_nobody_has_seen_is_not_overwritten(
    operator: OperatorClient, deployed: ForeignClient, unique: str
) -> None:
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    path = f"/deployments/{made['id']}"
    seen = operator.request("GET", path).headers["etag"]
    first = operator.request("PUT", path, {"version": "1.1.0"}, headers={"If-Match": seen})
    assert first.status == 200
    assert_problem(operator.request("PUT", path, {"version": "1.0.0"}, headers={"If-Match": seen}), 412)
    assert_problem(operator.request("DELETE", path, headers={"If-Match": seen}), 412)
    assert operator.get(path)["version"] == "1.1.0"
    now = first.headers["etag"]
    assert operator.request("DELETE", path, headers={"If-Match": f'"other", {now}'}).status == 200


def test_what_a_device_reports_is_news_and_no_reason_to_refuse_a_change(
    operator: OperatorClient, deployed: ForeignClient, unique: str
) -> None:
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    path = f"/deployments/{made['id']}"
    seen = operator.request("GET", path).headers["etag"]
    assert operator.request("GET", path, headers={"If-None-Match": seen}).status == 304
    deployed.report_status(made["id"], "installing", made["manifest_version"])
    assert operator.request("GET", path, headers={"If-None-Match": seen}).status == 200
    changed = operator.request("PUT", path, {"version": "1.1.0"}, headers={"If-Match": seen})
    assert changed.status == 200


def test_a_policy_nobody_has_seen_is_not_overwritten(operator: OperatorClient) -> None:
    def put(text: str, seen: str | None = None) -> int:
        body, headers = text.encode(), {} if seen is None else {"If-Match": seen}
        answer = operator.request(
            "PUT", "/devices/edge-01/policy", body=body, media_type="application/yaml", headers=headers
        )
        return answer.status

    assert put("polling: {rate: 60s}") == 201
    seen = operator.request("GET", "/devices/edge-01/policy").headers["etag"]
    assert put("polling: {rate: 90s}", seen) == 200
    assert put("polling: {rate: 30s}", seen) == 412
    assert "90s" in operator.get("/devices/edge-01/policy")["text"]
    gone = operator.request("DELETE", "/devices/edge-01/policy", headers={"If-Match": seen})
    assert_problem(gone, 412)
    assert operator.request("DELETE", "/devices/edge-01/policy").status == 204


def test_a_package_is_deleted_only_as_it_was_seen(operator: OperatorClient, unique: str) -> None:
    upload(operator, package(unique))
    path = f"/packages/{unique}/1.0.0"
    seen = operator.request("GET", path).headers["etag"]
    assert operator.request("GET", path, headers={"If-None-Match": seen}).status == 304
    assert_problem(operator.request("DELETE", path, headers={"If-Match": '"sha256:other"'}), 412)
    assert operator.request("DELETE", path, headers={"If-Match": seen}).status == 204


def test_every_list_is_a_page(operator: OperatorClient) -> None:
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    for path, methods in schema["paths"].items():
        content = methods.get("get", {"responses": {}})["responses"].get("200", {}).get("content", {})
        assert content.get("application/json", {}).get("schema", {}).get("type") != "array", path


def test_whatever_takes_a_tag_refuses_another_one(operator: OperatorClient, tmp_path: Path) -> None:
    """As the description says it: with the example of each body, on things that are there."""
    operator.put("/sources/tagged", {"kind": "folder", "location": str(tmp_path), "every_minutes": None})
    operator.post("/users", {"name": "tagged"})
    spec = {"application": "shop", "version": "1.0.0", "target": {"devices": ["edge-01"]}}
    operator.put("/assignments/tagged", spec)
    body = b"polling: {rate: 60s}"
    for path in ("/policy", "/devices/edge-01/policy"):
        operator.request("PUT", path, body=body, media_type="application/yaml")
    (deployment, *_) = operator.items("/deployments?device=edge-01&q=kiosk")
    names = {
        "{name}": "tagged",
        "{client_id}": "edge-01",
        "{application_id}": "kiosk",
        "{version}": "1.2.0",
        "{deployment_id}": deployment["id"],
    }
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    tried = set()
    for template, methods in schema["paths"].items():
        for method, operation in methods.items():
            if "If-Match" not in [one["name"] for one in operation.get("parameters", [])]:
                continue
            if method == "delete" and "/repository" in template:
                continue  # there is none here to delete; test_server_repositories has one
            path = reduce(lambda text, pair: text.replace(*pair), names.items(), template)
            content = operation.get("requestBody", {}).get("content", {})
            for media_type, described in content.items() or [("application/json", None)]:
                shown = described and next(iter(described["examples"].values()))["value"]
                answer = operator.request(
                    method.upper(),
                    path,
                    body=json.dumps(known(template) or shown).encode() if shown else None,
                    media_type=media_type,
                    prefix="",
                    headers={"If-Match": '"sha256:other"'},
                )
                assert answer.status == 412, (method, path, answer.body)
                tried.add(template.split("/")[3])
    assert {"devices", "deployments", "packages", "policy", "sources", "assignments", "users"} <= tried


def known(template: str) -> dict[str, Any]:
    """Return a body for this path that is about things that are there; empty where the example is one."""
    if "/assignments/" not in template:
        return {}
    return {"application": "shop", "version": "1.0.0", "target": {"devices": ["edge-01"]}}
