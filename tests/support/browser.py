"""Somebody with a real browser at a real server: what they see, and what the browser complains about.

with ServerProcess.create(tmp_path / "server") as server:
    ada = visit(chromium, server, "operator", width=360, scheme="dark")
    ada.go("/fleet")
    ada.picture("fleet-360-dark")      # into build/screenshots/
    assert ada.faults() == []          # axe: what keeps people with disabilities out
    assert ada.complaints == []
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Response, expect, sync_playwright

from support.fixtures import unavailable
from support.own_network import OwnNetwork
from support.people import sign_in
from support.server_process import ServerProcess

TOP = Path(__file__).resolve().parents[2]
AXE = TOP / ".cache/npm/node_modules/axe-core/axe.min.js"
SCREENSHOTS = Path(os.environ.get("EDGEWRIGHT_SCREENSHOTS") or TOP / "build/screenshots")
"""Where pictures of the pages are left for people to look at."""

WIDTHS = (360, 768, 1280, 1920)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TOUCHED = 1000
"""Below this width pages are for fingers."""
_HEIGHTS = {360: 740, 768: 1024}
_PATIENCE_MS = 30_000
expect.set_options(timeout=_PATIENCE_MS)
_NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"

_STICKS_OUT = """
document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('main *')]
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll'))
        .map(each => each.outerHTML.slice(0, 160))
        .concat([`the page is ${document.documentElement.scrollWidth} px wide`])
"""
_TOO_SMALL = """
[...document.querySelectorAll(`button, a.button, select, summary, .side a,
        input:not([type=hidden], [type=checkbox], [type=radio])`)]
    .filter(each => each.checkVisibility({visibilityProperty: true}))
    .filter(each => each.getBoundingClientRect().height < 43.5)
    .map(each => each.outerHTML.slice(0, 160))
"""
_NUMBER_CLICKABLE = """() => {
    const clickable = [...document.querySelectorAll(`a[href], button, select, textarea, summary,
            input:not([type=hidden], [type=radio])`)]
        .filter(each => each.checkVisibility({visibilityProperty: true}) && !each.disabled)
        .filter(each => !each.closest('[aria-hidden=true]'));
    clickable.forEach((each, index) => { each.dataset.clickable = index; });
    return clickable.length;
}"""
# The ring of a focus may be an outline, a shadow or a border; an element that gets none is lost to the eye.
_FOCUSED = """() => {
    const here = document.activeElement;
    if (!here || here === document.body) { return null; }
    here.dataset.clickable ??= `other ${Math.random()}`;
    const style = getComputedStyle(here);
    return {
        number: here.dataset.clickable,
        shows: style.outlineStyle !== 'none' || style.boxShadow !== 'none',
        html: here.outerHTML.slice(0, 160),
    };
}"""
_MISSED = """seen => [...document.querySelectorAll('[data-clickable]')]
    .filter(each => !seen.includes(each.dataset.clickable))
    .filter(each => each.checkVisibility({visibilityProperty: true}))
    .map(each => each.outerHTML.slice(0, 160))
"""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The distribution's browser, without a window, and in a network of its own where that may be made."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        unavailable("no Chromium; tools/bootstrap test installs it")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with (
        OwnNetwork(tmp_path_factory.mktemp("browser"), program) as network,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=network.launcher, args=options)
        network.open()
        yield browser
        browser.close()


def load(page: Page, address: str) -> Response:
    """Open an address and wait until it has loaded; it may be an error page as well as anything else.

    A browser that has no network of its own takes the coming and going of containers for a change of the
    network and breaks off what it is loading: then it is loaded again.
    """
    while True:
        try:
            answer = page.goto(address)
        except Error as error:
            if _NETWORK_CHANGED not in error.message:
                raise
        else:
            assert answer is not None
            return answer


@dataclass(slots=True)
class Visitor:
    """One person with one window. Whatever the browser complains about is kept in `complaints`."""

    address: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, path: str) -> Response:
        """Open a page and wait until it has loaded; it may show an error as well as anything else."""
        answer = load(self.page, self.address + path)
        # The page may have come while a part of it was broken off; see load.
        while any(_NETWORK_CHANGED in one for one in self.complaints):
            self.complaints = [one for one in self.complaints if _NETWORK_CHANGED not in one]
            answer = load(self.page, self.address + path)
        return answer

    def picture(self, name: str) -> None:
        """Leave a picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def faults(self, *rules: str) -> list[str]:
        """Return what axe finds wrong with the page by these rules, or by all it has."""
        if not AXE.exists():
            unavailable("no axe-core; tools/bootstrap test installs it")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"{AXE.read_text()};0")
        found: dict[str, Any] = self.page.evaluate(
            "rules => axe.run(rules.length ? {runOnly: {type: 'rule', values: rules}} : {})", list(rules)
        )
        return [
            f"{fault['id']}: {fault['help']}: {node['html'][:200]}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]

    def sticks_out(self) -> list[str]:
        """Return what makes the page scroll sideways."""
        found: list[str] = self.page.evaluate(_STICKS_OUT)
        return found

    def too_small(self) -> list[str]:
        """Return what a finger misses: buttons, fields and entries of the navigation below 44 px."""
        found: list[str] = self.page.evaluate(_TOO_SMALL)
        return found

    def unreachable(self) -> list[str]:
        """Return what can be clicked and yet is not reached by the Tab key, or does not show when it is."""
        wanted = self.page.evaluate(_NUMBER_CLICKABLE)
        self.page.locator("body").press("Tab")
        hidden: dict[str, str] = {}
        seen: set[str] = set()
        # Once round, and through the browser's own buttons, wherever the focus was at first.
        # Some fields have several stops of their own.
        last = ""
        for _ in range(2 * wanted + 40):
            here = self.page.evaluate(_FOCUSED)
            if here is not None and here["number"] in seen and here["number"] != last:
                break
            last = here["number"] if here is not None else ""
            if here is not None:
                if here["shows"]:
                    hidden.pop(here["number"], None)
                elif here["number"] not in seen:
                    hidden[here["number"]] = here["html"]
                seen.add(here["number"])
            self.page.keyboard.press("Tab")
        missed: list[str] = self.page.evaluate(_MISSED, sorted(seen))
        return [
            *(f"focus does not show: {html}" for html in hidden.values()),
            *(f"never reached: {html}" for html in missed),
        ]

    def wrong(self, name: str, *, keyboard: bool = False) -> list[str]:
        """Return what is wrong with the page for anybody, in light and in dark, and leave pictures of both.

        Which scheme it is changes colours alone: only those are looked at twice. With `keyboard` everything
        has to be reached by it, too. What the browser complained about is in it and forgotten.
        """
        if self.page.locator("[hx-trigger^=load]").count():
            self.page.wait_for_load_state("networkidle")
        size = self.page.viewport_size
        assert size is not None
        told = []
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            rules = () if scheme == SCHEMES[0] else ("color-contrast",)
            told += [f"{scheme}: {fault}" for fault in self.faults(*rules)]
            self.picture(f"{name}-{size['width']}-{scheme}")
        told += self.sticks_out()
        told += self.too_small() if size["width"] < TOUCHED else []
        told += self.unreachable() if keyboard else []
        told += self.complaints
        self.complaints.clear()
        return told

    def close(self) -> None:
        """Close the window, and with it everything this person had."""
        self.context.close()


def visit(
    browser: Browser,
    server: ServerProcess,
    role: str | None = "operator",
    *,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
    motion: bool = False,
) -> Visitor:
    """Return somebody with that role in a new window; with role None nobody is signed in."""
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHTS.get(width, 900)},
        color_scheme=scheme,
        java_script_enabled=scripts,
        ignore_https_errors=True,
        reduced_motion="no-preference" if motion else "reduce",
        has_touch=width < TOUCHED,
    )
    context.set_default_timeout(_PATIENCE_MS)
    if role is not None:
        signed_in = sign_in(server, role)
        for name, value in signed_in.cookies.items():
            context.add_cookies([{"name": name, "value": value, "url": server.web_url, "secure": True}])
    page = context.new_page()
    visitor = Visitor(server.web_url, context, page)
    page.on("console", lambda message: visitor.complaints.append(message.text))
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    page.on("request", lambda request: visitor.requests.append(request.url))
    return visitor
