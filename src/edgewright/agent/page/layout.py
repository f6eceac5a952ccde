"""The frame of every page, and the pages around the overview: signing in, and what went wrong."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from edgewright.agent.page.html import Child, Html, element

ICONS: Final = {
    "good": "M5 12.5l4.5 4.5L19 7.5",
    "wait": "M12 7v5.5l3.5 2",
    "bad": "M12 7v6M12 16.6v.4",
    "busy": "M12 6v9M8 11.5l4 4 4-4",
    "quiet": "M7 12h10",
}
"""A drawing for each tone, so that colour is never all that tells them apart."""


@cache
def asset(name: str) -> bytes:
    """Return one of the files that come with the page."""
    return files("edgewright.agent.page").joinpath("assets", name).read_bytes()


@cache
def link_to(name: str) -> str:
    """Return where the browser finds it: another address for another content, so that it may keep it."""
    return f"/assets/{name}?{hashlib.sha256(asset(name)).hexdigest()[:12]}"


def icon(tone: str) -> Html:
    """Return the drawing of a tone."""
    path = element("path", d=ICONS.get(tone, ICONS["quiet"]))
    circle = element("circle", cx=12, cy=12, r=10)
    return element("svg", circle, path, class_=f"icon {tone}", viewBox="0 0 24 24", aria_hidden="true")


def chip(text: str, tone: str) -> Html:
    """Return a state: a word, its drawing and its colour."""
    return element("span", icon(tone), text, class_=f"chip {tone}")


def name(text: str) -> Html:
    """Return a name from outside, kept apart from the writing direction of what is around it."""
    return element("bdi", text)


def page(title: str, body: Child, *, device: str = "", menu: Child = None, tag: str = "") -> bytes:
    """Return a whole page; `tag` changes with what it shows, for the script that looks for news."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} - {device}" if device else title),
        element("link", rel="icon", href=link_to("icon.svg"), type="image/svg+xml"),
        element("link", rel="stylesheet", href=link_to("page.css")),
        element("script", src=link_to("page.js"), defer=True),
    )
    brand = element(
        "a", element("img", src=link_to("icon.svg"), alt="", width=28, height=28), class_="brand", href="/"
    )
    heading = element(
        "div", element("span", "Edgewright", class_="product"), element("b", name(device or "this device"))
    )
    header = element(
        "header", element("div", brand, heading, element("nav", menu), class_="bar"), class_="top"
    )
    skip = element("a", "To the content", class_="skip", href="#main")
    main = element("main", body, id="main", tabindex=-1)
    document = element("html", head, element("body", skip, header, main, data_tag=tag or None), lang="en")
    return b"<!doctype html>\n" + document.encode("utf-8", "replace")


def field(label: str, control: Child, *, hint: str = "") -> Html:
    """Return a labelled input."""
    return element(
        "label", element("span", label), control, element("small", hint) if hint else None, class_="field"
    )


def text_input(
    field_name: str, value: str = "", *, required: bool = False, limit: int = 200, **more: str | bool
) -> Html:
    """Return a line to type in."""
    return element("input", name=field_name, value=value, required=required, maxlength=limit, **more)


def button(text: str, kind: str = "", **more: str) -> Html:
    """Return a button that sends the form it is in."""
    return element("button", text, type="submit", class_=f"button {kind}".strip(), **more)


def notice(text: Child, tone: str) -> Html:
    """Return a line that has to be seen."""
    role = "alert" if tone == "bad" else "status"
    return element("div", icon(tone), element("div", text), class_=f"notice {tone}", role=role)


def sign_in(*, problem: str = "", person: str = "") -> bytes:
    """Return the page to sign in on."""
    form = element(
        "form",
        element("h1", "Sign in"),
        element("p", "To see what runs on this device, and to decide what may change.", class_="quiet"),
        notice(problem, "bad") if problem else None,
        field(
            "Your name",
            text_input("name", person, required=True, limit=80, autocomplete="name", autocapitalize="words"),
        ),
        field(
            "Password of this device",
            text_input("password", required=True, type="password", autocomplete="current-password"),
            hint="Made when the device was set up. Capitals and dashes do not matter.",
        ),
        button("Sign in", "primary"),
        method="post",
        action="/login",
        class_="card narrow",
    )
    return page("Sign in", form)


def trouble(title: str, text: str) -> bytes:
    """Return a page that says what is wrong, and leads back."""
    body = element(
        "section",
        element("h1", title),
        element("p", text, class_="message"),
        element("a", "To the overview", class_="button", href="/"),
        class_="card narrow",
    )
    return page(title, body)
