"""Every page there is, found by following links: it fits, reads well and works by keyboard.

On an empty server, where pages say what to do next, and on one with a small fleet in all its moods.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from edgewright.server.web.navigation import NAVIGATION
from support.browser import WIDTHS, Visitor, visit
from support.fleet_scene import assign, make_fleet, offer_packages
from support.server_process import ServerProcess
from support.web_routes import web_routes

AREAS = [area.path for group in NAVIGATION for area in group.areas]
BESIDE_THE_NAVIGATION = [
    "/",
    "/search?q=e",
    "/account",
    "/account/password",
    "/deploy",
    "/repositories",
    "/no/such/page",
]
REACHED_OTHERWISE = ["/devices", "/packages/shop/1.0.0/devices"]
"""What only leads on, and what a script puts into another page."""
_LINKS = """[...document.querySelectorAll('main a[href]:not([download])')].map(each => each.href)
    .filter(each => each.startsWith(location.origin)).map(each => each.slice(location.origin.length))"""
_CHANGES = "[...document.querySelectorAll('main form[method=post]')].map(each => each.getAttribute('action'))"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("empty") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("full") / "server") as running:
        fleet = make_fleet(running, tmp_path_factory.mktemp("devices"))
        running.operator.post("/enrollments", {"name": "invited"})
        offer_packages(running, tmp_path_factory.mktemp("offers"))
        assign(running)
        yield running
        for device in fleet.values():
            device.close()


@pytest.fixture(scope="module")
def paths(chromium: Browser, full: ServerProcess) -> list[str]:
    """One address for every kind of page that links lead to, from the start page on."""
    walker = visit(chromium, full, "admin")
    found: dict[str, str] = {}
    rollout = full.operator.items("/rollouts")[0]["id"]
    todo = ["/", *AREAS, *BESIDE_THE_NAVIGATION, *REACHED_OTHERWISE, f"/rollouts/{rollout}/events"]
    while todo:
        path = todo.pop(0)
        kind = _kind(path)
        if kind in found or kind is None:
            continue
        found[kind] = path
        walker.go(path)
        todo += walker.page.evaluate(_LINKS)
    walker.close()
    return sorted([*found.values(), "/deploy?application=shop"])


def test_links_lead_to_every_page_there_is(paths: list[str]) -> None:
    reached = {_kind(path) for path in paths}
    pages = {
        route.path
        for route in web_routes()
        if route.method == "GET" and not route.handler.opt.get("public") and _is_page(route.path)
    }
    assert pages - reached == set()


@pytest.mark.requirement("S-27")
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_of_an_empty_server_is_fit_for_people(
    chromium: Browser, empty: ServerProcess, width: int
) -> None:
    _judge(visit(chromium, empty, "admin", width=width), ["/", *AREAS, *BESIDE_THE_NAVIGATION], "empty")


@pytest.mark.requirement("S-27")
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_of_a_fleet_is_fit_for_people(
    chromium: Browser, full: ServerProcess, paths: list[str], width: int
) -> None:
    _judge(visit(chromium, full, "admin", width=width), paths, "full")


def test_who_may_only_look_finds_no_button_that_changes_anything(
    chromium: Browser, full: ServerProcess, paths: list[str]
) -> None:
    eve = visit(chromium, full, "viewer")
    offered = {}
    for path in paths:
        if eve.go(path).status != 200:
            continue
        forms: list[str] = eve.page.evaluate(_CHANGES)
        theirs = [action for action in forms if not action.startswith(("/account", "/tokens", "/logout"))]
        if theirs:
            offered[path] = theirs
    eve.close()
    assert offered == {}


def _judge(ada: Visitor, paths: list[str], what: str) -> None:
    wrong: dict[str, list[str]] = {}
    for path in paths:
        answer = ada.go(path)
        told = [] if answer.status == (404 if path == "/no/such/page" else 200) else [f"{answer.status}"]
        if answer.status == 404:
            ada.complaints = [one for one in ada.complaints if "404 (Not Found)" not in one]
        told += ada.wrong(f"{what}-{_file_name(path)}", keyboard=True)
        if ada.page.get_by_role("heading", level=1).count() != 1:
            told.append("not one heading of the first level")
        if told:
            wrong[path] = told
    ada.close()
    assert wrong == {}


_ROUTES = sorted(
    {route.path for route in web_routes() if route.method == "GET"}, key=lambda path: "{" in path
)


def _kind(path: str) -> str | None:
    """Return the route of an address; None for what is no page."""
    plain = urlsplit(path).path
    for route in _ROUTES:
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", route)
        )
        if re.fullmatch(pattern, plain):
            return route if _is_page(route) else None
    return plain if path == "/no/such/page" else None


def _is_page(route: str) -> bool:
    """Whether a route shows a page, rather than a file or something for programs."""
    return not route.startswith(("/operator", "/live", "/.well-known")) and "/files/" not in route


def _file_name(path: str) -> str:
    return re.sub(r"[^\w.-]+", "-", urlsplit(path).path.strip("/")) or "start"
