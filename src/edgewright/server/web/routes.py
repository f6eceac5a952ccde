"""All pages as one list of route handlers."""

from collections.abc import Sequence
from typing import Any

from litestar import Router
from litestar.datastructures import CacheControlHeader
from litestar.static_files import create_static_files_router

from edgewright.server.web import (
    accounts,
    audit,
    deploy,
    deployments,
    devices,
    enrollments,
    external,
    git_hooks,
    home,
    live,
    packages,
    repositories,
    rollouts,
    search,
    sign_in,
    sources,
)
from edgewright.server.web.pages import STATIC

MAX_FORM_BYTES = 1024 * 1024
# Their addresses change when they do.
_STATIC_SECONDS = 7 * 86_400


def web_routes() -> Sequence[Any]:
    """Return the handlers of all pages and of the files they load."""
    pages = [
        *accounts.HANDLERS,
        *audit.HANDLERS,
        *deploy.HANDLERS,
        *deployments.HANDLERS,
        *devices.HANDLERS,
        *enrollments.HANDLERS,
        *external.HANDLERS,
        *home.HANDLERS,
        *live.HANDLERS,
        *packages.HANDLERS,
        *repositories.HANDLERS,
        *rollouts.HANDLERS,
        *search.HANDLERS,
        *sign_in.HANDLERS,
        *sources.HANDLERS,
    ]
    return [
        create_static_files_router(
            "/static",
            directories=[STATIC],
            include_in_schema=False,
            cache_control=CacheControlHeader(max_age=_STATIC_SECONDS),
            opt={"public": True},
        ),
        *git_hooks.HANDLERS,
        Router("/", route_handlers=pages, include_in_schema=False, request_max_body_size=MAX_FORM_BYTES),
    ]
