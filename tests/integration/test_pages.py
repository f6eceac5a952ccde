"""The frame of the pages in a real browser: what every page has, live news, search, keys and errors."""

import json
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from support.browser import WIDTHS, visit
from support.gallery import gallery
from support.operating import description, tar_of, upload
from support.people import PASSWORD, add_person
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess.create(tmp_path_factory.mktemp("pages") / "server") as running:
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


def test_an_empty_server_shows_the_first_steps_and_goes_on_by_itself(somebody, server):
    ada = somebody("operator")
    ada.go("/")
    ada.page.get_by_role("heading", name="Welcome").wait_for()
    ada.picture("first-steps")
    server.operator.post("/enrollments", {"name": "edge-01"})
    ada.page.get_by_text("Waiting for edge-01 to use its invitation").wait_for()
    server.operator.post("/devices/edge-02/accept")
    ada.page.get_by_text("1 of 3 steps done").wait_for()
    assert ada.complaints == []


def test_a_person_signs_in_and_out_by_the_forms_they_see(somebody, server):
    add_person(server, "bo", "operator")
    bo = somebody(None)
    bo.go("/enrollments")
    bo.page.get_by_label("Name", exact=True).fill("bo")
    bo.page.get_by_label("Password", exact=True).fill(PASSWORD)
    bo.page.get_by_role("button", name="Sign in").click()
    bo.page.wait_for_url("**/enrollments")
    bo.page.get_by_role("button", name="Account of bo").click()
    bo.page.get_by_role("button", name="Sign out").click()
    bo.page.wait_for_url("**/login")
    assert bo.go("/enrollments").url.endswith("/login?next=/enrollments")


def test_who_may_only_look_is_told_so(somebody):
    visitor = somebody("viewer")
    visitor.go("/")
    expect(visitor.page.get_by_text("An operator does these steps")).to_be_visible()
    expect(visitor.page.get_by_role("link", name="Deploy", exact=True)).to_have_count(0)


def test_a_page_nobody_made_says_so_with_the_whole_frame(somebody):
    ada = somebody("operator")
    answer = ada.go("/no/such/page")
    assert answer.status == 404
    expect(ada.page.get_by_role("heading", name="There is no such page")).to_be_visible()
    expect(ada.page.get_by_role("navigation", name="Main")).to_be_visible()
    ada.picture("no-such-page")


def test_a_page_nobody_made_tells_strangers_nothing_of_the_frame(somebody):
    stranger = somebody(None)
    assert stranger.go("/no/such/page").status == 404
    expect(stranger.page.get_by_role("navigation", name="Main")).to_have_count(0)
    expect(stranger.page.get_by_role("link", name="Sign in")).to_be_visible()


def test_programs_get_errors_as_problems_and_not_as_pages(server):
    answer = server.operator.request("GET", "/no-such-thing")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_search_finds_what_is_typed_and_arrows_lead_there(somebody, server):
    server.operator.post("/devices/press-07/accept")
    ada = somebody("operator")
    ada.go("/")
    ada.page.keyboard.press("/")
    ada.page.keyboard.type("ress-0")
    ada.page.get_by_role("link", name="press-07").wait_for()
    ada.picture("search-as-you-type")
    ada.page.keyboard.press("ArrowDown")
    assert ada.page.evaluate("document.activeElement.getAttribute('href')") == "/devices/press-07"
    ada.page.keyboard.press("Escape")
    expect(ada.page.get_by_role("link", name="press-07")).to_be_hidden()
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_url("**/search?q=ress-0")
    expect(ada.page.locator("main").get_by_role("link", name="press-07")).to_be_visible()
    assert ada.complaints == []


@pytest.mark.parametrize("text", ["100%", "_", "\\", "<b>x</b>", "'; drop table clients; --", "ä" * 300])
def test_search_takes_whatever_is_typed(somebody, server, text):
    ada = somebody("operator")
    ada.go("/search")
    field = ada.page.locator("main").get_by_role("searchbox")
    field.fill(text)
    field.press("Enter")
    ada.page.get_by_text("Nothing is called").wait_for()
    assert ada.complaints == []


def test_keys_lead_through_the_navigation_and_are_explained(somebody):
    ada = somebody("operator")
    ada.go("/")
    ada.page.keyboard.press("?")
    dialog = ada.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    ada.picture("shortcuts")
    ada.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    ada.page.keyboard.press("g")
    with ada.page.expect_navigation(url="**/fleet"):
        ada.page.keyboard.press("f")


def test_keys_do_nothing_while_somebody_types(somebody):
    ada = somebody("operator")
    ada.go("/search")
    field = ada.page.locator("main").get_by_role("searchbox")
    field.press_sequentially("g f ? /")
    expect(field).to_have_value("g f ? /")
    expect(ada.page.get_by_role("dialog")).to_be_hidden()


def test_the_choice_of_light_and_dark_outlasts_the_page(somebody):
    ada = somebody("operator", scheme="light")
    ada.go("/")
    before = ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
    ada.page.get_by_role("button", name="Light or dark").click()
    ada.go("/search")
    assert ada.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert ada.page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_lost_connection_is_said_and_what_was_missed_is_fetched(somebody, server):
    ada = somebody("operator")
    ada.go("/")
    ada.page.get_by_text("of 3 steps done").wait_for()
    server.stop()
    ada.page.get_by_text("Not live: connecting again").wait_for()
    ada.picture("not-live")
    server.start()
    ada.page.get_by_text("Not live: connecting again").wait_for(state="hidden")


def test_the_server_stops_at_once_though_pages_are_open(somebody, server):
    ada = somebody("operator")
    with ada.page.expect_request("**/live?*"):
        ada.go("/")
    server.stop()
    assert "Traceback" not in server.output
    server.start()


def test_somebody_signed_out_elsewhere_hears_nothing_more(somebody):
    ada = somebody("operator")
    ada.go("/search")
    ada.page.get_by_role("button", name="Account of").click()
    ada.page.get_by_role("button", name="Sign out").click()
    ada.page.wait_for_url("**/login")


def test_the_menu_works_on_a_phone_without_scripts(somebody):
    ada = somebody("operator", width=360, scripts=False)
    ada.go("/")
    navigation = ada.page.get_by_role("navigation", name="Main")
    expect(navigation).to_be_hidden()
    ada.page.get_by_role("button", name="Menu").click()
    expect(navigation).to_be_visible()
    ada.picture("menu-360")
    navigation.get_by_role("link", name="Devices").click()
    ada.page.wait_for_url("**/fleet")


def test_nothing_is_loaded_from_elsewhere(somebody):
    ada = somebody("operator")
    ada.go("/")
    assert ada.requests
    assert all(url.startswith(ada.address) for url in ada.requests)


def serve(visitor, path, *documents):
    """Have the browser get these documents at `path`, the last one again and again."""
    left = list(documents)

    def answer(route):
        route.fulfill(body=left.pop(0) if len(left) > 1 else left[0], content_type="text/html; charset=utf-8")

    visitor.page.route(f"**{path}", answer)


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_pages_are_made_of_fits_reads_well_and_works_by_keyboard(somebody, width):
    ada = somebody("operator", width=width)
    serve(ada, "/gallery", gallery())
    ada.go("/gallery")
    assert ada.wrong("gallery", keyboard=True) == []


def test_what_asks_first_is_a_dialog_that_changes_nothing_when_it_is_left(somebody):
    ada = somebody("operator")
    serve(ada, "/gallery", gallery())
    ada.go("/gallery")
    dialog = ada.page.get_by_role("dialog", name="Retire edge-berlin-01?")
    for leave in (
        lambda: ada.page.keyboard.press("Escape"),
        dialog.get_by_role("button", name="Cancel").click,
    ):
        ada.page.get_by_role("button", name="Retire…").click()
        expect(dialog).to_be_visible()
        assert ada.page.evaluate("document.activeElement.textContent") == "Cancel"
        leave()
        dialog.wait_for(state="hidden")
    assert all("/retire" not in url for url in ada.requests)


def test_what_asks_first_does_so_without_scripts_as_well(somebody):
    ada = somebody("operator", scripts=False)
    serve(ada, "/gallery", gallery())
    ada.go("/gallery")
    ada.page.get_by_role("button", name="Retire…").click()
    dialog = ada.page.get_by_role("dialog", name="Retire edge-berlin-01?")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="hidden")


def test_texts_to_copy_are_copied(somebody):
    ada = somebody("operator")
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=ada.address)
    serve(ada, "/gallery", gallery())
    ada.go("/gallery")
    ada.page.get_by_role("button", name="Copy", exact=True).click()
    ada.page.get_by_role("button", name="Copied").wait_for()
    copied = ada.page.evaluate("navigator.clipboard.readText()")
    assert copied == "edgewright agent enroll --file enrolment.json"


LIVE = """<!doctype html><html lang="en"><head><title>%s</title><meta name="csrf" content="">
<script src="/static/vendor/htmx.min.js" defer></script>
<script src="/static/vendor/idiomorph-ext.min.js" defer></script>
<script src="/static/app.js" defer></script></head>
<body data-topics="devices" data-address="/live-page"><p id="offline" hidden></p><input aria-label="Outside">
<div id="live"><p id="word">%s</p><details id="more"><summary>More</summary>Details of %s</details>
<form id="form"><input aria-label="Inside" name="a" value=""></form><button id="button">Press</button></div>
</body></html>"""


def test_news_arrive_without_a_reload_and_leave_alone_what_somebody_does(somebody, server):
    ada = somebody("operator")
    serve(ada, "/live-page", LIVE % ("one", "one", "one"), LIVE % ("two", "two", "two"))
    with ada.page.expect_response("**/live?topics=devices"):
        ada.go("/live-page")
    ada.page.evaluate("document.body.dataset.same = 'yes'")
    ada.page.get_by_text("More").click()
    ada.page.get_by_label("Inside").fill("half a sen")
    ada.page.get_by_label("Outside").fill("tence")
    ada.page.locator("#button").focus()
    server.operator.post("/devices/live-01/accept")
    ada.page.locator("#word").get_by_text("two").wait_for()
    assert ada.page.title() == "two"
    expect(ada.page.get_by_text("Details of two")).to_be_visible()
    expect(ada.page.get_by_label("Inside")).to_have_value("half a sen")
    expect(ada.page.get_by_label("Outside")).to_have_value("tence")
    assert ada.page.evaluate("document.activeElement.id") == "button"
    assert ada.page.evaluate("document.body.dataset.same") == "yes"


def answer_in_turn(visitor, *answers):
    """Have the browser get these, as status and word, at `/live-page`."""
    left = list(answers)

    def answer(route):
        status, word = left.pop(0)
        route.fulfill(status=status, body=LIVE % (word, word, word), content_type="text/html; charset=utf-8")

    visitor.page.route("**/live-page", answer)


def test_a_page_that_could_not_be_fetched_says_so_and_is_fetched_again(somebody, server):
    ada = somebody("operator")
    answer_in_turn(ada, (200, "one"), (500, "an error"), (200, "two"))
    with ada.page.expect_response("**/live?topics=devices"):
        ada.go("/live-page")
    server.operator.post("/devices/live-02/accept")
    ada.page.get_by_text("Not up to date: asking again").wait_for()
    assert ada.page.locator("#word").inner_text() == "one"
    ada.page.locator("#word").get_by_text("two").wait_for()
    ada.page.get_by_text("Not up to date").wait_for(state="hidden")


def test_a_page_whose_thing_is_gone_says_that_it_is_gone(somebody, server):
    ada = somebody("operator")
    answer_in_turn(ada, (200, "one"), (404, "no such page"))
    with ada.page.expect_response("**/live?topics=devices"):
        ada.go("/live-page")
    server.operator.post("/devices/live-03/accept")
    ada.page.get_by_text("What this page showed is no longer there").wait_for()


def test_changes_that_never_end_do_not_keep_a_page_from_following(somebody):
    ada = somebody("operator")
    answer_in_turn(ada, (200, "one"), *[(200, "two")] * 50)
    ada.page.add_init_script("""
        window.EventSource = class extends EventTarget {
            constructor() {
                super();
                setInterval(() => this.dispatchEvent(new Event('changed')), 50);
            }
            close() {}
        }
    """)
    ada.go("/live-page")
    ada.page.locator("#word").get_by_text("two").wait_for()


def test_a_link_that_was_cut_without_a_word_is_noticed(somebody):
    ada = somebody("operator")
    ada.page.clock.install()
    with ada.page.expect_response("**/live?*"):
        ada.go("/fleet")
    # Nothing is heard for as long as that, as far as the page can tell.
    with ada.page.expect_response("**/live?*"):
        ada.page.clock.fast_forward(60_000)
    ada.page.get_by_text("Not live").wait_for(state="hidden")


def test_a_page_opened_in_the_background_takes_no_connection_until_it_is_looked_at(somebody):
    ada = somebody("operator")
    ada.page.add_init_script(
        "Object.defineProperty(document, 'hidden', {get: () => !window.looked, configurable: true})"
    )
    ada.go("/fleet")
    ada.page.wait_for_load_state("networkidle")
    assert not [url for url in ada.requests if "/live?" in url]
    with ada.page.expect_response("**/live?*"):
        ada.page.evaluate("window.looked = true; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("topics", ["", ",,", "a\nb", ",".join(map(str, range(40))), "x" * 400])
def test_nobody_listens_to_what_cannot_change(server, topics):
    answer = server.operator.request("GET", f"/live?{urlencode({'topics': topics})}", prefix="")
    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "topics"


def test_strangers_hear_of_no_change(server):
    answer = server.operator.request("GET", "/live?topics=devices", prefix="", token="")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/live%3Ftopics%3Ddevices")


def test_the_deploy_form_says_which_chosen_device_does_not_fit(somebody, server):
    document = json.dumps(description("shop")).encode()
    assert upload(server.operator, tar_of({"margo.yaml": document})).status == 201
    server.operator.post("/devices/never-heard-of/accept")
    ada = somebody("operator")
    ada.go("/deploy?application=shop&device=never-heard-of")
    ada.page.locator("#check").get_by_text("never-heard-of:").wait_for()
    assert ada.complaints == []
