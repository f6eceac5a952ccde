"""Every route of the web listener, as the program itself has them, to be walked by tests."""

import re
import warnings
from dataclasses import dataclass
from typing import Any, cast

from litestar.exceptions import LitestarDeprecationWarning
from litestar.handlers import HTTPRouteHandler
from litestar.routes import ASGIRoute, HTTPRoute

from edgewright.server.app import web_app

_PARAMETER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class WebRoute:
    """One method of one path; `path` has its parameters as `{name}`."""

    method: str
    path: str
    handler: Any

    @property
    def filled(self) -> str:
        """The path with parameters that name nothing there is."""
        return _PARAMETER.sub("0", self.path)


def web_routes() -> list[WebRoute]:
    """Return all routes but those of files and the methods every path answers by itself (OPTIONS)."""
    with warnings.catch_warnings():
        # Newer frameworks want parameters said in a way that older ones we support do not know.
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        app = web_app(cast(Any, None))
    found = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute | ASGIRoute)
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            assert isinstance(handler, HTTPRouteHandler)
            methods = {str(getattr(method, "value", method)) for method in handler.http_methods}
            found += [
                WebRoute(method, route.path_format, handler)
                for method in sorted(methods - {"OPTIONS", "HEAD"})
                if not route.path_format.startswith("/static")
            ]
    return found
