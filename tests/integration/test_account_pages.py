"""The pages of accounts and of the audit in a real browser: they fit, read well, and do what they say."""

import re

import pytest
from playwright.sync_api import expect

from support.browser import WIDTHS, visit
from support.people import PASSWORD, add_person
from support.server_process import ServerProcess, command

PAGES = [
    "/account",
    "/users",
    "/users/ada",
    "/tokens",
    "/audit",
    "/audit?q=nothing-like-that",
    "/account/password",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess.create(tmp_path_factory.mktemp("pages") / "server") as running:
        add_person(running, "ada", "operator")
        running.operator.post("/tokens", {"name": "nightly", "scopes": ["read", "packages"]})
        running.operator.post("/tokens", {"name": "old", "expires": "2090-01-01T00:00:00Z"})
        running.operator.request("PATCH", "/users/ada", {"role": "viewer"})
        running.operator.post("/users", {"name": "a.very.long.name.indeed@department.example.org"})
        yield running


@pytest.fixture
def somebody(chromium, server):
    """Opens windows and closes them again."""
    opened = []

    def open_window(*arguments, **more):
        opened.append(visit(chromium, server, *arguments, **more))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


@pytest.mark.requirement("S-27")
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_reads_well_and_works_by_keyboard(somebody, width):
    admin = somebody("admin", width=width)
    found = {}
    for path in PAGES:
        assert admin.go(path).status == 200, path
        for summary in admin.page.locator("main details > summary").all():
            summary.click()
        if told := admin.wrong(re.sub("[^a-z]+", "-", path.strip("/")), keyboard=True):
            found[path] = told
    assert found == {}


@pytest.mark.parametrize("width", [360, 1280])
def test_the_form_to_sign_in_fits_and_reads_well(somebody, width):
    stranger = somebody(None, width=width)
    stranger.go("/login")
    assert stranger.wrong("login", keyboard=True) == []


def test_the_first_administrator_signs_in_and_lets_somebody_else_in(chromium, tmp_path):
    made = command("init", "--data", tmp_path / "server", "--trust-domain", "a.test", "--host", "127.0.0.1")
    password = re.search(r"with the password (\S+)", made.stdout)[1]
    with ServerProcess(tmp_path / "server") as running:
        admin = visit(chromium, running, None)
        admin.go("/users")
        page = admin.page
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        assert "do not belong together" in page.get_by_role("alert").inner_text()
        expect(page.get_by_label("Name")).to_have_value("admin")
        page.get_by_label("Password", exact=True).fill(password)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Choose a password").wait_for()
        page.get_by_label("Present password").fill(password)
        page.get_by_label("New password", exact=True).fill("seven quiet machines")
        page.get_by_label("New password again").fill("seven quiet machines")
        page.get_by_role("button", name="Save the password").click()
        page.wait_for_url(re.compile("^(?!.*password)"))
        admin.go("/users")
        form = page.locator("#add")
        form.get_by_label("Name").fill("bo")
        form.get_by_label("Role").select_option("operator")
        form.get_by_role("button", name="Add the user").click()
        given = page.locator(".copy pre").inner_text()
        page.get_by_role("link", name="bo", exact=True).click()
        page.get_by_role("heading", name="bo", exact=True).wait_for()
        bo = visit(chromium, running, None)
        bo.go("/login")
        bo.page.get_by_label("Name").fill("bo")
        bo.page.get_by_label("Password", exact=True).fill(given)
        bo.page.keyboard.press("Enter")
        bo.page.get_by_role("heading", name="Choose a password").wait_for()
        page.get_by_role("button", name="Lock out…").click()
        page.get_by_role("button", name="Lock out", exact=True).click()
        assert "bo is locked out" in page.locator("#notice").inner_text()
        bo.go("/fleet")
        assert bo.page.url.endswith("/login?next=/fleet"), "at once"
        bo.close()
        admin.close()


def test_a_token_is_made_shown_once_and_revoked(somebody, server):
    ada = somebody("operator")
    ada.go("/tokens")
    page = ada.page
    form = page.locator("#add")
    form.get_by_label("What for").fill("build server")
    assert [
        one.get_attribute("value") for one in form.get_by_label("What it may").locator("option").all()
    ] == [
        "viewer",
        "operator",
    ]
    form.get_by_label("What it may").select_option("operator")
    form.get_by_label("Packages").check()
    form.get_by_role("button", name="Make the token").click()
    secret = page.locator(".copy pre").inner_text()
    assert server.operator.request("GET", "/packages", token=secret).status == 200
    assert server.operator.request("GET", "/devices", token=secret).status == 403
    ada.go("/tokens")
    assert secret not in page.content()
    row = page.get_by_role("row").filter(has_text="build server")
    row.get_by_role("button", name="Revoke…").click()
    page.get_by_role("button", name="Revoke", exact=True).locator("visible=true").click()
    assert "opens nothing any more" in page.locator("#notice").inner_text()
    assert server.operator.request("GET", "/packages", token=secret).status == 401


def test_the_audit_shows_changes_as_they_happen_and_filters_by_a_click(somebody, server, unique):
    ada = somebody("viewer")
    ada.go("/audit")
    server.operator.post("/users", {"name": unique})
    ada.page.get_by_role("link", name=unique).wait_for()
    ada.page.get_by_role("link", name=unique).click()
    expect(ada.page.locator("[id^=entry-]")).to_have_count(1)
    ada.page.locator("[id^=entry-] summary").click()
    expect(ada.page.locator("[id^=entry-] .diff tbody tr")).to_have_count(3)
    with ada.page.expect_download() as taken:
        ada.page.get_by_role("link", name="CSV").click()
    assert unique in taken.value.path().read_text()


def test_what_has_to_be_mended_is_called_as_the_form_calls_it(somebody):
    ada = somebody("admin")
    ada.go("/account/password")
    ada.page.get_by_label("Present password", exact=True).fill(PASSWORD)
    for label in ("New password", "New password again"):
        ada.page.get_by_label(label, exact=True).fill("short")
    ada.page.get_by_role("button", name="Save the password").click()
    told = ada.page.get_by_role("alert").first
    told.get_by_role("link", name="New password", exact=True).wait_for()
    ada.go("/enrollments")
    ada.page.get_by_label("Name", exact=True).fill("line 4")
    ada.page.get_by_role("button", name="Make an invitation").click()
    ada.page.get_by_role("alert").first.get_by_role("link", name="Name", exact=True).wait_for()
