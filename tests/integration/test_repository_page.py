"""Git repositories on the pages: hosted ones, those on other Git servers, and the list of all."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from edgewright.protocol.enrollment import EnrollmentToken
from support.browser import visit
from support.certificates import Authority
from support.external_scene import Scene, upload
from support.foreign_client import ForeignClient
from support.git_backend import GitBackend
from support.hosted import basic, with_header
from support.people import sign_in
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess.create(tmp_path_factory.mktemp("repository") / "server", hosts_repositories=True)
    with made as running:
        yield running


@pytest.fixture(scope="module")
def device(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignClient]:
    token = server.operator.post("/enrollments", {"name": "line-4"})["token"]
    with ForeignClient.enrolled(token, tmp_path_factory.mktemp("device") / "line-4") as client:
        yield client


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_person_hosts_a_repository_makes_a_password_once_and_removes_it(
    chromium: Browser, server: ServerProcess, tmp_path: Path, width: int, scheme: str
) -> None:
    ada = visit(chromium, server, "operator", width=width, scheme=scheme)  # type: ignore[arg-type]
    ada.go("/devices/line-4")
    ada.page.get_by_role("button", name="Host a repository").click()
    part = ada.page.locator("#repository")
    part.get_by_text("hosted here").wait_for()
    ada.picture(f"repository-{width}-{scheme}")
    part.get_by_role("button", name="New password…").click()
    dialog = ada.page.locator("#make-password")
    dialog.get_by_text("It is shown once").wait_for()
    ada.picture(f"repository-dialog-{width}-{scheme}")
    dialog.get_by_role("button", name="Make the password").click()
    ada.page.get_by_text("shown once").first.wait_for()
    ada.picture(f"repository-secret-{width}-{scheme}")
    assert ada.faults() == []
    secret = ada.page.locator(".copy code").first.inner_text()
    url = server.operator.get("/devices/line-4/repository")["url"]
    git = with_header(basic("line-4", secret), tmp_path, server.data / "identity" / "web-ca.pem")
    assert "refs/heads/desired" in git.good("ls-remote", url)
    ada.go("/devices/line-4")
    assert secret not in ada.page.content()
    ada.page.locator("#repository").get_by_role("button", name="Remove…").click()
    ada.page.locator("#remove-repository").get_by_role("button", name="Remove the repository").click()
    ada.page.get_by_text("has no Git repository any more").first.wait_for()
    assert git.run("ls-remote", url).code != 0
    assert ada.complaints == []


@pytest.mark.usefixtures("device")
def test_a_viewer_sees_how_it_stands_and_can_change_nothing(server: ServerProcess) -> None:
    server.operator.put("/devices/line-4/repository", {"kind": "hosted"})
    viewer = sign_in(server, "viewer")
    shown = viewer.get("/devices/line-4").body.decode()
    assert 'id="repository"' in shown
    assert "New password" not in shown
    for path in ("repository", "repository/remove", "repository/credentials"):
        assert viewer.post(f"/devices/line-4/{path}", {"way": "basic"}).status == 403
    server.operator.delete("/devices/line-4/repository")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[GitBackend]:
    with GitBackend(tmp_path / "git", Authority.create("example.org")) as running:
        yield running


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (360, "light")])
def test_an_administrator_keeps_a_repository_on_another_git_server_and_changes_its_way_in(
    chromium: Browser, server: ServerProcess, backend: GitBackend, unique: str, width: int, scheme: str
) -> None:
    operator, device = server.operator, unique
    with ForeignClient.enrolled(
        operator.post("/enrollments", {"name": device})["token"], backend.directory / "device"
    ):
        pass
    url = backend.make(device)
    backend.needs = "Bearer right-token"
    ada = visit(chromium, server, "admin", width=width, scheme=scheme)  # type: ignore[arg-type]
    ada.go(f"/devices/{device}")
    ada.page.locator("#repository").get_by_role("link", name="Use another Git server").click()
    ada.page.get_by_label("Address").fill(url)
    ada.page.get_by_label("A token", exact=True).check()
    ada.page.get_by_label("Token", exact=True).fill("wrong-token")
    ada.page.get_by_text("Certificate authority and proxy").click()
    ada.page.get_by_label("Certificate authority").fill(backend.ca.replace("\n", "\r\n"))
    assert ada.faults() == []
    ada.page.get_by_role("button", name="Try it and keep it there").click()
    ada.page.get_by_role("alert").first.wait_for()
    ada.picture(f"external-refused-{width}-{scheme}")
    told = ada.page.get_by_role("alert").first.inner_text()
    assert "Address" in told
    assert "401" in told or "credentials" in told
    assert "wrong-token" not in ada.page.content()
    assert ada.page.get_by_label("Address").input_value() == url
    assert ada.faults() == []
    # A document that answers a form with 422 is told of on the console.
    ada.complaints = [one for one in ada.complaints if "422" not in one]
    ada.page.get_by_label("Token", exact=True).fill("right-token")
    ada.page.get_by_role("button", name="Try it and keep it there").click()
    part = ada.page.locator("#repository")
    part.get_by_text("on another Git server").wait_for()
    ada.picture(f"external-{width}-{scheme}")
    assert backend.git("rev-parse", "refs/heads/desired", at=backend.path(device))
    part.get_by_role("link", name="Change").click()
    assert ada.page.get_by_label("Those that are kept (a token)").is_checked()
    ada.page.get_by_label("Ask for news every").fill("7")
    ada.picture(f"external-form-{width}-{scheme}")
    ada.page.get_by_role("button", name="Try and save").click()
    part.get_by_text("on another Git server").wait_for()
    shown = operator.get(f"/devices/{device}/repository/external")
    assert (shown["minutes"], shown["credentials"], shown["ca"]) == (7, "bearer", backend.ca.strip())
    part.get_by_role("button", name="New webhook secret…").click()
    ada.page.locator("#make-webhook").get_by_role("button", name="Make the secret").click()
    ada.page.get_by_text("shown once").first.wait_for()
    ada.picture(f"external-webhook-{width}-{scheme}")
    secret = ada.page.locator(".copy code").nth(1).inner_text()
    ada.go(f"/devices/{device}")
    assert secret not in ada.page.content()
    part.get_by_role("button", name="Ask for news now").click()
    ada.page.get_by_text("was asked for news").first.wait_for()
    assert ada.complaints == []


def test_what_was_rewritten_is_joined_from_the_page(
    chromium: Browser, server: ServerProcess, backend: GitBackend, tmp_path: Path, unique: str
) -> None:
    upload(server)
    scene = Scene.create(server, backend, tmp_path / "scene", unique)
    person = scene.person()
    person.change({"README.md": "mine"}, "rewritten", "--amend")
    person.push("--force")
    theirs = scene.head()
    scene.look()
    ada = visit(chromium, server, "operator")
    ada.go("/repositories?show=problem")
    ada.picture("repositories-1280-light")
    assert ada.faults() == []
    ada.page.get_by_role("link", name=unique).click()
    ada.page.get_by_text("Go on after the branch was rewritten").wait_for()
    ada.picture("external-rewritten-1280-light")
    ada.page.get_by_role("button", name="Join…").click()
    ada.page.locator("#join-branch").get_by_role("button", name="Join them").click()
    ada.page.get_by_text("Both histories are joined").first.wait_for()
    assert ada.page.get_by_text("Go on after the branch was rewritten").count() == 0
    parents = backend.git("log", "-1", "--format=%P", "desired", at=backend.path(unique)).split()
    assert theirs in parents
    answer = sign_in(server, "operator").post(f"/devices/{unique}/repository/restore", {"how": "join"})
    assert answer.status == 409
    assert "rewr" in answer.body.decode()
    assert ada.complaints == []


def test_a_key_of_ssh_typed_into_a_page_arrives_as_ssh_keygen_made_it(
    server: ServerProcess, backend: GitBackend, tmp_path: Path, unique: str
) -> None:
    token = server.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device"):
        pass
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ada = sign_in(server, "admin")
    typed = {
        "url": "ssh://git@127.0.0.1:1/fleet.git",
        "how": "ssh",
        "ssh_key": key.read_text().replace("\n", "\r\n"),
        "known_hosts": "[127.0.0.1]:1 " + key.with_suffix(".pub").read_text().replace("\n", "\r\n"),
        "minutes": "15",
        "password": "left from another choice",
    }
    answer = ada.post(f"/devices/{unique}/repository/external", typed)
    told = answer.body.decode()
    assert answer.status == 422
    # Nobody listens there; the key and what stands in hidden fields are not what is complained about.
    assert "ssh-keygen makes it" not in told.split("<form")[0]
    assert "no use" not in told
    assert "left from another choice" not in told
    for wrong, words in (("0", "1 to 1440"), ("x", "number of minutes")):
        answer = ada.post(f"/devices/{unique}/repository/external", {**typed, "minutes": wrong})
        assert answer.status == 422
        assert words in answer.body.decode()
    for role in ("operator", "viewer"):
        other = sign_in(server, role)
        assert other.get(f"/devices/{unique}/repository/external").status == 403
        assert other.post(f"/devices/{unique}/repository/external", typed).status == 403


def test_a_device_is_invited_by_git_from_the_page(server: ServerProcess, unique: str) -> None:
    ada = sign_in(server, "operator")
    shown = ada.get("/enrollments").body.decode()
    assert 'name="transport"' in shown
    form = {"name": unique, "valid_minutes": "60", "transport": "git", "as": "file"}
    token = ada.post("/enrollments", form).body.decode()
    assert EnrollmentToken.parse(token).transport == "git"
    answer = ada.post("/enrollments", {**form, "name": f"{unique}-2", "transport": "pigeon"})
    assert answer.status == 422
    assert "expected api or git" in answer.body.decode()
