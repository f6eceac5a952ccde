"""Serve the local page on the socket that was handed over (`python -I -m edgewright.agent.page`)."""

from __future__ import annotations

import functools
import socket
import sys
import time
import traceback
from http import HTTPStatus

from edgewright.agent import log
from edgewright.agent.on_site.desk import open_desk
from edgewright.agent.on_site.serving import Words, serve
from edgewright.agent.page.app import VIA, App
from edgewright.agent.page.responses import failed
from edgewright.agent.page.wire import GoneError, RefusedRequestError, read_request, send
from edgewright.agent.paths import Paths
from edgewright.agent.settings import Settings
from edgewright.protocol.errors import EdgewrightError

REFUSED = "That did not work"
_SECONDS_TO_ASK = 15.0
_SECONDS_TO_READ = 15.0


def handle(app: App, connection: socket.socket) -> None:
    """Answer the one request of `connection`."""
    has_body = True
    try:
        request = read_request(connection, time.monotonic() + _SECONDS_TO_ASK)
        has_body = request.method != "HEAD"
        response = app.answer(request)
    except RefusedRequestError as error:
        response = failed(REFUSED, str(error), error.status)
    except GoneError:
        return
    except Exception:  # one page that fails must not take the others with it
        log.error(f"the local page failed: {traceback.format_exc()}")
        told = "The page could not be made; the agent's log tells why."
        response = failed(REFUSED, told, HTTPStatus.INTERNAL_SERVER_ERROR)
    try:
        send(connection, response.render(with_body=has_body), time.monotonic() + _SECONDS_TO_READ)
    except GoneError:
        return


def main(arguments: list[str]) -> int:
    """Serve until nobody asks any more; return the exit code."""
    try:
        words = Words(arguments)
        settings = Settings.load(words.config)
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    paths = Paths(words.state)
    desk = functools.partial(open_desk, paths, words.policy, via=VIA)
    app = App(paths, desk, names=settings.page.names, now=time.time)
    with socket.socket(fileno=words.fd) as listener:
        serve(listener, functools.partial(handle, app), idle=words.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
