"""The local page over real sockets, and in a real browser, as people use it on a phone and a desktop."""

import http.client
import os
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from edgewright.agent.consent.approvals import Approvals
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.page import password
from edgewright.protocol.consent import Verdict
from support.browser import load
from support.handed_over import listening, served
from support.site_scene import NEW, SHOP, Scene

PHONE, TABLET, DESKTOP = (
    {"width": 390, "height": 844},
    {"width": 820, "height": 1180},
    {"width": 1366, "height": 900},
)
SCREENSHOTS = os.environ.get("EDGEWRIGHT_SCREENSHOTS")
"""A directory to leave pictures of the pages in, for people to look at."""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, time.time())
    scene.number = scene.busy()
    scene.password = password.make(scene.paths)
    return scene


@pytest.fixture
def port(scene):
    with listening() as listener, served("page", scene, listener):
        yield listener.getsockname()[1]


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def raw(port, data):
    """Send bytes as they are; return the status line that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            return file.readline().decode()


def test_a_name_of_another_site_is_refused(port):
    assert get(port, "/login", Host="evil.example")[0] == 421
    assert get(port, "/login")[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", "431", id="many headers"),
        pytest.param(b"GET /login HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", "431", id="a large header"),
        pytest.param(b"POST /login HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "413", id="a large body"),
        pytest.param(b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411", id="no length"),
        pytest.param(b"POST /login HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400", id="a negative length"),
        pytest.param(b"POST /login HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "415", id="no form"),
        pytest.param(b"\x16\x03\x01\r\n\r\n", "400", id="TLS"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_next_one_is_served(port, data, status):
    assert raw(port, data).split()[1] == status
    assert get(port, "/login")[0] == 200


def test_slow_clients_keep_nobody_waiting(port):
    with ExitStack() as stack:
        for _ in range(8):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            slow.sendall(b"GET /login HTTP/1.1\r\nHos")
        assert get(port, "/login")[0] == 200


def test_it_ends_when_nobody_asks(scene):
    with listening() as listener, served("page", scene, listener, idle=0.2) as process:
        assert process.wait(timeout=60) == 0


def test_nothing_secret_is_in_the_log(scene):
    with listening() as listener, served("page", scene, listener):
        body = f"name=Eve&password={scene.password[:-1]}1".encode()
        head = (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        )
        port = listener.getsockname()[1]
        assert raw(port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body).split()[1] == "403"
    told = Path(scene.paths.root, "page.log").read_text()
    assert "wrong password" in told
    assert scene.password[:8] not in told


class Person:
    """Somebody with a browser; whatever it complains about is kept in `complaints`."""

    def __init__(self, browser, port, viewport=PHONE, scheme="light", scripts=True):
        self.address = f"http://127.0.0.1:{port}"
        self.context = browser.new_context(
            viewport=viewport, color_scheme=scheme, java_script_enabled=scripts
        )
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.complaints = []
        self.requests = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def sign_in(self, word, name="Grace Hopper"):
        load(self.page, self.address)
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Password of this device").fill(word)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", level=1).wait_for()
        return self

    def picture(self, name):
        if SCREENSHOTS:
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.fixture
def person(chromium, port, scene):
    made = Person(chromium, port)
    yield made.sign_in(scene.password)
    made.context.close()


@pytest.mark.requirement("S-29", "S-27")
@pytest.mark.parametrize("viewport", [PHONE, TABLET, DESKTOP], ids=["phone", "tablet", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_and_can_be_touched(chromium, port, scene, viewport, scheme):
    person = Person(chromium, port, viewport, scheme).sign_in(scene.password)
    page = person.page
    expect(page.get_by_role("heading", name="1 application has failed")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        "[...document.querySelectorAll('button, input:not([type=hidden]), select, summary, nav a')]"
        ".filter(each => each.getClientRects().length && each.getBoundingClientRect().height < 44)"
        ".map(each => each.outerHTML)"
    )
    assert small == []
    person.picture(f"overview-{scheme}-{viewport['width']}")
    load(page, f"{person.address}/history")
    expect(page.get_by_text("agreed in the shift meeting")).to_be_visible()
    person.picture(f"history-{scheme}-{viewport['width']}")
    assert person.complaints == []
    assert all(url.startswith(person.address) for url in person.requests)
    person.context.close()


@pytest.mark.requirement("S-29")
def test_a_change_is_approved_with_two_touches(person, scene):
    card = person.page.locator(f"#approval-{scene.number}")
    expect(card.get_by_role("row", name=re.compile("^web .*1.4.2.*1.5.0"))).to_be_visible()
    card.get_by_role("button", name="Approve").click()
    person.page.get_by_role("status").filter(has_text="Approved.").wait_for()
    person.picture("approved")
    with scene.store() as store:
        decided = Approvals(store).get(scene.number)
    assert (decided.verdict, decided.by, decided.via) == (Verdict.APPROVED, "Grace Hopper", "page")


def test_a_rejection_without_a_reason_is_asked_for_one_and_nothing_is_typed_twice(person, scene):
    card = person.page.locator(f"#approval-{scene.number}")
    card.get_by_label("Your name").fill("Ada Lovelace")
    card.get_by_role("button", name="Reject").click()
    alert = card.get_by_role("alert")
    alert.wait_for()
    person.picture("refused")
    expect(card.get_by_label("Your name")).to_have_value("Ada Lovelace")
    card.get_by_label("Reason").fill("not before the audit")
    card.get_by_role("button", name="Reject").click()
    person.page.get_by_role("status").filter(has_text="Rejected.").wait_for()
    with scene.store() as store:
        decided = Approvals(store).get(scene.number)
    assert (decided.verdict, decided.by, decided.reason) == (
        Verdict.REJECTED,
        "Ada Lovelace",
        "not before the audit",
    )


def test_a_change_is_postponed_until_a_time_that_is_chosen(person, scene):
    card = person.page.locator(f"#approval-{scene.number}")
    card.get_by_label("Ask again").select_option("4h")
    before = time.time()
    card.get_by_role("button", name="Postpone").click()
    person.page.get_by_role("status").filter(has_text="Postponed.").wait_for()
    with scene.store() as store:
        decided = Approvals(store).get(scene.number)
    assert decided.verdict is Verdict.POSTPONED
    assert before - 120 < decided.until - 4 * 3600 <= time.time()


def test_in_an_emergency_a_change_goes_ahead(person, scene):
    card = person.page.locator("article.deployment").filter(has_text="What ran before goes on running")
    card.get_by_text("Emergency: apply now").click()
    card.get_by_label("Reason").fill("line stands still")
    person.picture("emergency")
    card.get_by_role("button", name="Apply now").click()
    person.page.get_by_role("status").filter(has_text="It starts now.").wait_for()
    with scene.store() as store:
        assert [(each.deployment_id, each.digest) for each in Wishes(store).overrides()] == [(SHOP, NEW)]


def test_news_are_shown_by_themselves_but_nothing_typed_is_taken_away(person, scene):
    page = person.page
    with scene.store() as store:
        Wishes(store).pause(by="Ada", via="command line", reason="audit")
    page.get_by_text("All changes are paused by").wait_for()
    page.locator(f"#approval-{scene.number}").get_by_label("Reason").fill("half a sen")
    with scene.store() as store:
        Wishes(store).resume(by="Ada", via="command line")
    page.get_by_role("status").filter(has_text="Something has changed").wait_for()
    expect(page.locator(f"#approval-{scene.number}").get_by_label("Reason")).to_have_value("half a sen")


def test_it_works_by_keyboard_and_without_scripts(chromium, port, scene):
    person = Person(chromium, port, DESKTOP, scripts=False)
    load(person.page, person.address)
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.className") == "skip"
    person.sign_in(scene.password)
    card = person.page.locator(f"#approval-{scene.number}")
    card.get_by_role("button", name="Approve").focus()
    person.page.keyboard.press("Enter")
    person.page.get_by_role("status").filter(has_text="Approved.").wait_for()
    person.context.close()


def test_whoever_signs_out_is_out(person):
    person.page.get_by_role("button", name="Sign out").click()
    person.page.get_by_role("heading", name="Sign in").wait_for()
    load(person.page, person.address)
    expect(person.page.get_by_label("Password of this device")).to_be_visible()
    person.picture("sign-in")
