"""Every form there is, sent with what cannot be right: what it is answered with is a page like any other.

Such a page comes under the address of the form, which takes no GET. Its links, and what it fetches when
something changes, have to lead to where it is found.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser as Chromium

from edgewright.server.web.navigation import NAVIGATION
from support.browser import visit
from support.certificates import Authority
from support.external_scene import give
from support.fleet_scene import assign, make_fleet, offer_packages
from support.foreign_client import csr_of, web_request
from support.git_backend import GitBackend
from support.people import Browser, add_person, sign_in
from support.server_process import Answer, ServerProcess
from support.web_routes import web_routes

WRONG = "\N{SNOWMAN} !"
"""What no field takes for anything but a text."""
NOT_FOUND_BY_LINKS = {
    "/login": "for who is not signed in",
    "/users/{name}/enable": "of who was disabled before",
    "/deploy/check": "sent by the script of the form, answered with a piece of a page",
    "/sources/{name}/take": "of what somebody removed",
    "/devices/{client_id}/repository/restore": "where somebody rewrote the branch",
}
NOT_SENT = "/tokens/{token_id}/revoke"
"""It would take away the token that the tests themselves show."""
LAST = ("/remove", "/delete", "/retire", "/disable", "/end", "/withdraw", "/reject", "/logout")
"""What takes away what other forms are about."""


@dataclass(slots=True)
class Form:
    """A form as it stands on a page; `fields` are those that a person does not fill in."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[str, str]:
        """What is sent: all that a person is asked for is wrong."""
        return self.fields | dict.fromkeys(self.asked, WRONG)


class Parts(HTMLParser):
    """What of a page leads on: its links, its forms, its own address and what it listens to."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.address = self.topics = ""
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        name = about.get("name", "")
        if tag == "body":
            self.address, self.topics = about.get("data-address", ""), about.get("data-topics", "").strip()
        elif tag == "a" and about.get("href", "").startswith("/") and "download" not in about:
            self.links.append(about["href"])
        elif tag == "form" and about.get("method") == "post":
            self.forms.append(Form(about["action"]))
        elif self.forms and name and about.get("type") == "hidden":
            self.forms[-1].fields[name] = about.get("value", "")
        elif self.forms and name and tag in {"input", "select", "textarea"}:
            self.forms[-1].asked.append(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("forms")
    outside = GitBackend(folder / "git", Authority.create("example.org"))
    with outside, ServerProcess.create(folder / "server", hosts_repositories=True) as running:
        fleet = make_fleet(running, folder / "devices")
        running.operator.post("/enrollments", {"name": "invited"})
        running.operator.put("/devices/well/repository", {"kind": "hosted"})
        given = give(running.operator, "night", outside.make("night"), outside.ca)
        assert given.status == 201, given.body
        for path in ("/policy", "/devices/well/policy"):
            policy = b"polling: {rate: 7m}"
            running.operator.request("PUT", path, body=policy, media_type="application/yaml")
        csr = csr_of(ec.generate_private_key(ec.SECP256R1()))
        body = json.dumps({"name": "asking", "csr": csr}).encode()
        web_request("POST", running.web_url, "/edgewright/v1/enroll/requests", body=body)
        offer_packages(running, folder / "offers")
        assign(running)
        add_person(running, "bo", "viewer")
        yield running
        for device in fleet.values():
            device.close()


_PAGES = [
    route
    for route in web_routes()
    if not route.path.startswith(("/operator", "/edgewright", "/git", "/live"))
]


def test_what_a_form_is_answered_with_is_found_under_the_address_it_names(server: ServerProcess) -> None:
    ada = sign_in(server, "admin")
    forms = _forms(ada)
    every = {route.path for route in _PAGES if route.method == "POST"}
    assert every - forms.keys() == set(NOT_FOUND_BY_LINKS)
    answered, wrong = set(), {}
    for kind in sorted(
        forms.keys() - {NOT_SENT}, key=lambda kind: (kind.endswith(LAST), kind == "/logout", kind)
    ):
        form = forms[kind]
        ada.get("/account")
        answer = ada.post(form.action, form.values | {"csrf": ada.csrf}, Accept="text/html")
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        shown = Parts(answer)
        again = ada.get(shown.address, Accept="text/html")
        if shown.topics:
            answered.add(kind)
            told = (again.status, Parts(again).topics, Parts(again).address)
            if told != (200, shown.topics, shown.address):
                wrong[kind] = (answer.status, shown.address, shown.topics, *told)
        elif answer.status < 400 or answer.status == 422:
            answered.add(kind)
            if again.status != 200:
                wrong[kind] = (answer.status, shown.address, again.status)
    assert wrong == {}
    assert answered >= {
        "/devices/{client_id}/labels",
        "/devices/{client_id}/policy",
        "/devices/{client_id}/repository/credentials",
        "/enrollments",
        "/fleet/labels",
        "/policies",
        "/sources/new",
        "/users",
    }


def test_whoever_opens_the_address_of_a_form_comes_to_its_page(server: ServerProcess) -> None:
    ada = sign_in(server, "operator")
    for address, page in (
        ("/devices/well/labels", "/devices/well"),
        ("/fleet/labels?state=failed", "/fleet?state=failed"),
        ("/enrollments/requests/0011/approve", "/enrollments"),
    ):
        answer = ada.get(address, Accept="text/html")
        assert (answer.status, answer.headers["location"]) == (303, page)
    answer = ada.get("/devices/well/labels", Accept="application/json")
    assert answer.status == 405


@pytest.mark.parametrize("page", ["/devices/lost", "/fleet?state=silent"])
def test_a_page_with_a_faulty_form_follows_what_changes(
    chromium: Chromium, server: ServerProcess, page: str
) -> None:
    bo = visit(chromium, server, "operator")
    bo.go(page)
    if page.startswith("/fleet"):
        bo.page.locator("#label-found summary").click()
    with bo.page.expect_response("**/live?topics=*"):
        bo.page.locator("#field-labels").fill(WRONG)
        bo.page.get_by_role("button", name=re.compile("Save labels|Label the devices")).click()
    bo.page.get_by_text("One thing has to be mended").wait_for()
    assert urlsplit(bo.page.url).path.endswith("/labels")
    bo.complaints = [one for one in bo.complaints if "422" not in one]
    server.operator.post("/devices/labels", {"devices": ["lost"], "labels": {"seen": page.strip("/")[:5]}})
    bo.page.get_by_text(f"seen={page.strip('/')[:5]}").first.wait_for()
    assert bo.page.locator("#offline").is_hidden()
    assert bo.page.locator("#field-labels").input_value() == WRONG
    assert bo.complaints == []
    bo.close()


def _forms(ada: Browser) -> dict[str, Form]:
    """Return one form of every kind that links lead to, by the route it is sent to."""
    begin = [
        "/",
        *(area.path for group in NAVIGATION for area in group.areas),
        "/account",
        "/account/password",
    ]
    begin += ["/devices/gone/policy", "/deploy?application=shop&version=1.0.0&device=well"]
    todo = list(begin)
    seen: set[str] = set()
    found: dict[str, Form] = {}
    while todo:
        address = todo.pop(0)
        kind = _kind("GET", address)
        place = address if address in begin else urlsplit(address).path
        if kind is None or place in seen or "/files/" in kind:
            continue
        seen.add(place)
        answer = ada.get(address, Accept="text/html")
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        parts = Parts(answer)
        todo += parts.links
        for form in parts.forms:
            route = _kind("POST", form.action)
            assert route is not None, form.action
            found.setdefault(route, form)
    return found


def _kind(method: str, address: str) -> str | None:
    path = urlsplit(address).path
    for route in sorted(_PAGES, key=lambda route: "{" in route.path):
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route.path))
        if route.method == method and re.fullmatch(pattern, path):
            return route.path
    return None
