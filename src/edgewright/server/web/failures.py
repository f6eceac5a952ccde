"""Errors as pages: people read what is wrong and where to go; programs get the problem body.

`problems.py` decides status and words for both.
"""

import html
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Response
from litestar.exceptions import MethodNotAllowedException
from litestar.types import ASGIApp

from edgewright.protocol.problem import Problem
from edgewright.server.context import ServerRequest
from edgewright.server.listeners.guard import identify, is_api
from edgewright.server.problems import Answer, answer_for, answer_to
from edgewright.server.web.addresses import page_address
from edgewright.server.web.pages import HTML, SECURITY_HEADERS, page, see_other

_TITLES = {
    401: "Sign in first",
    403: "You may not do that",
    404: "There is no such page",
    405: "That is not how this page is used",
    409: "That does not go together",
    412: "Somebody was faster",
    413: "That is too large",
    422: "Something in it is not right",
    429: "Too many requests",
    502: "Another server does not answer as it should",
    503: "The server cannot do that just now",
}
_FAILED = "The server failed"


def answer_on_web(request: ServerRequest, error: Exception) -> Response[Any]:
    """Return what the web listener answers to `error`."""
    if "hx-request" in request.headers and not is_api(request):
        return _note(request, error)
    if is_api(request) or "text/html" not in request.headers.get("accept", ""):
        return answer_for(request, error)
    if request.method == "GET" and isinstance(error, MethodNotAllowedException):
        # Whoever opens the address of a form, from the history or a bookmark, wants the page it stands on.
        query = f"?{request.url.query}" if request.url.query else ""
        return see_other(page_address(request.app, request.url.path) + query)
    return _FailurePage(request, answer_to(error, method=request.method, path=request.url.path))


def title_of(status: int) -> str:
    """Return what a page with this status is about."""
    if status in _TITLES:
        return _TITLES[status]
    return _FAILED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus(status).phrase


class _FailurePage(Response[str]):
    """A page with the whole frame; who asks is found out only here, as nothing else may have done so yet."""

    def __init__(self, request: ServerRequest, answer: Answer) -> None:
        super().__init__(content="", status_code=answer.status, media_type=HTML)
        self._request = request
        self._answer = answer

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            if "actor" not in scope and self._answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                found = await identify(self._request)
                if found is not None:
                    scope["actor"], scope["csrf"] = found.actor, found.csrf
            about = msgspec.json.decode(self._answer.body, type=Problem)
            values = {"title": title_of(self._answer.status), "problem": about, "status": self._answer.status}
            shown = page(
                self._request,
                "failure.html",
                values,
                status=self._answer.status,
                headers=self._answer.headers,
            )
            await shown.to_asgi_response(app=None, request=self._request)(scope, receive, send)

        return respond


def _note(request: ServerRequest, error: Exception) -> Response[Any]:
    """Return the error as a piece of a page, for a script that puts it where it belongs."""
    answer = answer_to(error, method=request.method, path=request.url.path)
    about = msgspec.json.decode(answer.body, type=Problem)
    text = f'<div class="note bad" role="alert"><div>{html.escape(about.detail or "")}</div></div>'
    headers = {**SECURITY_HEADERS, **answer.headers}
    return Response(content=text, status_code=answer.status, media_type=HTML, headers=headers)
