"""Whether a request comes from this page: by the name it was asked by, and by what browsers tell of forms."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether `host` (the header) is an address, or one of `names`.

    A name of another site may lead here as well, and that site's scripts could then read everything (DNS
    rebinding). They cannot have the origin of an address.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in names or _is_address(name)


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser that tells where a form comes from says it comes from this page."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    return origin.partition("://")[2] == headers.get("host")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
