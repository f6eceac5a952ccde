"""The part of a device's page about its Git repository."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.browser import visit
from support.foreign_client import ForeignClient
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
