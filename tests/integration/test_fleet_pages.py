"""The pages of the fleet and of its devices: every state in words, in a real browser and without scripts."""

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import expect

from support.browser import WIDTHS, visit
from support.fleet_scene import make_fleet
from support.foreign_client import ForeignClient
from support.people import Browser, sign_in
from support.server_process import ServerProcess

PAGES = ("/fleet", "/fleet?state=silent", "/devices/asked", "/devices/behind", "/devices/lost", "/policies")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("fleet-pages") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def devices(
    server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ForeignClient]]:
    made = make_fleet(server, tmp_path_factory.mktemp("devices"))
    yield made
    for device in made.values():
        device.close()


@pytest.fixture(scope="module")
def ada(server: ServerProcess, devices: object) -> Browser:
    return sign_in(server, "operator")


def text_of(answer: Any) -> str:
    return unescape(" ".join(answer.body.decode().split()))


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23", "ST-25")
@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("well", "converged", "All that is to run here is installed"),
        ("broken", "failed", "component app: the container exited with 3"),
        ("asked", "waiting-for-approval", "A change waits for somebody at the device"),
        ("asked", "waiting-for-approval", "waits for approval number 7"),
        ("behind", "behind", "what the device said last is about an older version"),
        ("behind", "behind", '<td data-label="As the device said last"><del>1.0.0</del></td>'),
        ("night", "planned-silence", "outside its polling periods"),
        ("night", "planned-silence", "When it was last heard of:"),
        ("lost", "silent", "Nobody here knows how it is"),
        ("lost", "silent", "When it was last heard of:"),
        ("new", "never", "was never heard of"),
        ("gone", "retired", "It is not let in any more"),
    ],
)
def test_a_device_page_says_how_it_is_and_why(
    server: ServerProcess, devices: dict[str, ForeignClient], ada: Browser, name: str, state: str, told: str
) -> None:
    if name in {"well", "broken", "asked", "behind"}:
        devices[name].poll()
    assert server.operator.get(f"/devices/{name}")["state"] == state
    answer = ada.get(f"/devices/{name}")
    assert answer.status == 200
    assert told in text_of(answer)


def test_the_list_has_the_words_of_the_devices_pages(
    server: ServerProcess, devices: dict[str, ForeignClient], ada: Browser
) -> None:
    shown = text_of(ada.get("/fleet?state=silent"))
    assert 'href="/devices/lost"' in shown
    assert 'href="/devices/well"' not in shown
    assert "last said: up to date" in shown
    both = text_of(ada.get("/fleet?selector=site%3Dberlin%2C+line+in+(4)&sort=-name"))
    places = [both.index(f'href="/devices/{name}"') for name in ("well", "lost", "broken")]
    assert places == sorted(places)
    nobody = text_of(ada.get("/fleet?q=nobody-at-all"))
    assert "No device is like that" in nobody


@pytest.mark.parametrize(
    "query", ["state=up", "selector=a%3D%3D%3Db", "sort=size", "after=%21", "q=" + "x" * 300]
)
def test_a_filter_that_means_nothing_is_told_beside_the_list(ada: Browser, query: str) -> None:
    answer = ada.get(f"/fleet?{query}")
    assert answer.status == 422
    assert 'role="alert"' in text_of(answer)
    assert 'href="/devices/well"' in text_of(answer)


def test_labels_are_typed_and_faults_keep_what_was_typed(server: ServerProcess, ada: Browser) -> None:
    ada.get("/devices/new")
    assert ada.post("/devices/new/labels", {"labels": "site=bonn\r\nspare"}).status == 303
    assert server.operator.get("/devices/new")["own_labels"] == {"site": "bonn", "spare": ""}
    wrong = ada.post("/devices/new/labels", {"labels": "site=bonn, <b>=1"})
    assert wrong.status == 422
    assert "site=bonn, &lt;b&gt;=1" in wrong.body.decode()
    assert ada.post("/devices/new/labels", {"labels": ""}).status == 303
    assert server.operator.get("/devices/new")["own_labels"] == {}
    found = ada.post("/fleet/labels?q=new", {"labels": "hall=7"})
    assert (found.status, found.headers["location"]) == (303, "/fleet?q=new")
    assert server.operator.get("/devices?selector=hall=7&limit=1")["total"] == 1
    assert ada.post("/fleet/labels?q=new", {"labels": " , "}).status == 422


def test_a_policy_is_explained_then_suggested_then_withdrawn(server: ServerProcess, ada: Browser) -> None:
    ada.get("/devices/new/policy")
    typed = "apply:\n  windows: ['Sat 02:00-05:00 Europe/Berlin']\n"
    meaning = ada.post("/devices/new/policy", {"policy": typed, "check": "1"})
    assert "Saturday from 02:00 to 05:00 (Europe/Berlin)" in text_of(meaning)
    assert server.operator.request("GET", "/devices/new/policy").status == 404
    wrong = ada.post("/devices/new/policy", {"policy": "polling:\n  rate: often\n"})
    assert wrong.status == 422
    assert "line 2: polling.rate" in text_of(wrong)
    assert ada.post("/devices/new/policy", {"policy": typed}).status == 303
    assert server.operator.get("/devices/new/policy")["device"] == "new"
    assert 'href="/devices/new/policy"' in text_of(ada.get("/policies"))
    assert ada.post("/devices/new/policy/withdraw", {}).status == 303
    assert server.operator.request("GET", "/devices/new/policy").status == 404


@pytest.mark.requirement("ST-25")
def test_no_page_puts_what_was_said_before_a_change_beside_what_is_wanted_since(
    server: ServerProcess, devices: object, ada: Browser
) -> None:
    for name, times in (("behind", 1), ("well", 0)):
        (shown,) = server.operator.get(f"/devices/{name}")["deployments"]
        for path in (f"/devices/{name}", f"/deployments/{shown['id']}"):
            assert text_of(ada.get(path)).count("before the change") == times


@pytest.mark.requirement("OFF-4", "ST-25")
def test_deployments_of_the_api_say_whether_their_device_is_there_to_be_believed(
    server: ServerProcess, devices: dict[str, ForeignClient]
) -> None:
    devices["well"].poll()
    for name, state in (("well", "converged"), ("lost", "silent"), ("night", "planned-silence")):
        (listed,) = server.operator.items(f"/deployments?device={name}")
        shown = server.operator.get(f"/deployments/{listed['id']}")
        (of_device,) = server.operator.get(f"/devices/{name}")["deployments"]
        assert {one["device_state"] for one in (listed, shown, of_device)} == {state}


@pytest.mark.requirement("OFF-4", "ST-25")
def test_no_page_of_deployments_calls_well_what_nobody_has_heard_of(
    server: ServerProcess, devices: object, ada: Browser
) -> None:
    (shown,) = server.operator.get("/devices/lost")["deployments"]
    one = text_of(ada.get(f"/deployments/{shown['id']}"))
    assert "lost: silent" in one
    assert "What is shown here is what it said last" in one
    (well,) = server.operator.get("/devices/well")["deployments"]
    assert "what it said last" not in text_of(ada.get(f"/deployments/{well['id']}"))
    listed = text_of(ada.get("/deployments?q=shop-lost"))
    assert "said last; the device:" in listed
    assert "not in contact now" in listed


def test_a_device_is_retired_and_accepted_again(server: ServerProcess, ada: Browser) -> None:
    page = text_of(ada.get("/devices/new"))
    assert "What runs on new goes on running" in page
    assert ada.post("/devices/new/retire", {}).status == 303
    assert "Accept again" in text_of(ada.get("/devices/new"))
    assert ada.post("/devices/new/accept", {}).status == 303
    assert server.operator.get("/devices/new")["admission"] == "accepted"


def test_who_may_only_look_sees_all_and_changes_nothing(server: ServerProcess, devices: object) -> None:
    viewer = sign_in(server, "viewer")
    for path in PAGES:
        answer = viewer.get(path)
        assert answer.status == 200
        assert b'<form method="post"' not in answer.body.replace(b'class="form" ', b"").split(b"<main")[1]
    for path in ("/devices/well/retire", "/devices/well/labels", "/fleet/labels", "/policies"):
        assert viewer.post(path, {"labels": "a=b", "policy": ""}).status == 403
    assert server.operator.get("/devices/well")["admission"] == "accepted"


def test_a_device_nobody_knows_has_no_page(ada: Browser) -> None:
    for path in ("/devices/nobody", "/devices/nobody/policy"):
        answer = ada.get(path, Accept="text/html")
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_are_for_everybody_and_every_screen(
    chromium: Any, server: ServerProcess, devices: object, width: int
) -> None:
    visitor = visit(chromium, server, "operator", width=width)
    try:
        for path in PAGES:
            visitor.go(path)
            assert visitor.wrong(path.strip("/").replace("/", "-").replace("?", "-")) == [], path
    finally:
        visitor.close()


@pytest.mark.requirement("ST-25")
def test_an_open_page_follows_its_device_without_a_reload(
    chromium: Any, server: ServerProcess, devices: dict[str, ForeignClient]
) -> None:
    devices["well"].poll()
    visitor = visit(chromium, server, "operator")
    try:
        visitor.go("/devices/well")
        visitor.page.evaluate("window.here = true")
        visitor.page.locator("textarea[name=labels]").fill("half typed")
        shown = server.operator.get("/devices/well")["deployments"][0]
        devices["well"].report_status(shown["id"], "installing", shown["manifest_version"])
        visitor.page.locator("#state .badge", has_text="Taking up").wait_for()
        devices["well"].report_status(shown["id"], "installed", shown["manifest_version"])
        visitor.page.locator("#state .badge", has_text="Up to date").wait_for()
        expect(visitor.page.locator("textarea[name=labels]")).to_have_value("half typed")
        assert visitor.page.evaluate("window.here")
        visitor.go("/fleet?q=well")
        devices["well"].report_status(shown["id"], "installing", shown["manifest_version"])
        visitor.page.locator("#device-well .badge", has_text="Taking up").wait_for()
        devices["well"].report_status(shown["id"], "installed", shown["manifest_version"])
        visitor.page.locator("#device-well .badge", has_text="Up to date").wait_for()
    finally:
        visitor.close()
