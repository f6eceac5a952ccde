"""All pages as one list of route handlers."""

from collections.abc import Sequence
from typing import Any

from litestar.static_files import create_static_files_router

from edgewright.server.web.pages import STATIC


def web_routes() -> Sequence[Any]:
    """Return the handlers of all pages and of the files they load."""
    return [
        create_static_files_router("/static", directories=[STATIC], include_in_schema=False),
    ]
