"""The operator API: every route it describes, and what it answers to those who ask wrongly."""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgewright.server.operator_api.routes import HANDLERS
from support.foreign_client import ForeignClient, capabilities
from support.operating import assert_problem, description, package, tar_of, upload
from support.server_process import OperatorClient, ServerProcess

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("operator") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> OperatorClient:
    return server.operator


@pytest.fixture(scope="module")
def routes(operator: OperatorClient) -> list[tuple[str, str]]:
    """Method and path of every route the API describes, with parameters filled in."""
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    assert schema["openapi"].startswith("3.1")
    filled = {
        "{client_id}": "nobody",
        "{application_id}": "nothing",
        "{version}": "1",
        "{deployment_id}": NOWHERE,
        "{name}": "nothing",
        "{rollout_id}": NOWHERE,
        "{session_id}": "0",
        "{token_id}": "0",
    }
    found = []
    for template, methods in schema["paths"].items():
        path = reduce(lambda text, pair: text.replace(*pair), filled.items(), template)
        found += [(method.upper(), path) for method in methods]
    return found


@pytest.fixture
def device(operator: OperatorClient, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    token = operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        client.report_capabilities(unique, capabilities(unique))
        yield client


def test_the_api_describes_all_of_itself(operator: OperatorClient) -> None:
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    told = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    there = {
        ("/operator/v1" + re.sub(r":\w+}", "}", path), method.lower())
        for handler in HANDLERS
        if handler.include_in_schema is not False
        for path in handler.paths
        for method in handler.http_methods
    }
    assert told == there
    names = [one["operationId"] for methods in schema["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_everything_in_the_description_is_explained_with_an_example(operator: OperatorClient) -> None:
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    tags = {tag["name"] for tag in schema["tags"]}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert set(operation["tags"]) <= tags, where
            assert [one["name"] for one in operation.get("parameters", []) if not one["description"]] == [], (
                where
            )
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media_type, content in (item for one in bodies for item in one.get("content", {}).items()):
                is_told = media_type in {"application/gzip", "application/zip"} or "examples" in content
                assert is_told or not media_type.endswith("json"), (where, media_type)
    unexplained = [
        name
        for name, one in schema["components"]["schemas"].items()
        if "description" not in one and not name.startswith("Page_")
    ]
    assert unexplained == []


def test_every_path_says_which_methods_it_has(operator: OperatorClient) -> None:
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    for path, methods in schema["paths"].items():
        answer = operator.request("OPTIONS", re.sub(r"{\w+}", "0", path), prefix="")
        assert answer.headers["allow"].split(", ") == sorted({*map(str.upper, methods), "OPTIONS"}), path


def test_the_description_says_what_is_expected_and_what_errors_look_like(operator: OperatorClient) -> None:
    schema = operator.request("GET", "/operator/schema/openapi.json", prefix="").json
    create = schema["paths"]["/operator/v1/deployments"]["post"]
    reference = create["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    wanted = schema["components"]["schemas"][reference.rpartition("/")[2]]
    assert wanted["required"] == ["application", "version", "device"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
            assert operation["security"] == [{"token": []}, {"session": []}]
    upload_body = schema["paths"]["/operator/v1/packages"]["post"]["requestBody"]["content"]
    assert list(upload_body) == ["application/gzip"]
    policy_body = schema["paths"]["/operator/v1/policy"]["put"]["requestBody"]["content"]
    assert list(policy_body) == ["application/yaml"]


@pytest.mark.parametrize("token", ["", "wrong", "ewo1." + "A" * 43])
def test_no_route_opens_without_the_token(
    operator: OperatorClient, routes: list[tuple[str, str]], token: str
) -> None:
    for method, path in routes:
        answer = operator.request(method, path, prefix="", token=token)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.requirement("ERR-1")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/devices/nobody", 404),
        ("DELETE", "/devices/nobody", 404),
        ("GET", "/devices/nobody/audit", 404),
        ("GET", "/devices/nobody/policy", 404),
        ("DELETE", "/devices/nobody/policy", 404),
        ("DELETE", "/devices/*/policy", 404),
        ("GET", "/policy", 404),
        ("DELETE", "/policy", 404),
        ("GET", "/packages/nothing/1", 404),
        ("DELETE", "/packages/nothing/1", 404),
        ("GET", f"/deployments/{NOWHERE}", 404),
        ("DELETE", f"/deployments/{NOWHERE}", 404),
        ("GET", f"/deployments/{NOWHERE}/history", 404),
        ("GET", "/nothing", 404),
        ("PATCH", "/devices", 405),
        ("GET", "/deployments?removed=perhaps", 400),
    ],
)
def test_what_is_not_there_is_a_problem(
    operator: OperatorClient, method: str, path: str, status: int
) -> None:
    assert_problem(operator.request(method, path), status)


@pytest.mark.parametrize(
    ("method", "path", "value", "field"),
    [
        ("POST", "/enrollments", {}, ""),
        ("POST", "/enrollments", {"name": 3}, "name"),
        ("POST", "/enrollments", {"name": "a/b"}, "name"),
        ("POST", "/enrollments", {"name": ".."}, "name"),
        ("POST", "/enrollments", {"name": "edge", "valid_minutes": 0}, "valid_minutes"),
        ("POST", "/enrollments", {"name": "edge", "valid_minutes": 10**9}, "valid_minutes"),
        ("POST", "/enrollments", {"name": "edge", "minutes": 5}, ""),
        ("POST", "/devices/a%20b/accept", None, "client_id"),
        ("POST", "/packages/import", {"reference": "not a reference"}, "reference"),
        ("POST", "/packages/import", {"reference": "oci://registry.test/shop"}, "reference"),
        ("POST", "/deployments", {"application": "nothing", "version": "1", "device": "nobody"}, "device"),
        ("POST", "/deployments", {"application": "nothing"}, ""),
        ("PUT", f"/deployments/{NOWHERE}", {"parameters": {"a": {"b": 1}}}, "parameters.a"),
    ],
)
def test_a_wrong_request_names_its_field(
    operator: OperatorClient, method: str, path: str, value: Any, field: str
) -> None:
    answer = operator.request(method, path, value)
    assert_problem(answer, 422)
    assert [error["field"] for error in answer.json["errors"]] == [field]


@pytest.mark.parametrize("path", ["/enrollments", "/packages/import", "/deployments"])
def test_a_body_that_is_no_json_is_a_bad_request(operator: OperatorClient, path: str) -> None:
    assert_problem(operator.request("POST", path, body=b"{"), 400)
    assert_problem(operator.request("POST", path, body=b"\xff\xfe"), 400)


@pytest.mark.requirement("ON-2")
def test_invitations_are_listed_without_their_secret(operator: OperatorClient, unique: str) -> None:
    made = operator.post("/enrollments", {"name": unique, "valid_minutes": 5})
    listed = next(one for one in operator.items("/enrollments") if one["name"] == unique)
    assert (listed["state"], listed["expires"]) == ("open", made["expires"])
    assert "token" not in listed


def test_a_device_is_shown_with_what_it_reported(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    shown = operator.get(f"/devices/{unique}")
    assert (shown["admission"], shown["origin"], shown["manifest_version"]) == ("accepted", "enrolled", 1)
    assert shown["devices"][0]["capabilities"] == capabilities(unique)
    assert shown["last_contact"] is not None
    listed = next(one for one in operator.items("/devices") if one["client_id"] == unique)
    assert (listed["device_ids"], listed["deployments"]) == ([unique], {})


@pytest.mark.requirement("ON-2", "ID-20", "ID-21")
def test_accepting_is_created_once(operator: OperatorClient, unique: str) -> None:
    assert operator.request("POST", f"/devices/{unique}/accept").status == 201
    assert operator.request("POST", f"/devices/{unique}/accept").status == 200
    assert operator.get(f"/devices/{unique}")["origin"] == "foreign"


def test_a_retired_device_takes_no_deployment(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    upload(operator, package(unique))
    operator.delete(f"/devices/{unique}")
    wish = {"application": unique, "version": "1.0.0", "device": unique}
    assert_problem(operator.request("POST", "/deployments", wish), 409, "retired")
    assert operator.get(f"/devices/{unique}")["state"] == "retired"


@pytest.mark.requirement("PKG-4", "EXT-2")
def test_a_package_is_kept_as_its_author_made_it(operator: OperatorClient, unique: str) -> None:
    text = description(unique, icon="./resources/icon.png") | {"x-acme-extensions": {"a": 1}}
    files = {
        "folder/margo.yaml": yaml.safe_dump(text).encode(),
        "folder/resources/icon.png": b"png",
        "folder/notes.txt": b"named by nobody",
    }
    answer = upload(operator, tar_of(files))
    assert answer.status == 201, answer.body
    assert upload(operator, tar_of(files)).status == 200
    shown = operator.get(f"/packages/{unique}/1.0.0")
    assert (shown["description"], shown["files"]) == (text, ["resources/icon.png"])
    assert unique in [one["id"] for one in operator.items("/packages")]
    operator.delete(f"/packages/{unique}/1.0.0")
    assert operator.request("GET", f"/packages/{unique}/1.0.0").status == 404


def test_a_version_never_changes_its_content(operator: OperatorClient, unique: str) -> None:
    assert upload(operator, package(unique)).status == 201
    other = description(unique) | {"metadata": description(unique)["metadata"] | {"description": "changed"}}
    answer = upload(operator, tar_of({"margo.yaml": yaml.safe_dump(other).encode()}))
    assert_problem(answer, 409, "new version")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.requirement("CMP-9", "PKG-6", "VER-2", "OP-28")
@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param({}, "margo.yaml", id="empty archive"),
        pytest.param({"a/margo.yaml": b"", "b/x": b""}, "margo.yaml", id="two top directories"),
        pytest.param({"margo.yaml": b"- 1\n"}, "margo.yaml", id="description that is a list"),
        pytest.param({"margo.yaml": b"a: [1\n"}, "margo.yaml", id="description that is no YAML"),
        pytest.param({"../margo.yaml": b""}, "../margo.yaml", id="path upwards"),
        pytest.param({"/margo.yaml": b""}, "/margo.yaml", id="absolute path"),
        pytest.param({"x": link("x", "/etc/passwd")}, "x", id="link out of the package"),
        pytest.param({"x": link("x", "", tarfile.CHRTYPE)}, "x", id="device node"),
        pytest.param(
            {"margo.yaml": yaml.safe_dump(description("a") | {"apiVersion": "v2"}).encode()},
            "apiVersion",
            id="version of the format nobody knows",
        ),
        pytest.param(
            {"margo.yaml": yaml.safe_dump(description("a", icon="icon.png")).encode()},
            "metadata.catalog.application.icon",
            id="file that is not there",
        ),
        pytest.param(
            {"margo.yaml": yaml.safe_dump(description("a", "1 0")).encode()},
            "metadata.version",
            id="version that is no tag",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_refused_with_the_place(
    operator: OperatorClient, files: Mapping[str, bytes | tarfile.TarInfo], told: str
) -> None:
    answer = upload(operator, tar_of(files))
    assert answer.status in {400, 422}
    assert_problem(answer, answer.status, told)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"PK\x03\x04 a zip", id="another format"),
        pytest.param(package("a")[:-20], id="cut off"),
        pytest.param(os.urandom(4096), id="noise"),
    ],
)
def test_an_archive_that_is_none_is_refused(operator: OperatorClient, body: bytes) -> None:
    assert_problem(upload(operator, body), 422)


def test_a_package_in_use_stays(operator: OperatorClient, device: ForeignClient, unique: str) -> None:
    upload(operator, package(unique))
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    assert_problem(operator.request("DELETE", f"/packages/{unique}/1.0.0"), 409, made["id"])
    operator.delete(f"/deployments/{made['id']}")
    assert operator.request("DELETE", f"/packages/{unique}/1.0.0").status == 204
    assert operator.get(f"/deployments/{made['id']}")["state"] == "removing"


@pytest.mark.parametrize(
    ("members", "field", "told"),
    [
        pytest.param({"version": "9"}, "version", "is here as 1.0.0", id="version nobody imported"),
        pytest.param({"application": "nothing"}, "application", "no package", id="unknown package"),
        pytest.param({"device_id": "other"}, "device_id", "is none of", id="unknown device"),
        pytest.param({"profile": "helm"}, "profile", "is none of compose", id="unknown profile"),
        pytest.param({"name": "Not A Name"}, "name", "lower-case", id="unusable name"),
    ],
)
def test_a_deployment_that_cannot_be_made_says_why(
    operator: OperatorClient, device: ForeignClient, unique: str, members: Any, field: str, told: str
) -> None:
    upload(operator, package(unique))
    wish = {"application": unique, "version": "1.0.0", "device": unique, **members}
    answer = operator.request("POST", "/deployments", wish)
    assert_problem(answer, 422, told)
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_a_device_that_has_said_nothing_yet_takes_no_deployment(
    operator: OperatorClient, unique: str
) -> None:
    upload(operator, package(unique))
    operator.post(f"/devices/{unique}/accept")
    wish = {"application": unique, "version": "1.0.0", "device": unique}
    assert_problem(operator.request("POST", "/deployments", wish), 422, "has not reported its capabilities")


def test_names_of_deployments_are_unique_on_a_device(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    upload(operator, package(unique))
    wish = {"application": unique, "version": "1.0.0", "device": unique, "name": "shop"}
    first = operator.post("/deployments", wish)
    assert_problem(operator.request("POST", "/deployments", wish), 409, first["id"])
    operator.delete(f"/deployments/{first['id']}")
    assert operator.request("POST", "/deployments", wish).status == 201


@pytest.mark.requirement("DS-9")
def test_a_newer_version_keeps_the_deployment_and_changes_its_digest(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    upload(operator, package(unique))
    newer = description(unique, "1.1.0")
    newer["deploymentProfiles"][0]["components"][0]["properties"]["revision"] = "1.1.0"
    upload(operator, tar_of({"margo.yaml": yaml.safe_dump(newer).encode()}))
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    changed = operator.put(f"/deployments/{made['id']}", {"version": "1.1.0"})
    assert (changed["id"], changed["version"], changed["manifest_version"]) == (made["id"], "1.1.0", 3)
    assert changed["digest"] != made["digest"]
    assert changed["desired"]["components"][0]["revision"] == "1.1.0"


def test_a_deleted_deployment_cannot_be_changed(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    upload(operator, package(unique))
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    path = f"/deployments/{made['id']}"
    deleted = operator.delete(path)
    assert operator.delete(path) == deleted
    assert_problem(operator.request("PUT", path, {"parameters": {}}), 409, "deleted")


@pytest.mark.requirement("OP-15", "ST-20")
def test_a_report_may_name_any_version_of_64_bits(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    upload(operator, package(unique))
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    assert device.report_status(made["id"], "installed", 2**64 - 1).status == 201
    shown = operator.get(f"/deployments/{made['id']}")
    assert shown["current"]["adopted_manifest_version"] == 2**64 - 1


@pytest.mark.requirement("API-7")
def test_one_client_reads_and_writes_nothing_of_another(
    operator: OperatorClient, device: ForeignClient, tmp_path: Path, unique: str
) -> None:
    upload(operator, package(unique))
    made = operator.post("/deployments", {"application": unique, "version": "1.0.0", "device": unique})
    manifest = device.poll().json
    token = operator.post("/enrollments", {"name": f"{unique}-b"})["token"]
    with ForeignClient.enrolled(token, tmp_path / "other") as other:
        assert other.request("GET", manifest["deployments"][0]["url"]).status == 404
        assert other.request("GET", manifest["bundle"]["url"]).status == 404
        assert other.report_status(made["id"], "installed", 2).status == 422
    assert operator.get(f"/deployments/{made['id']}")["current"] is None
