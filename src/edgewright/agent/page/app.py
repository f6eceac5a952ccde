"""What the page answers: who may ask, which page that is, and what a form does.

A form is obeyed only when it was sent from this page, with the token of the session it was drawn for.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from edgewright.agent import log
from edgewright.agent.on_site.desk import Desk
from edgewright.agent.page import password, session
from edgewright.agent.page.decisions import Form, choices
from edgewright.agent.page.history import SIGNED_IN, timeline
from edgewright.agent.page.html import Html, element
from edgewright.agent.page.layout import button, page, sign_in
from edgewright.agent.page.origin import is_from_here, is_ours
from edgewright.agent.page.overview import overview
from edgewright.agent.page.responses import asset_called, cookie, failed, html, redirect, text
from edgewright.agent.page.session import Session
from edgewright.agent.page.wire import Request, Response
from edgewright.agent.page.words import Clock
from edgewright.agent.paths import Paths
from edgewright.protocol.errors import EdgewrightError

VIA: Final = "page"
_DONE: Final = {
    "approved": "Approved. It starts as soon as everything else allows.",
    "postponed": "Postponed. You will be asked again.",
    "rejected": "Rejected. It stays as it is until somebody decides otherwise.",
    "paused": "All changes are paused.",
    "resumed": "Changes may start again.",
    "polled": "The fleet manager is being asked.",
    "retried": "It is being tried again.",
    "overridden": "It starts now.",
    "clock": "The clock is trusted again.",
}

_NEWS: Final = ("deployments", "approvals", "holds", "paused", "clock", "policy", "audit")
_ASSETS: Final = "/assets/"
_APPROVALS: Final = "/approvals/"
_FORMS: Final = {
    "/pause": ("pause", "paused"),
    "/resume": ("resume", "resumed"),
    "/poll": ("poll", "polled"),
    "/clock": ("accept-clock", "clock"),
    "/retry": ("retry", "retried"),
    "/now": ("override", "overridden"),
}
"""Where a form goes to: what the desk is asked to do, and the word for its being done."""

OpenDesk = Callable[[], AbstractContextManager[Desk]]


class App:
    """Answers requests. `open_desk` gives access to the state, `names` are the hosts it is asked as."""

    def __init__(
        self, paths: Paths, open_desk: OpenDesk, *, names: Collection[str] = (), now: Callable[[], float]
    ) -> None:
        self._paths = paths
        self._open_desk = open_desk
        self._names = {"localhost", socket.gethostname().lower(), *(each.lower() for each in names)}
        self._now = now
        self._tries = password.Tries(paths.page_tries)

    def answer(self, request: Request) -> Response:
        """Return the answer to `request`; errors raised on purpose become pages that tell them."""
        try:
            return self._route(request)
        except EdgewrightError as error:
            return failed("That did not work", str(error), HTTPStatus.SERVICE_UNAVAILABLE)

    def _route(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if request.path.startswith(_ASSETS):
            return asset_called(request.path.removeprefix(_ASSETS))
        secret = password.load(self._paths)
        if request.path == "/login":
            return self._login(request, secret) if request.method == "POST" else html(sign_in())
        known = session.read(request.cookies.get(session.COOKIE, ""), secret.key, self._now())
        if known is None:
            is_script = request.path == "/tag"
            return text("", HTTPStatus.UNAUTHORIZED) if is_script else redirect("/login")
        token = known.token(secret.key)
        if request.method != "POST":
            return self._get(request, known, token)
        if not known.is_token(secret.key, request.form.get("token", "")):
            return _forged()
        return self._post(request, known, token)

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to what is not looked at any further."""
        if not is_ours(request.headers.get("host", ""), self._names):
            told = "This page does not know the name it was asked by; see agent.yaml, page: names."
            return failed("Not here", told, HTTPStatus.MISDIRECTED_REQUEST)
        if request.method not in {"GET", "HEAD", "POST"}:
            return failed("Not like this", "Only GET and POST are known.", HTTPStatus.METHOD_NOT_ALLOWED)
        if request.method == "POST" and not is_from_here(request.headers):
            return _forged()
        return None

    def _login(self, request: Request, secret: password.Secret) -> Response:
        person = " ".join(request.form.get("name", "").split())
        if not person:
            problem = "Please tell your name: it is written down with what you decide."
            return html(sign_in(problem=problem), HTTPStatus.UNPROCESSABLE_ENTITY)
        wait = self._tries.take(self._now())
        if wait:
            seconds = int(wait) + 1
            problem = f"Too many tries. Please wait {seconds} seconds."
            again = ("Retry-After", str(seconds))
            return html(sign_in(problem=problem, person=person), HTTPStatus.TOO_MANY_REQUESTS, again)
        if not secret.accepts(request.form.get("password", "")):
            log.warning("the local page was tried with a wrong password")
            return html(sign_in(problem="That is not the password.", person=person), HTTPStatus.FORBIDDEN)
        self._tries.reset()
        begun = Session.begin(person, self._now())
        with self._open_desk() as desk:
            desk.note(begun.name, SIGNED_IN)
        secure = request.headers.get("x-forwarded-proto") == "https"
        return redirect("/", cookie(begun.sign(secret.key), session.SECONDS, secure=secure))

    def _get(self, request: Request, known: Session, token: str) -> Response:
        with self._open_desk() as desk:
            facts, clock = desk.facts(), self._clock(desk)
        form = Form(token=token, person=known.name, typed={})
        if request.path == "/tag":
            return text(_tag(facts))
        if request.path == "/":
            done = _DONE.get("".join(parse_qs(request.query).get("done", [])), "")
            return _overview(facts, form, clock, done=done)
        if request.path == "/history":
            happened = element("div", timeline(facts, clock), class_="card")
            body = element("section", element("h1", "What happened"), happened)
            return html(page("What happened", body, device=_device(facts), menu=_menu(form)))
        if request.path.startswith(_APPROVALS) or request.path in _FORMS:
            return redirect("/")  # a form was refused, and the page loaded again
        return failed("Not found", "There is no such page.", HTTPStatus.NOT_FOUND)

    def _post(self, request: Request, known: Session, token: str) -> Response:
        if request.path == "/logout":
            return redirect("/login", cookie("", 0))
        with self._open_desk() as desk:
            clock = self._clock(desk)
            try:
                done = self._do(request, desk, clock)
            except EdgewrightError as error:
                typed = {key: value for key, value in request.form.items() if key != "token"}
                form = Form(
                    token=token, person=known.name, about=request.path, refused=str(error), typed=typed
                )
                return _overview(desk.facts(), form, clock, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        if done is None:
            return failed("Not found", "There is no such form.", HTTPStatus.NOT_FOUND)
        return redirect(f"/?done={done}")

    def _clock(self, desk: Desk) -> Clock:
        return Clock(datetime.fromtimestamp(self._now(), desk.zone), desk.zone)

    def _do(self, request: Request, desk: Desk, clock: Clock) -> str | None:
        """Do what the form says; return the word for what was done, None for a form there is none of."""
        form = request.form
        asked = {"by": form.get("by", ""), "reason": form.get("reason", "")}
        until = next((at.timestamp() for word, _, at in choices(clock) if word == form.get("until")), None)
        if request.path.startswith(_APPROVALS):
            number, verdict = request.path.removeprefix(_APPROVALS), form.get("verdict", "")
            if not number.isascii() or not number.isdigit() or len(number) > 18:
                return None
            about = {"number": int(number), "verdict": verdict, "digest": form.get("digest", "")}
            desk.answer(
                {"do": "decide", **about, "until": until if verdict == "postponed" else None, **asked}
            )
            return verdict
        if request.path not in _FORMS:
            return None
        verb, done = _FORMS[request.path]
        about = {"deployment": form["deployment"]} if "deployment" in form else {}
        desk.answer({"do": verb, "until": until, **about, **asked})
        return done


def _overview(
    facts: Mapping[str, Any], form: Form, clock: Clock, *, done: str = "", status: HTTPStatus = HTTPStatus.OK
) -> Response:
    body = overview(facts, form, clock, done=done)
    return html(page("Overview", body, device=_device(facts), menu=_menu(form), tag=_tag(facts)), status)


def _menu(form: Form) -> Html:
    return element(
        "div",
        element("a", "Overview", href="/"),
        element("a", "History", href="/history"),
        form.draw("/logout", button("Sign out", "plain"), class_="inline"),
        class_="menu",
    )


def _device(facts: Mapping[str, Any]) -> str:
    return str(facts["identity"].get("device_id") or socket.gethostname())


def _tag(facts: Mapping[str, Any]) -> str:
    """Return a word that changes when there is something new to see; not with every answer of the server."""
    news = [facts[name] for name in _NEWS]
    allowed = [facts["schedule"][name] for name in ("may_poll", "may_change", "downtime_until")]
    contact = [bool(facts["contact"]["problem"]), bool(facts["running"])]
    told = json.dumps([news, allowed, contact], sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]


def _forged() -> Response:
    told = "This form was not sent from this page, or the page was open for too long. Please open it again."
    return failed("Not taken", told, HTTPStatus.FORBIDDEN)
