"""Sources of packages against real registries and folders: what is found, told, kept and forgotten (spec:
REG-1 to REG-8).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.images import RegistryAccess
from support.packages import client_of, describing, publish, write_package
from support.processes import wait_until
from support.server_process import Answer, OperatorClient, ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("sources") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> OperatorClient:
    return server.operator


def look(operator: OperatorClient, name: str, *, again: bool = True) -> dict[str, Any]:
    """Look through a source, or wait for the look that goes on; return it when that has ended."""
    if again:
        operator.post(f"/sources/{name}/look")

    def ended() -> dict[str, Any] | None:
        shown: dict[str, Any] = operator.get(f"/sources/{name}")
        return shown if shown["status"]["state"] not in {"running", "never"} else None

    return wait_until(ended, what=f"looking through {name} did not end")


def add(operator: OperatorClient, name: str, **members: Any) -> dict[str, Any]:
    """Add a source that is looked through by hand, and wait for its first look."""
    made = operator.post("/sources", {"name": name, "every_minutes": None, **members})
    assert made["name"] == name
    return look(operator, name, again=False)


def offers(operator: OperatorClient, name: str) -> dict[str, dict[str, Any]]:
    """Return what a source has on offer by place."""
    found = operator.get(f"/sources/{name}/offers?limit=1000")
    assert found["next"] is None
    return {one["place"]: one for one in found["items"]}


def state_of(operator: OperatorClient, name: str, place: str) -> str:
    return str(offers(operator, name)[place]["state"])


def versions(operator: OperatorClient, application: str) -> set[str]:
    found = operator.get("/packages?limit=1000")
    items = found["items"] if isinstance(found, dict) else found
    return {one["version"] for one in items if one["id"] == application}


@pytest.mark.requirement("REG-1", "REG-2", "REG-3", "REG-4", "REG-6", "REG-7")
def test_every_version_in_a_repository_is_imported_and_a_new_one_with_the_next_look(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    for version in ("1.0.0", "1.1.0"):
        publish(registry, unique, version, describing(unique, version))
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    assert shown["status"]["state"] == "ok", shown
    assert shown["offers"] == {"imported": 2}
    assert versions(operator, unique) == {"1.0.0", "1.1.0"}
    publish(registry, unique, "1.2.0", describing(unique, "1.2.0"))
    assert look(operator, unique)["offers"] == {"imported": 3}
    assert versions(operator, unique) == {"1.0.0", "1.1.0", "1.2.0"}


@pytest.mark.requirement("REG-7")
def test_a_repository_with_more_tags_than_a_page_is_looked_through_whole(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    wanted = {f"1.0.{number}" for number in range(120)}
    for version in wanted:
        publish(registry, unique, version, describing(unique, version))
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    assert shown["offers"] == {"imported": 120}
    assert versions(operator, unique) == wanted


@pytest.mark.requirement("REG-7")
def test_a_pattern_finds_repositories_and_leaves_out_what_is_no_package(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    publish(registry, f"{unique}/shop", "1.0.0", describing(f"{unique}-shop"))
    publish(registry, f"{unique}/deep/er", "2.0.0", describing(f"{unique}-deeper", "2.0.0"))
    with client_of(registry) as client:
        for blob in (b"{}", b"layer"):
            client.push_blob(f"{unique}/image", blob)
        client.push_manifest(
            f"{unique}/image",
            "3.0.0",
            json.dumps(
                {
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {
                        "mediaType": "application/vnd.oci.image.config.v1+json",
                        "digest": client.push_blob(f"{unique}/image", b"{}"),
                        "size": 2,
                    },
                    "layers": [],
                }
            ).encode(),
            "application/vnd.oci.image.manifest.v1+json",
        )
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=[f"{unique}/*"])
    assert shown["status"]["state"] == "ok", shown
    assert shown["offers"] == {"imported": 2, "ignored": 1}
    assert "no application package" in json.dumps(offers(operator, unique)[f"{unique}/image:3.0.0"])


@pytest.mark.requirement("REG-6", "OP-28")
def test_a_second_tag_of_a_version_is_ignored_and_a_tag_that_lies_is_a_problem(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    publish(registry, unique, "1.0.0", describing(unique))
    publish(registry, unique, "latest", describing(unique))
    publish(registry, unique, "1.1.0", describing(unique, "1.0.9"))
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    assert shown["status"]["state"] == "problems"
    found = offers(operator, unique)
    assert found[f"{unique}:latest"]["state"] == "ignored"
    lying = found[f"{unique}:1.1.0"]
    assert lying["state"] == "bad"
    assert lying["problems"][0]["path"] == "$.metadata.version"
    assert "1.0.9" in lying["problems"][0]["message"]


def test_a_bad_package_is_told_with_every_reason_and_path_until_it_is_mended(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    broken = json.loads(describing(unique))
    broken["deploymentProfiles"][0]["components"][0]["properties"]["revision"] = "v1"
    broken["deploymentProfiles"][0]["components"][0]["name"] = "No Such"
    publish(registry, unique, "1.0.0", json.dumps(broken).encode())
    publish(registry, unique, "1.1.0", describing(unique, "1.1.0"))
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    assert (shown["status"]["state"], shown["offers"]) == ("problems", {"imported": 1, "bad": 1})

    def problems() -> list[dict[str, Any]]:
        listed = operator.get("/package-problems?limit=1000")["items"]
        return [one for one in listed if one["source"] == unique]

    assert problems()[0]["problems"][0]["path"].startswith("$.deploymentProfiles[0].components[0]")
    look(operator, unique)
    assert len(problems()) == 1
    publish(registry, unique, "1.0.0", describing(unique))
    assert look(operator, unique)["status"]["state"] == "ok"
    assert problems() == []
    assert versions(operator, unique) == {"1.0.0", "1.1.0"}


def test_other_content_under_a_known_version_is_told_and_not_taken_until_a_person_makes_room(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    publish(registry, unique, "1.0.0", describing(unique))
    add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    before = operator.get(f"/packages/{unique}/1.0.0")["digest"]
    publish(registry, unique, "1.0.0", describing(unique, parameters={}))
    shown = look(operator, unique)
    assert (shown["status"]["state"], shown["offers"]) == ("problems", {"changed": 1})
    assert operator.get(f"/packages/{unique}/1.0.0")["digest"] == before
    assert look(operator, unique)["offers"] == {"changed": 1}
    operator.delete(f"/packages/{unique}/1.0.0")
    assert look(operator, unique)["offers"] == {"imported": 1}
    assert operator.get(f"/packages/{unique}/1.0.0")["digest"] != before


def test_what_a_person_removed_does_not_come_back_by_itself(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    publish(registry, unique, "1.0.0", describing(unique))
    add(operator, unique, kind="registry", location=registry.host, repositories=[unique])
    operator.delete(f"/packages/{unique}/1.0.0")
    assert look(operator, unique)["offers"] == {"declined": 1}
    assert versions(operator, unique) == set()
    operator.post(f"/sources/{unique}/take", {"place": f"{unique}:1.0.0"})
    assert look(operator, unique, again=False)["offers"] == {"imported": 1}
    assert versions(operator, unique) == {"1.0.0"}


@pytest.mark.parametrize("prune", [False, True])
def test_a_version_removed_upstream_is_marked_and_removed_here_only_if_the_source_says_so(
    operator: OperatorClient, registry: RegistryAccess, unique: str, prune: bool
) -> None:
    digests = {
        version: publish(registry, unique, version, describing(unique, version))
        for version in ("1.0.0", "1.1.0")
    }
    add(operator, unique, kind="registry", location=registry.host, repositories=[unique], prune=prune)
    remove(registry, unique, digests["1.0.0"])
    shown = look(operator, unique)
    if prune:
        assert (shown["offers"], versions(operator, unique)) == ({"imported": 1}, {"1.1.0"})
    else:
        assert (shown["offers"], versions(operator, unique)) == (
            {"imported": 1, "gone": 1},
            {"1.0.0", "1.1.0"},
        )
        publish(registry, unique, "1.0.0", describing(unique))
        assert look(operator, unique)["offers"] == {"imported": 2}


def remove(registry: RegistryAccess, repository: str, digest: str) -> None:
    """Delete a manifest as a vendor would."""
    import http.client

    connection = http.client.HTTPConnection(registry.host, timeout=10)
    try:
        connection.request("DELETE", f"/v2/{repository}/manifests/{digest}")
        assert connection.getresponse().status == 202
    finally:
        connection.close()


@pytest.mark.requirement("REG-8")
def test_a_registry_with_its_own_authority_and_a_password_is_reached_and_the_password_is_never_shown(
    server: ServerProcess, operator: OperatorClient, secured_registry: RegistryAccess, unique: str
) -> None:
    assert secured_registry.ca is not None
    publish(secured_registry, unique, "1.0.0", describing(unique))
    place = {"kind": "registry", "location": secured_registry.host, "repositories": [unique]}
    shown = add(operator, unique, **place)
    assert shown["status"]["state"] == "failed"
    assert "certificate" in shown["status"]["message"]
    ca = Path(secured_registry.ca).read_text()
    operator.put(f"/sources/{unique}", {**place, "every_minutes": None, "ca": ca})
    shown = look(operator, unique, again=False)
    assert shown["status"]["state"] == "failed"
    assert f"wants credentials (source {unique})" in shown["status"]["message"]
    secret = {"username": secured_registry.username, "password": secured_registry.password}
    operator.put(f"/sources/{unique}", {**place, "every_minutes": None, "ca": ca, "credentials": secret})
    shown = look(operator, unique, again=False)
    assert (shown["status"]["state"], shown["offers"]) == ("ok", {"imported": 1})
    assert (shown["credentials"], shown["username"]) == ("password", secured_registry.username)
    kept = list((server.data / "sources").iterdir())
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    password = str(secured_registry.password)
    assert password not in json.dumps(shown)
    assert password.encode() not in (server.data / "edgewright.db").read_bytes()
    assert password not in server.output
    operator.put(f"/sources/{unique}", {**place, "every_minutes": None, "ca": ca})
    assert look(operator, unique)["status"]["state"] == "ok"
    operator.delete(f"/sources/{unique}")
    assert list((server.data / "sources").iterdir()) == []
    assert versions(operator, unique) == {"1.0.0"}


def test_a_folder_on_the_servers_disk_is_looked_through_with_its_archives(
    operator: OperatorClient, tmp_path: Path, unique: str
) -> None:
    import shutil

    write_package(tmp_path / "shop" / "a", describing(f"{unique}-a"))
    write_package(tmp_path / "b", describing(f"{unique}-b"))
    write_package(
        tmp_path / "work" / "c",
        describing(f"{unique}-c", files={"icon": "icon.svg"}),
        {"icon.svg": b"<svg/>"},
    )
    shutil.make_archive(str(tmp_path / "c"), "zip", tmp_path / "work", "c")
    shutil.make_archive(str(tmp_path / "d"), "gztar", tmp_path / "work", "c")
    shutil.rmtree(tmp_path / "work")
    write_package(tmp_path / "bad", b"apiVersion: v2\n")
    shown = add(operator, unique, kind="folder", location=str(tmp_path))
    assert shown["offers"] == {"imported": 4, "bad": 1}
    assert {place: one["state"] for place, one in offers(operator, unique).items()} == {
        "b": "imported",
        "bad": "bad",
        "c.zip": "imported",
        "d.tar.gz": "imported",
        "shop/a": "imported",
    }
    write_package(tmp_path / "bad", describing(f"{unique}-e"))
    assert look(operator, unique)["offers"] == {"imported": 5}


def test_links_do_not_lead_out_of_a_folder(operator: OperatorClient, tmp_path: Path, unique: str) -> None:
    (tmp_path / "secret").write_text("a key")
    folder = tmp_path / "packages"
    write_package(folder / "shop", describing(unique, files={"licenseFile": "license.txt"}))
    (folder / "shop" / "license.txt").symlink_to(tmp_path / "secret")
    shown = add(operator, unique, kind="folder", location=str(folder))
    assert shown["offers"] == {"bad": 1}
    assert "leads out of the folder" in json.dumps(offers(operator, unique))


def test_the_servers_own_data_is_no_folder_of_packages(
    server: ServerProcess, operator: OperatorClient, unique: str
) -> None:
    shown = add(operator, unique, kind="folder", location=str(server.data / "identity"))
    assert shown["status"]["state"] == "failed"
    assert "this server's own data" in shown["status"]["message"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param(
            {"kind": "registry", "location": "127.0.0.1:1", "repositories": ["a"]},
            "127.0.0.1:1",
            id="no registry",
        ),
        pytest.param({"kind": "folder", "location": "/nowhere/at/all"}, "/nowhere/at/all", id="no folder"),
    ],
)
def test_a_source_that_cannot_be_reached_says_so(
    operator: OperatorClient, unique: str, members: dict[str, Any], message: str
) -> None:
    shown = add(operator, unique, **members)
    assert shown["status"]["state"] == "failed"
    assert message in shown["status"]["message"]


def test_a_repository_that_is_not_there_is_named_and_the_others_are_imported(
    operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    publish(registry, unique, "1.0.0", describing(unique))
    names = [f"{unique}/missing", unique]
    shown = add(operator, unique, kind="registry", location=registry.host, repositories=names)
    assert (shown["status"]["state"], shown["offers"]) == ("failed", {"imported": 1})
    assert f"no repository {unique}/missing" in shown["status"]["message"]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"name": "No Such Name"}, "name"),
        ({"location": "registry.example/acme/shop"}, "location"),
        ({"location": "ftp://registry.example"}, "location"),
        ({"repositories": ["Acme"]}, "repositories[0]"),
        ({"every_minutes": 0}, "every_minutes"),
        ({"ca": "no certificate"}, "ca"),
        ({"credentials": {"username": "robot"}}, "credentials"),
        ({"credentials": {"token": "with blank"}}, "credentials.token"),
        ({"kind": "folder", "location": "relative/path"}, "location"),
        ({"kind": "folder", "location": "/srv", "repositories": ["a"]}, "repositories"),
        ({"kind": "ftp"}, "kind"),
        ({"colour": "blue"}, ""),
    ],
)
def test_what_is_wrong_with_a_source_is_said_field_by_field(
    operator: OperatorClient, members: dict[str, Any], field: str
) -> None:
    good = {"name": "good", "kind": "registry", "location": "registry.example"}
    answer = operator.request("POST", "/sources", {**good, **members})
    assert answer.status == 422, answer
    assert field in [one["field"] for one in answer.json["errors"]], answer.json
    assert operator.request("GET", "/sources/good").status == 404


def test_nobody_overwrites_a_change_of_a_source_they_have_not_seen(
    server: ServerProcess, operator: OperatorClient, registry: RegistryAccess, unique: str
) -> None:
    place = {"kind": "registry", "location": registry.host, "repositories": [unique], "every_minutes": None}
    operator.put(f"/sources/{unique}", place)
    look(operator, unique, again=False)
    assert operator.request("POST", "/sources", {"name": unique, **place}).status == 409
    seen = operator.request("GET", f"/sources/{unique}").headers["etag"]
    look(operator, unique)
    change = {**place, "prune": True}
    assert put(operator, f"/sources/{unique}", change, seen).status == 200
    assert put(operator, f"/sources/{unique}", place, seen).status == 412
    assert operator.get(f"/sources/{unique}")["prune"] is True


def put(operator: OperatorClient, path: str, value: Any, seen: str) -> Answer:
    return operator.request("PUT", path, value, headers={"If-Match": seen})


def test_a_rehearsal_changes_no_source_and_keeps_no_credentials(
    server: ServerProcess, operator: OperatorClient, unique: str
) -> None:
    before = set((server.data / "sources").glob("*"))
    wanted = {"kind": "registry", "location": "registry.example", "credentials": {"token": "abc"}}
    answer = operator.request("PUT", f"/sources/{unique}?dry_run=true", wanted)
    assert (answer.status, answer.json["credentials"]) == (201, "token")
    assert operator.request("GET", f"/sources/{unique}").status == 404
    assert set((server.data / "sources").glob("*")) == before


def test_a_source_that_is_due_is_looked_through_after_a_kill_in_the_middle(
    tmp_path: Path, registry: RegistryAccess, unique: str
) -> None:
    for number in range(30):
        publish(registry, unique, f"1.0.{number}", describing(unique, f"1.0.{number}"))
    with ServerProcess.create(tmp_path / "server") as server:
        place = {"kind": "registry", "location": registry.host, "repositories": [unique]}
        server.operator.put(f"/sources/{unique}", place)
        wait_until(lambda: versions(server.operator, unique), what="nothing was imported")
        server.kill()
        server.start()
        shown = look(server.operator, unique, again=False)
        wait_until(
            lambda: len(versions(server.operator, unique)) == 30, what=f"not all were imported: {shown}"
        )
