"""Repositories from the operator's side, with Git in the place of a device."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.foreign_client import ForeignClient, capabilities
from support.hosted import Git, basic, with_certificate, with_header
from support.operating import description, tar_of, upload
from support.processes import wait_until
from support.server_process import OperatorClient, ServerProcess

BUNDLE = "application/x-git-bundle"
POLICY = b"polling: {rate: 5m}\n"


@dataclass(frozen=True, slots=True)
class Scene:
    """A device that enrolled and has no repository yet."""

    server: ServerProcess
    device: ForeignClient
    name: str
    folder: Path

    @property
    def operator(self) -> OperatorClient:
        return self.server.operator

    @property
    def path(self) -> str:
        return f"/devices/{self.name}/repository"

    @property
    def authority(self) -> Path:
        return self.server.data / "identity" / "web-ca.pem"

    def entry(self) -> Any:
        return self.operator.get(self.path)

    def git(self) -> Git:
        return with_certificate(self.device, self.folder, self.authority)

    def clone(self) -> Git:
        self.git().good("clone", "--quiet", "--branch=desired", self.entry()["url"], "clone")
        return self.git().within(self.folder / "clone")

    def suggest(self, policy: bytes) -> None:
        answer = self.operator.request(
            "PUT", f"/devices/{self.name}/policy", body=policy, media_type="application/yaml"
        )
        assert answer.status < 300, answer.body

    def is_verified(self, git: Git, commit: str, signers: str) -> bool:
        path = self.folder / "signers"
        path.write_text(signers)
        told = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={path}", "verify-commit", commit)
        return git.run(*told).code == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(
        tmp_path_factory.mktemp("repositories") / "server", hosts_repositories=True
    ) as running:
        yield running


@pytest.fixture
def scene(server: ServerProcess, tmp_path: Path, unique: str) -> Iterator[Scene]:
    token = server.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as device:
        yield Scene(server, device, unique, tmp_path)


@pytest.mark.requirement("S-18", "S-22")
def test_a_hosted_repository_is_made_written_told_to_its_device_and_removed(scene: Scene) -> None:
    assert scene.operator.request("GET", scene.path).status == 404
    assert scene.device.request("GET", "/edgewright/v1/repository").status == 404
    assert scene.operator.request("PUT", scene.path, {"kind": "hosted"}).status == 201
    assert scene.operator.request("PUT", scene.path, {"kind": "hosted"}).status == 200
    entry = scene.entry()
    assert (entry["kind"], entry["problem"], entry["opened_by"]) == ("hosted", None, [])
    assert entry["url"] == f"{scene.server.git_url}/{scene.name}.git"

    told = scene.device.request("GET", "/edgewright/v1/repository").json
    assert (told["url"], told["kind"]) == (entry["url"], "hosted")
    assert told["ca"] == scene.authority.read_text()

    clone = scene.clone()
    assert clone.good("rev-parse", "HEAD") == entry["desired_commit"]
    assert scene.is_verified(clone, "HEAD", told["signers"])
    assert scene.operator.request("DELETE", scene.path).status == 204
    assert scene.operator.request("GET", scene.path).status == 404
    assert not (scene.server.data / "repositories" / f"{scene.name}.git").exists()
    assert scene.git().run("ls-remote", entry["url"]).code != 0


@pytest.mark.requirement("S-15", "S-18", "S-19")
def test_a_deployment_reaches_the_repository_and_its_status_comes_back_by_it(scene: Scene) -> None:
    scene.operator.put(scene.path, {"kind": "hosted"})
    clone = scene.clone()
    clone.good("checkout", "--quiet", "--orphan", "current")
    clone.good("rm", "--quiet", "-r", "-f", ".")
    clone.commit({"capabilities.json": json.dumps(capabilities(scene.name))})
    clone.good("push", "--quiet", "origin", "current")
    wait_until(
        lambda: bool(scene.operator.get(f"/devices/{scene.name}")["devices"]),
        what="the capabilities were not read",
    )
    assert (
        upload(
            scene.operator, tar_of({"margo.yaml": yaml.safe_dump(description(scene.name)).encode()})
        ).status
        < 300
    )
    made = scene.operator.post(
        "/deployments", {"application": scene.name, "version": "1.0.0", "device": scene.name}
    )
    wait_until(
        lambda: (
            f"deployments/{made['id']}.yaml" in clone.good("ls-tree", "-r", "--name-only", "FETCH_HEAD")
            if clone.run("fetch", "--quiet", "origin", "desired").code == 0
            else False
        ),
        what="the deployment was not written",
    )
    report = {
        "deploymentId": made["id"],
        "adoptedManifestVersion": 2,
        "status": {"state": "installed"},
        "components": [{"name": "app", "state": "installed"}],
    }
    clone.commit(
        {
            f"status/{made['id']}.json": json.dumps(report),
            "adopted.json": json.dumps(
                {
                    "manifestVersion": "2",
                    "commit": "a" * 40,
                    "refused": {"commit": "b" * 40, "reason": "is unsigned", "since": "2026-01-01T00:00:00Z"},
                }
            ),
            "site.json": "[]",
        }
    )
    clone.good("push", "--quiet", "origin", "current")
    wait_until(
        lambda: scene.operator.get(f"/deployments/{made['id']}")["current"] is not None,
        what="the status was not read",
    )
    entry = scene.entry()
    assert (entry["adopted_version"], entry["adopted_commit"]) == ("2", "a" * 40)
    assert entry["rejected"]["reason"] == "is unsigned"
    assert [one["path"] for one in entry["unread"]] == ["site.json"]
    listed = scene.operator.get("/repositories?problem=true&limit=1000")["items"]
    assert scene.name in [one["device"] for one in listed]


@pytest.mark.requirement("S-22", "GR-39")
def test_secrets_are_shown_once_open_the_repository_and_are_worthless_once_replaced(scene: Scene) -> None:
    scene.operator.put(scene.path, {"kind": "hosted"})
    made = scene.operator.post(f"{scene.path}/credentials", {"way": "basic"})
    assert (made["username"], made["url"]) == (scene.name, scene.entry()["url"])
    token = scene.operator.post(f"{scene.path}/credentials", {"way": "token"})
    assert token["username"] is None
    assert scene.entry()["opened_by"] == ["basic", "token"]

    def opens(header: str) -> bool:
        return with_header(header, scene.folder, scene.authority).run("ls-remote", made["url"]).code == 0

    assert opens(basic(scene.name, made["secret"]))
    assert opens(f"Authorization: Bearer {token['secret']}")
    newer = scene.operator.post(f"{scene.path}/credentials", {"way": "basic"})
    assert (opens(basic(scene.name, made["secret"])), opens(basic(scene.name, newer["secret"]))) == (
        False,
        True,
    )
    assert scene.operator.request("DELETE", f"{scene.path}/credentials/token").status == 204
    assert scene.operator.request("DELETE", f"{scene.path}/credentials/token").status == 404
    assert not opens(f"Authorization: Bearer {token['secret']}")
    told = str(scene.operator.get(f"/audit?subject={scene.name}&limit=1000"))
    assert "make repository secret" in told
    for secret in (made, token, newer):
        assert secret["secret"] not in told
        assert secret["secret"] not in scene.server.output


@pytest.mark.requirement("GR-26", "S-18")
def test_the_signing_key_is_replaced_in_every_repository_by_a_commit_of_the_old_one(scene: Scene) -> None:
    scene.operator.put(scene.path, {"kind": "hosted"})
    old = scene.operator.get("/repositories/signers")
    clone = scene.clone()
    first = clone.good("rev-parse", "HEAD")
    new = scene.operator.post("/repositories/signers/rotate")
    assert new["fingerprint"] != old["fingerprint"]
    wait_until(
        lambda: scene.operator.get("/repositories/signers")["repositories"] == 0,
        what="the repositories did not learn of the new key",
    )
    clone.good("pull", "--quiet", "--ff-only")
    assert scene.is_verified(clone, "HEAD", new["signers"])
    assert scene.is_verified(clone, "HEAD^", old["signers"])
    assert clone.good("rev-parse", "HEAD^^") == first
    assert (clone.folder / "signers").read_text() == new["signers"]
    assert scene.device.request("GET", "/edgewright/v1/repository").json["signers"] == new["signers"]


@pytest.mark.requirement("GR-49", "GR-50")
def test_bundles_carry_desired_out_and_current_in(scene: Scene) -> None:
    scene.operator.put(scene.path, {"kind": "hosted"})
    answer = scene.operator.request("GET", f"{scene.path}/bundle")
    assert (answer.status, answer.headers["content-type"]) == (200, BUNDLE)
    (scene.folder / "out.bundle").write_bytes(answer.body)
    local = with_header("X-Nothing: here", scene.folder, scene.authority)
    local.good("clone", "--quiet", "--branch=desired", "out.bundle", "site")
    site = local.within(scene.folder / "site")
    first = site.good("rev-parse", "HEAD")
    assert first == scene.entry()["desired_commit"]

    scene.suggest(POLICY)
    newer = scene.operator.request("GET", f"{scene.path}/bundle?since={first}")
    (scene.folder / "newer.bundle").write_bytes(newer.body)
    site.good("pull", "--quiet", "--ff-only", "../newer.bundle", "desired")
    assert (site.folder / "policy.yaml").read_bytes() == POLICY
    assert scene.operator.request("GET", f"{scene.path}/bundle?since={'0' * 40}").status == 404
    assert scene.operator.request("GET", f"{scene.path}/bundle?since=main").status == 422

    site.good("checkout", "--quiet", "--orphan", "current")
    site.good("rm", "--quiet", "-r", "-f", ".")
    head = site.commit({"site.json": f'{{"deviceId": "{scene.name}"}}'})

    def bring(*refs: str, query: str = "") -> Any:
        site.good("bundle", "create", "--quiet", "../in.bundle", *refs)
        body = (scene.folder / "in.bundle").read_bytes()
        return scene.operator.request("POST", f"{scene.path}/current{query}", body=body, media_type=BUNDLE)

    taken = bring("current").json
    assert (taken["is_new"], taken["repository"]["current_commit"]) == (True, head)
    assert bring("current").json["is_new"] is False
    assert scene.operator.get(f"/devices/{scene.name}")["site"] is not None

    assert "refs/heads/current" in str(bring("desired").json)
    for body in (b"", b"no bundle", (scene.folder / "in.bundle").read_bytes()[:-30]):
        wrong = scene.operator.request("POST", f"{scene.path}/current", body=body, media_type=BUNDLE)
        assert wrong.status == 422, wrong.body
        assert str(scene.server.data) not in wrong.body.decode()

    site.good("checkout", "--quiet", "--orphan", "anew")
    site.commit({"site.json": "{}"})
    site.good("branch", "-M", "anew", "current")
    refused = bring("current")
    assert (refused.status, "does not build on" in refused.json["detail"]) == (409, True)
    assert bring("current", query="?replace=true").json["is_new"] is True


def test_what_cannot_be_asked_is_told_with_the_way_out(scene: Scene) -> None:
    assert scene.operator.request("PUT", "/devices/nobody/repository", {"kind": "hosted"}).status == 404
    assert scene.operator.request("PUT", scene.path, {"kind": "external"}).status in {400, 422}
    assert scene.operator.request("POST", f"{scene.path}/credentials", {"way": "basic"}).status == 404
    scene.operator.delete(f"/devices/{scene.name}")
    retired = scene.operator.request("PUT", scene.path, {"kind": "hosted"})
    assert (retired.status, "retired" in retired.json["detail"]) == (409, True)


def test_without_a_listener_for_git_nothing_is_hosted_and_the_setting_is_named(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server") as server:
        token = server.operator.post("/enrollments", {"name": "edge-01"})["token"]
        with ForeignClient.enrolled(token, tmp_path / "device"):
            answer = server.operator.request("PUT", "/devices/edge-01/repository", {"kind": "hosted"})
    assert (answer.status, "git_listen" in answer.json["detail"]) == (409, True)
