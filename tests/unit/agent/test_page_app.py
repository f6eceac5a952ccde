"""What the page answers: to whom, what it shows, and what its forms do. No socket is opened."""

import functools
import html
import os
import re
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.agent.consent.approvals import Approvals
from edgewright.agent.consent.audit import Audit
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.under_way import Doing, note
from edgewright.agent.on_site.desk import open_desk
from edgewright.agent.on_site.visible import visible
from edgewright.agent.page import password
from edgewright.agent.page.app import App
from edgewright.agent.page.session import COOKIE, SECONDS
from edgewright.agent.page.wire import Request
from edgewright.agent.state.locks import lock
from edgewright.net.git.url import RepositoryUrl
from edgewright.protocol.consent import Reason, Verdict
from support.site_scene import NEW, SHOP, Scene

HOST = "127.0.0.1:8088"


class Browser:
    """Asks the page as a browser does: it keeps the cookie and sends the hidden fields of forms."""

    def __init__(self, scene):
        self.scene = scene
        self.now = scene.now
        desk = functools.partial(open_desk, scene.paths, str(scene.policy), via="page")
        self.app = App(scene.paths, desk, names=["page.plant.example"], now=lambda: self.now)
        self.cookie = ""
        self.host = HOST

    def ask(self, method, path, form=None, **headers):
        place, _, query = path.partition("?")
        cookie = {"cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        request = Request(
            method=method,
            path=place,
            query=query,
            headers={"host": self.host, **cookie, **headers},
            form=form or {},
        )
        response = self.app.answer(request)
        for name, value in response.headers:
            if name == "Set-Cookie":
                self.cookie = re.match(rf"{COOKIE}=([^;]*)", value)[1]
        return response

    def sign_in(self, name="Grace Hopper"):
        response = self.ask("POST", "/login", {"name": name, "password": self.password})
        assert response.status is HTTPStatus.SEE_OTHER
        return self

    def page(self, path="/"):
        response = self.ask("GET", path)
        assert response.status is HTTPStatus.OK
        return response.body.decode()

    def send(self, path, **form):
        """Send the form of the overview that goes to `path`, its hidden fields filled in by the page."""
        found = re.search(rf'<form method="post" action="{path}".*?</form>', self.page(), re.DOTALL)
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', found[0])
        return self.ask("POST", path, {**{name: html.unescape(value) for name, value in hidden}, **form})


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, 1_800_000_000.0)
    scene.policy.write_text("# nothing\n")
    return scene


@pytest.fixture
def browser(scene, monkeypatch):
    scene.deployment()
    monkeypatch.setattr(password, "_COST", {"n": 16, "r": 8, "p": 1})
    made = Browser(scene)
    made.password = password.make(scene.paths)
    monkeypatch.setattr("time.time", lambda: scene.now)
    return made


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.mark.parametrize("path", ["/", "/history", "/nothing", "/?done=approved"])
def test_nobody_sees_anything_without_signing_in(browser, path):
    response = browser.ask("GET", path)
    assert response.status is HTTPStatus.SEE_OTHER
    assert ("Location", "/login") in response.headers


@pytest.mark.parametrize("path", ["/pause", "/approvals/1", "/now", "/poll", "/retry", "/clock", "/logout"])
def test_nobody_does_anything_without_signing_in(browser, path):
    response = browser.ask("POST", path, {"token": "x", "by": "Eve", "reason": "x"})
    assert response.status is HTTPStatus.SEE_OTHER
    with browser.scene.store() as store:
        assert Audit(store).entries() == []


def test_the_cookie_is_for_no_script_and_no_other_site(browser):
    response = browser.ask("POST", "/login", {"name": "Ada", "password": browser.password})
    cookie = dict(response.headers)["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    behind = browser.ask(
        "POST", "/login", {"name": "Ada", "password": browser.password}, **{"x-forwarded-proto": "https"}
    )
    assert "; Secure" in dict(behind.headers)["Set-Cookie"]


def test_a_wrong_password_and_no_name_are_told(browser):
    wrong = browser.ask("POST", "/login", {"name": "Eve", "password": "guess"})
    assert wrong.status is HTTPStatus.FORBIDDEN
    assert "not the password" in text_of(wrong.body.decode())
    nameless = browser.ask("POST", "/login", {"name": "  ", "password": browser.password})
    assert nameless.status is HTTPStatus.UNPROCESSABLE_ENTITY
    assert browser.cookie == ""


def test_tries_are_limited_also_for_the_next_process(browser):
    answers = [browser.ask("POST", "/login", {"name": "Eve", "password": "guess"}).status for _ in range(6)]
    assert answers == [HTTPStatus.FORBIDDEN] * 5 + [HTTPStatus.TOO_MANY_REQUESTS]
    another = Browser(browser.scene)
    refused = another.ask("POST", "/login", {"name": "Ada", "password": browser.password})
    assert refused.status is HTTPStatus.TOO_MANY_REQUESTS
    assert dict(refused.headers)["Retry-After"] == "11"
    another.now += 11
    assert (
        another.ask("POST", "/login", {"name": "Ada", "password": browser.password}).status
        is HTTPStatus.SEE_OTHER
    )


def test_a_session_ends_by_signing_out_and_by_itself(browser):
    browser.sign_in()
    browser.page()
    browser.now += SECONDS
    assert browser.ask("GET", "/").status is HTTPStatus.SEE_OTHER
    browser.now -= SECONDS
    browser.send("/logout")
    assert browser.cookie == ""


def test_without_a_password_the_page_tells_how_to_make_one(browser):
    (browser.scene.policy.parent / "page.json").unlink()
    response = browser.ask("GET", "/")
    assert response.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert "edgewright agent page password" in text_of(response.body.decode())


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8088", True),
        ("[::1]:8088", True),
        ("192.0.2.7", True),
        ("localhost:8088", True),
        ("PAGE.plant.example", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8088", False),
        ("", False),
    ],
)
def test_it_answers_to_addresses_and_names_of_its_own_only(browser, host, is_ours):
    browser.host = host
    assert (browser.ask("GET", "/login").status is HTTPStatus.OK) == is_ours


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "http://evil.example"}, id="another origin"),
        pytest.param({"origin": "null"}, id="no origin that can be told"),
        pytest.param({"origin": "http://127.0.0.1:9999"}, id="another port"),
        pytest.param({"sec-fetch-site": "cross-site"}, id="the browser says so"),
    ],
)
def test_a_form_of_another_site_is_not_taken(browser, headers):
    browser.sign_in()
    token = re.search(r'name="token" value="([^"]+)"', browser.page())[1]
    form = {"token": token, "by": "Ada", "reason": "x"}
    assert browser.ask("POST", "/pause", form, **headers).status is HTTPStatus.FORBIDDEN
    assert browser.ask("POST", "/pause", form, origin=f"http://{HOST}").status is HTTPStatus.SEE_OTHER


def test_a_form_without_the_token_of_the_session_is_not_taken(browser):
    browser.sign_in()
    other = Browser(browser.scene)
    other.password = browser.password
    token = re.search(r'name="token" value="([^"]+)"', other.sign_in().page())[1]
    for wrong in ("", "x", token):
        assert browser.ask("POST", "/pause", {"token": wrong, "by": "Ada"}).status is HTTPStatus.FORBIDDEN
    with browser.scene.store() as store:
        assert Wishes(store).paused() is None


@pytest.mark.parametrize("path", ["/", "/login", "/history", "/assets/page.css", "/nothing"])
def test_every_answer_forbids_what_is_not_from_here(browser, path):
    headers = dict(browser.sign_in().ask("GET", path).headers)
    assert headers["Content-Security-Policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == (
        "no-store" if "assets" not in path else "public, max-age=31536000, immutable"
    )


@pytest.mark.parametrize("name", ["../password.py", "page.css/..", "", "%2e%2e/app.py"])
def test_nothing_but_assets_is_an_asset(browser, name):
    assert browser.ask("GET", f"/assets/{name}").status is HTTPStatus.NOT_FOUND


def test_no_page_has_script_or_style_or_anything_from_elsewhere(browser):
    browser.scene.busy()
    for page in (
        browser.sign_in().page(),
        browser.page("/history"),
        browser.ask("GET", "/login").body.decode(),
    ):
        assert (
            re.findall(r"<script(?! src=\"/assets/)|<style|\son\w+=|\sstyle=|javascript:|https?://", page)
            == []
        )


@pytest.mark.requirement("S-29", "S-7")
def test_what_waits_is_shown_with_what_would_change_and_why(browser):
    number = browser.scene.busy()
    seen = text_of(browser.sign_in().page())
    for text in (
        "2 changes wait for your decision",
        "Update shop",
        "1.4.2",
        "1.5.0",
        f"approval {number} is awaited",
    ):
        assert text in seen
    assert "What ran before goes on running" in seen
    assert "another value (hidden)" in seen
    assert "no camera at /dev/video0" in seen


@pytest.mark.requirement("S-29")
@pytest.mark.parametrize(
    ("form", "verdict"),
    [
        pytest.param({"verdict": "approved", "until": "tomorrow"}, Verdict.APPROVED, id="approve"),
        pytest.param({"verdict": "postponed", "until": "4h"}, Verdict.POSTPONED, id="postpone"),
        pytest.param({"verdict": "rejected", "reason": "not in this shift"}, Verdict.REJECTED, id="reject"),
    ],
)
def test_a_decision_is_taken_with_who_and_why(browser, form, verdict):
    number = browser.scene.approval()
    response = browser.sign_in().send(f"/approvals/{number}", by="Grace Hopper", **form)
    assert ("Location", f"/?done={verdict}") in response.headers
    with browser.scene.store() as store:
        decided = Approvals(store).get(number)
    assert (decided.verdict, decided.by, decided.via) == (verdict, "Grace Hopper", "page")
    assert decided.reason == form.get("reason", "")
    assert decided.until == (browser.now + 4 * 3600 if verdict is Verdict.POSTPONED else None)
    done = text_of(browser.page(f"/?done={verdict}"))
    assert f"{verdict} by Grace Hopper" in done


def test_a_decision_that_is_not_taken_keeps_what_was_typed(browser):
    number = browser.scene.approval()
    response = browser.sign_in().send(f"/approvals/{number}", by="Ada <b>", verdict="rejected")
    assert response.status is HTTPStatus.UNPROCESSABLE_ENTITY
    page = response.body.decode()
    assert 'role="alert"' in page
    assert 'value="Ada &lt;b&gt;"' in page
    with browser.scene.store() as store:
        assert Approvals(store).get(number).verdict is Verdict.ASKED


def test_who_decides_later_than_somebody_else_is_told_so_though_the_form_is_gone(browser):
    number = browser.scene.approval()
    browser.sign_in()
    with browser.scene.store() as store:
        approvals = Approvals(store)
        approvals.write(replace(approvals.get(number), verdict=Verdict.USED))
    token = re.search(r'name="token" value="([^"]*)"', browser.page())[1]
    form = {"token": token, "by": "Ada", "reason": "no", "verdict": "rejected"}
    response = browser.ask("POST", f"/approvals/{number}", form)
    assert response.status is HTTPStatus.UNPROCESSABLE_ENTITY
    assert f"approval {number} is used" in text_of(response.body.decode())


@pytest.mark.requirement("S-29")
def test_a_decision_about_something_else_than_was_seen_is_not_taken(browser):
    number = browser.scene.approval()
    response = browser.sign_in().send(
        f"/approvals/{number}", by="Ada", verdict="approved", digest="sha256:" + "9" * 64
    )
    assert response.status is HTTPStatus.UNPROCESSABLE_ENTITY
    with browser.scene.store() as store:
        assert Approvals(store).get(number).verdict is Verdict.ASKED


def test_changes_are_paused_and_resumed(browser):
    browser.sign_in().send("/pause", by="Ada", reason="audit in hall 2", until="1h")
    with browser.scene.store() as store:
        assert Wishes(store).paused().until == browser.now + 3600
    assert "All changes are paused by Ada" in text_of(browser.page())
    browser.send("/resume", by="Ada")
    with browser.scene.store() as store:
        assert Wishes(store).paused() is None
        assert [each.what for each in Audit(store).entries()][:2] == [
            "resumed all changes",
            "paused all changes",
        ]


def test_in_an_emergency_one_change_goes_ahead_for_a_reason(browser):
    browser.scene.hold(reason=Reason.WINDOW, message="the next window opens Sat 02:00 UTC")
    refused = browser.sign_in().send("/now", by="Ada", reason=" ")
    assert refused.status is HTTPStatus.UNPROCESSABLE_ENTITY
    assert ("Location", "/?done=overridden") in browser.send(
        "/now", by="Ada", reason="line stands still"
    ).headers
    with browser.scene.store() as store:
        (override,) = Wishes(store).overrides()
    assert (override.deployment_id, override.digest, override.reason) == (SHOP, NEW, "line stands still")


@pytest.mark.parametrize(
    "path", ["/nothing", "/approvals/", "/approvals/x", "/approvals/\u0663", "/approvals/" + "9" * 30]
)
def test_a_form_there_is_none_of_is_not_found(browser, path):
    browser.sign_in()
    token = re.search(r'name="token" value="([^"]+)"', browser.page())[1]
    response = browser.ask("POST", path, {"token": token, "by": "Ada", "verdict": "approved"})
    assert response.status is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["/approvals/1", "/pause", "/now"])
def test_a_refused_form_loaded_again_leads_back_to_the_overview(browser, path):
    assert ("Location", "/") in browser.sign_in().ask("GET", path).headers


def test_a_policy_that_is_not_in_order_is_told(browser):
    browser.scene.policy.write_text("polling: {rat: 1s}\n")
    assert "no change begins" in text_of(browser.sign_in().page())


def test_the_tag_changes_with_what_there_is_to_see_and_with_nothing_else(browser):
    tag = browser.sign_in().ask("GET", "/tag").body
    browser.now += 60
    assert browser.ask("GET", "/tag").body == tag
    browser.scene.approval()
    assert browser.ask("GET", "/tag").body != tag
    browser.cookie = ""
    assert browser.ask("GET", "/tag").status is HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(browser, method):
    assert browser.ask(method, "/").status is HTTPStatus.METHOD_NOT_ALLOWED


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    message=st.sampled_from(
        ["</p><script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "\u202e{{7*7}}"]
    ),
)
def test_hostile_names_and_messages_are_shown_and_never_obeyed(browser, name, message):
    with browser.scene.store() as store, store.transaction():
        store.connection.execute("DELETE FROM approvals")
        store.connection.execute("DELETE FROM holds")
        store.connection.execute("DELETE FROM revisions")
    hostile = name + message
    browser.scene.deployment("x" + hostile, hostile, failure=hostile)
    summary = {"components": [{"name": hostile, "change": "changed", "from": hostile, "to": hostile}]}
    number = browser.scene.approval("x" + hostile, hostile, summary=summary)
    browser.scene.hold("x" + hostile, hostile, message=hostile, approval=number)
    if not browser.cookie:
        browser.sign_in()
    page = browser.page()
    assert re.findall(r"<script(?! src=\"/assets/page.js)|<img(?! src=\"/assets/)", page) == []
    assert html.escape(visible(hostile)) in page


@pytest.mark.parametrize("host", ["[", "[::1", "a]b", "\u0130", "localhost:http"])
def test_a_host_that_cannot_be_read_is_not_ours(browser, host):
    browser.host = host
    assert browser.ask("GET", "/login").status in {HTTPStatus.OK, HTTPStatus.MISDIRECTED_REQUEST}


def test_a_fetch_that_goes_on_is_shown_until_it_is_over(browser, scene):
    identity = Path(scene.paths.identity)
    identity.mkdir(parents=True)
    (identity / "server.json").write_text('{"url": "", "device_id": "edge-01", "transport": "git"}')
    access = GitAccess(str(identity), url=RepositoryUrl("https://git.example/edge-01.git"), kind="none")
    (identity / "git.json").write_bytes(access.render())
    browser.sign_in()
    assert "Under way" not in text_of(browser.page())
    held = lock(scene.paths.courier_lock)
    note(held, Doing.READY)
    assert "Under way" not in text_of(browser.page())
    note(held, Doing.FETCH)
    os.utime(held, (scene.now - 600, scene.now - 600))
    assert "Under way a fetch from it, begun 10 min ago" in text_of(browser.page())
    note(held, Doing.PUSH)
    assert "Under way reports to it" in text_of(browser.page())
    os.close(held)
    assert "Under way" not in text_of(browser.page())
