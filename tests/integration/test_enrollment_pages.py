"""Devices come in by the pages: an invitation is made, carried to a device, used, and seen to be used."""

import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import expect

from support.browser import visit
from support.foreign_client import ForeignClient, csr_of, web_request
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
    expect(ada.page.get_by_text("edgewright agent enroll ewt1.")).to_be_visible()
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
    expect(row(ada, "press-3").get_by_text("Withdrawn")).to_be_visible()
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


def ask(server, name, **more):
    key = ec.generate_private_key(ec.SECP256R1())
    body = json.dumps({"name": name, "csr": csr_of(key), **more}).encode()
    return lambda: web_request("POST", server.web_url, "/edgewright/v1/enroll/requests", body=body)


def asking_row(ada, text):
    return ada.page.locator("#requests").get_by_role("row").filter(has_text=text)


@pytest.mark.requirement("S-27")
def test_a_device_that_asks_appears_and_is_let_in_under_another_name(ada, server):
    ada.go("/enrollments")
    device = ask(server, "raspberrypi", hostname="raspberrypi", agentVersion="1.0")
    assert device().status == 202
    row_of_it = asking_row(ada, "raspberrypi")
    row_of_it.get_by_text("Waiting for you").wait_for()
    (one,) = server.operator.items("/enrollments/requests?q=raspberrypi")
    expect(row_of_it.get_by_text(one["fingerprint"]).first).to_be_visible()
    row_of_it.get_by_role("button", name="Approve…").click()
    dialog = ada.page.get_by_role("dialog")
    dialog.get_by_text(one["fingerprint"]).wait_for()
    dialog.get_by_role("textbox", name="Name").fill("press-7")
    # What others do meanwhile changes the page below, and nothing in what is open and typed.
    ask(server, "another-one")()
    asking_row(ada, "another-one").wait_for()
    expect(dialog.get_by_role("textbox", name="Name")).to_have_value("press-7")
    ada.picture("approve-request")
    assert ada.faults() == []
    dialog.get_by_role("button", name="Approve", exact=True).click()
    ada.page.get_by_text("press-7 is let in").wait_for()
    expect(asking_row(ada, "raspberrypi").get_by_text("Approved")).to_be_visible()
    answer = device()
    assert (answer.status, answer.json["clientId"]) == (201, "press-7")
    assert ada.complaints == []


def test_a_taken_name_is_told_before_and_after_it_is_tried(ada, server, tmp_path):
    token = server.operator.post("/enrollments", {"name": "press-8"})["token"]
    with ForeignClient.enrolled(token, tmp_path / "press-8"):
        pass
    ask(server, "press-8")()
    ada.go("/enrollments")
    asking_row(ada, "press-8").get_by_role("button", name="Approve…").click()
    dialog = ada.page.get_by_role("dialog")
    expect(dialog.get_by_text("This name is taken")).to_be_visible()
    dialog.get_by_role("button", name="Approve", exact=True).click()
    ada.page.get_by_text("press-8 was not let in: 'press-8' is a device already").wait_for()
    asking_row(ada, "press-8").get_by_role("button", name="Approve…").click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Approve", exact=True).click()
    ada.page.get_by_text("press-8 is let in").wait_for()


def test_a_device_is_turned_down_with_a_reason(ada, server):
    device = ask(server, "press-9")
    device()
    ada.go("/enrollments")
    asking_row(ada, "press-9").get_by_role("button", name="Reject…").click()
    dialog = ada.page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("not one of ours")
    dialog.get_by_role("button", name="Reject", exact=True).click()
    ada.page.get_by_text("press-9 is turned down").wait_for()
    expect(asking_row(ada, "press-9").get_by_text("not one of ours")).to_be_visible()
    assert device().json == {"state": "rejected", "reason": "not one of ours"}


@pytest.mark.parametrize("width", [360, 1280])
def test_the_queue_fits_a_phone_and_everybody_can_use_it(chromium, server, width):
    ask(server, "a" * 128, hostname="h" * 200)()
    made = visit(chromium, server, "operator", width=width)
    try:
        made.go("/enrollments")
        assert made.wrong("queue") == []
    finally:
        made.close()


def test_who_may_only_look_sees_the_queue_and_decides_nothing(server):
    ask(server, "watched")()
    (one,) = server.operator.items("/enrollments/requests?q=watched")
    eve = sign_in(server, "viewer")
    answer = eve.get("/enrollments")
    assert one["fingerprint"].encode() in answer.body
    assert b"Approve" not in answer.body.replace(b"Approved", b"")
    for what in ("approve", "reject"):
        path = f"/enrollments/requests/{one['id']}/{what}"
        assert eve.post(path, {"name": "watched"}).status == 403


def test_the_first_steps_tell_that_a_device_asks(tmp_path):
    with ServerProcess.create(tmp_path / "server") as fresh:
        ask(fresh, "first")()
        assert b"One device asks to be let in" in sign_in(fresh, "operator").get("/").body
