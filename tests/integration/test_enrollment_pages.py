"""Devices come in by the pages: an invitation is made, carried to a device, used, and seen to be used."""

import re

import pytest

from support.browser import visit
from support.foreign_client import ForeignClient
from support.people import sign_in
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess.create(tmp_path_factory.mktemp("enrolment") / "server") as running:
        yield running


@pytest.fixture
def ada(chromium, server):
    made = visit(chromium, server, "operator")
    yield made
    made.close()


def row(ada, name):
    return ada.page.locator("#invitations").get_by_role("row").filter(has_text=name)


@pytest.mark.requirement("S-27")
def test_a_device_is_invited_and_seen_to_come_without_a_reload(ada, server, tmp_path):
    ada.go("/enrollments")
    ada.page.get_by_label("Name").fill("press-1")
    ada.page.get_by_role("button", name="Make an invitation").click()
    command = ada.page.get_by_text("edgewright agent enroll ewt1.").text_content()
    ada.picture("invitation")
    row(ada, "press-1").get_by_text("Waiting for the device").wait_for()
    with ForeignClient.enrolled(command.split()[-1], tmp_path / "press-1"):
        row(ada, "press-1").get_by_text("Used").wait_for()
    assert ada.page.get_by_text("edgewright agent enroll ewt1.").is_visible()
    row(ada, "press-1").get_by_role("link", name="press-1").click()
    ada.page.get_by_role("heading", name="press-1", level=1).wait_for()
    assert ada.complaints == []


def test_an_invitation_is_had_as_a_file_that_a_device_reads(ada, server, tmp_path):
    ada.go("/enrollments")
    ada.page.get_by_label("Name").fill("press-2")
    with ada.page.expect_download() as download:
        ada.page.get_by_role("button", name="Make it as a file").click()
    assert download.value.suggested_filename == "enrolment-press-2.txt"
    download.value.save_as(tmp_path / "file.txt")
    with ForeignClient.enrolled((tmp_path / "file.txt").read_text().strip(), tmp_path / "press-2"):
        assert server.operator.get("/devices/press-2")["origin"] == "enrolled"


def test_a_withdrawn_invitation_opens_nothing(ada, server):
    server.operator.post("/enrollments", {"name": "press-3"})
    ada.go("/enrollments")
    row(ada, "press-3").get_by_role("button", name="Withdraw…").click()
    dialog = ada.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Withdraw it").click()
    ada.page.get_by_text("The invitation for press-3 is withdrawn.").wait_for()
    assert row(ada, "press-3").get_by_text("Withdrawn").is_visible()
    assert server.operator.request("DELETE", "/enrollments/press-3").status == 404


@pytest.mark.parametrize(
    ("name", "minutes", "told"),
    [
        ("", "60", "give the device a name"),
        ("a/b", "60", "a/b"),
        ("..", "60", ".."),
        ("edge", "0", "expected 1 to 43200"),
        ("edge", "9" * 30, "expected a number of minutes"),
        ("edge", "-1", "expected a number of minutes"),
        ("<script>", "60", "&lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_is_kept(server, name, minutes, told):
    bo = sign_in(server, "operator")
    bo.get("/enrollments")
    answer = bo.post("/enrollments", {"name": name, "valid_minutes": minutes})
    text = answer.body.decode()
    assert answer.status == 422
    assert told in text
    assert re.search(r'aria-invalid="true"', text)
    assert "<script>" not in text


def test_who_may_only_look_invites_nobody(server):
    eve = sign_in(server, "viewer")
    answer = eve.get("/enrollments")
    assert answer.status == 200
    assert b"Make an invitation" not in answer.body
    assert eve.post("/enrollments", {"name": "mine"}).status == 403
