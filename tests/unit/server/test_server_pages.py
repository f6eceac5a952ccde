"""What every page is made of: its parts, its notices, its first steps, and what errors say."""

import re
from datetime import UTC, datetime

import pytest

from edgewright.server.domain.roles import Role
from edgewright.server.store.firsts import Firsts
from edgewright.server.web import pages
from edgewright.server.web.failures import title_of
from edgewright.server.web.home import steps
from edgewright.server.web.words import Tone
from support.gallery import TEMPLATE, gallery

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PARTS = (pages.TEMPLATES / "parts.html").read_text()
TEMPLATES = {path.name: path.read_text() for path in pages.TEMPLATES.rglob("*.html")}


def test_the_gallery_shows_every_part_there_is():
    made = set(re.findall(r"{% macro ([a-z]\w*)", PARTS))
    shown = set(re.findall(r"ui\.(\w+)", TEMPLATE.read_text() + TEMPLATES["base.html"]))
    assert made - shown == set()


def test_every_part_is_explained_where_it_is_made():
    explained = set(re.findall(r"ui\.(\w+)\(", PARTS.partition("#}")[0])) | {"logo"}
    assert set(re.findall(r"{% macro ([a-z]\w*)", PARTS)) - explained == set()


def test_what_people_typed_is_never_markup():
    ui = pages.ENVIRONMENT.get_template("parts.html").make_module({"now": NOW, "csrf": "", "here": None})
    evil = "\"><script>alert('x')</script>"
    for made in (
        ui.field("name", evil, evil, help=evil, placeholder=evil),
        ui.field("note", evil, evil, type="textarea"),
        ui.field("kind", evil, evil, type="select", options=[(evil, evil), evil]),
        ui.badge(evil),
        ui.tag(evil, evil),
        ui.note(evil, title=evil),
        ui.digest(evil),
        ui.copy(evil),
        ui.diff([(evil, evil, "b")]),
        ui.timeline([{"at": NOW, "title": evil, "text": evil, "who": evil, "href": evil}]),
        ui.empty(evil, evil, evil, evil),
        ui.confirm("x", evil, evil, evil, evil, evil, fields={evil: evil}),
        ui.bar({evil: 1}, label=evil),
        ui.donut({evil: 1}, evil),
    ):
        assert "<script>" not in str(made)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_template_needs_what_the_content_security_policy_forbids(name):
    text = TEMPLATES[name]
    assert re.findall(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:|hx-on", text) == []


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_form_that_changes_something_shows_that_it_is_ours(name):
    forms = re.findall(r'<form[^>]*method="post".*?</form>', TEMPLATES[name], re.DOTALL)
    assert [form for form in forms if "csrf" not in form] == []


@pytest.mark.parametrize("role", Role)
def test_the_navigation_offers_what_the_role_may_see(role):
    assert ("/users" in re.findall(r'href="(/\w+)"', gallery(role))) == (role is Role.ADMIN)


def test_an_address_with_one_thing_changed_keeps_the_rest():
    here = pages._here("/fleet", "state=failed&q=a+b&after=x")
    assert here(after=None) == "/fleet?state=failed&q=a+b"
    assert here(state="behind", after=None) == "/fleet?q=a+b&state=behind"
    assert here(state=None, q=None, after=None) == "/fleet"


def test_a_notice_is_carried_to_the_next_page_whatever_is_in_it():
    answer = pages.see_other("/fleet", 'Saved “edge; ä" \n', Tone.WAIT)
    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet")
    (cookie,) = answer.cookies
    assert cookie.httponly
    assert cookie.secure
    assert pages._read_notice(cookie.value) == pages.Notice('Saved “edge; ä" \n', Tone.WAIT)


@pytest.mark.parametrize("value", [None, "", "x", "%%%", "bm90IGpzb24", "WzFd", "ä", "W10", "eyJ0ZXh0IjoxfQ"])
def test_what_is_no_notice_of_ours_is_none(value):
    assert pages._read_notice(value) is None


def firsts(*, device=False, package=False, deployment=False, invited=None):
    return Firsts(has_device=device, has_package=package, has_deployment=deployment, invited=invited)


@pytest.mark.parametrize(
    ("present", "states"),
    [
        (firsts(), ["now", "later", "later"]),
        (firsts(invited="edge"), ["now", "later", "later"]),
        (firsts(device=True), ["done", "now", "later"]),
        (firsts(package=True), ["now", "done", "later"]),
        (firsts(device=True, package=True), ["done", "done", "now"]),
        (firsts(deployment=True), ["now", "later", "done"]),
    ],
)
def test_the_first_step_that_is_left_is_the_one_to_do(present, states):
    assert [step["state"] for step in steps(present, is_viewer=False)] == states


def test_an_invitation_that_waits_is_named_and_whoever_may_only_look_is_led_nowhere():
    (first, *_) = steps(firsts(invited="edge-01"), is_viewer=True)
    assert "edge-01" in first["text"]
    assert "href" not in first


def test_all_steps_done_are_done():
    assert firsts(device=True, package=True, deployment=True).are_done
    assert not firsts(device=True, package=True).are_done


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 429, 500, 502, 503, 507])
def test_every_error_has_a_title_people_understand(status):
    assert re.fullmatch(r"[A-Z][\w' -]+", title_of(status))
