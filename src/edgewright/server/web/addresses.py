"""Where pages are found: by which address a GET shows what a form was answered with.

A form goes to the address of the page it stands on, or to one below it (`/fleet/labels` for `/fleet`). Where
something is wrong with it the answer is that page once more, under the address of the form, which nobody can
open. So the page of an address is the nearest above it that can be opened.
"""

from functools import lru_cache

from litestar import Litestar
from litestar.routes import HTTPRoute

_Pattern = tuple[str | None, ...]


def page_address(app: Litestar, path: str) -> str:
    """Return the address of the page that `path` belongs to: itself where it can be opened."""
    pieces = tuple(piece for piece in path.split("/") if piece)
    for length in range(len(pieces), 0, -1):
        if any(_fits(pattern, pieces[:length]) for pattern in _opened(app)):
            return "/" + "/".join(pieces[:length])
    return "/"


@lru_cache(maxsize=1)
def _opened(app: Litestar) -> tuple[_Pattern, ...]:
    """Return every path that takes a GET, piece by piece; None stands for a parameter."""
    return tuple(
        tuple(piece if isinstance(piece, str) else None for piece in route.path_components)
        for route in app.routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods
    )


def _fits(pattern: _Pattern, pieces: tuple[str, ...]) -> bool:
    return len(pattern) == len(pieces) and all(
        wanted in (None, piece) for wanted, piece in zip(pattern, pieces, strict=True)
    )
