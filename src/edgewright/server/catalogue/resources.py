"""Files of packages on their way to a browser: what strangers wrote is shown, and never run.

The type of a file is told by its first bytes and its name together; whatever is not known to be harmless is a
download. An SVG is a document that may hold scripts: it is sent in a sandbox in which none runs, and pages
only ever show it as an image, where none runs either.
"""

import posixpath
from typing import Any
from urllib.parse import quote

from litestar import Response

from edgewright.protocol.digests import digest_of
from edgewright.server.context import ServerRequest
from edgewright.server.listeners.negotiation import matches_etag

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_TEXTS = (".md", ".markdown", ".txt", ".text", "")
SVG = "image/svg+xml"
PDF = "application/pdf"
TEXT = "text/plain"
UNKNOWN = "application/octet-stream"
_NOTHING = "default-src 'none'; sandbox; frame-ancestors 'self'"
# What an SVG needs to look as it was drawn.
_DRAWING = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"


def media_type_of(path: str, data: bytes) -> str:
    """Return as what a file may be shown; `UNKNOWN` for what is only to be saved."""
    for magic, media_type in _IMAGES.items():
        if data.startswith(magic):
            return media_type
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    extension = posixpath.splitext(path)[1].lower()
    if extension == ".svg" and b"<svg" in data[:4096]:
        return SVG
    if data.startswith(b"%PDF-"):
        return PDF
    if extension in _TEXTS and _is_text(data):
        return TEXT
    return UNKNOWN


def is_image(media_type: str) -> bool:
    """Whether a browser shows it as an image."""
    return media_type.startswith("image/")


def file_answer(request: ServerRequest, path: str, data: bytes) -> Response[Any]:
    """Return the answer that hands out a file of a package; content under a version never changes."""
    media_type = media_type_of(path, data)
    is_shown = is_image(media_type) or media_type == TEXT
    name = quote(posixpath.basename(path), safe="")
    etag = digest_of(data)
    headers = {
        "content-security-policy": _DRAWING if media_type == SVG else _NOTHING,
        "content-disposition": f"{'inline' if is_shown else 'attachment'}; filename*=UTF-8''{name}",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "private, no-cache",
        "etag": f'"{etag}"',
    }
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(content=b"", status_code=304, headers=headers, media_type=media_type)
    return Response(content=data, status_code=200, headers=headers, media_type=media_type)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
