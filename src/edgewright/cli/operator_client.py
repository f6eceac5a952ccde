"""The operator API of the fleet manager, as the commands use it: JSON in, JSON out, errors as ours."""

from __future__ import annotations

import json
import ssl
from urllib.parse import quote

import msgspec

from edgewright.cli.context import Context
from edgewright.cli.errors import RefusedError, UsageError
from edgewright.net.http import Client, Response

PREFIX = "/operator/v1"
_JSON = "application/json"


class Operator:
    """One connection to the operator API; every call raises RefusedError or the client's HttpError.

    Paths are relative to the API's prefix and already quoted (see `segment`).
    """

    def __init__(self, context: Context, *, timeout: float = 30.0) -> None:
        self.url = context.url
        self._client = Client(context.url, context=_tls(context), timeout=timeout)
        self._authorization = ("Authorization", f"Bearer {context.token}")

    def get(self, path: str) -> object:
        """Return what the API answers to a GET of `path`."""
        return self._call("GET", path)

    def get_tagged(self, path: str) -> tuple[object, str | None]:
        """Return what the API answers to a GET of `path`, and its entity tag as it is sent back."""
        response = self._send("GET", path)
        return json.loads(response.body), response.headers.get("etag")

    def post(self, path: str, value: object) -> object:
        """Return the answer to a POST of `value` as JSON."""
        return self._call("POST", path, json.dumps(value).encode(), _JSON)

    def put(self, path: str, value: object, *, seen: str | None = None) -> object:
        """Return the answer to a PUT of `value` as JSON; refused if it is not as `seen` any more (a tag)."""
        return self._call("PUT", path, json.dumps(value).encode(), _JSON, seen)

    def patch(self, path: str, value: object, *, seen: str | None = None) -> object:
        """Return the answer to a PATCH of `value` as JSON."""
        return self._call("PATCH", path, json.dumps(value).encode(), _JSON, seen)

    def upload(self, path: str, archive: bytes, media_type: str = "application/gzip") -> object:
        """Return the answer to a POST of a file's bytes: a gzip tar, unless said otherwise."""
        return self._call("POST", path, archive, media_type)

    def download(self, path: str) -> bytes:
        """Return the bytes that a GET of `path` is answered with."""
        return self._send("GET", path).body

    def put_file(self, path: str, content: bytes, media_type: str, *, seen: str | None = None) -> object:
        """Return the answer to a PUT of a file's bytes."""
        return self._call("PUT", path, content, media_type, seen)

    def delete(self, path: str) -> object:
        """Return the answer to a DELETE of `path`, None when it has no content."""
        return self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media_type: str = "",
        seen: str | None = None,
    ) -> object:
        response = self._send(method, path, body, media_type, seen)
        return json.loads(response.body) if response.body else None

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media_type: str = "",
        seen: str | None = None,
    ) -> Response:
        headers = [self._authorization, ("Accept", "application/json")]
        if body is not None:
            headers.append(("Content-Type", media_type))
        if seen is not None:
            headers.append(("If-Match", seen))
        response = self._client.request(method, PREFIX + path, headers=headers, body=body)
        if response.status >= 400:
            raise refused(response, self.url)
        return response


class _Fault(msgspec.Struct):
    field: str = ""
    message: str = ""


class _Problem(msgspec.Struct):
    """The members of a problem document that a person is shown; all may be missing (RFC 9457)."""

    title: str = ""
    detail: str = ""
    errors: tuple[_Fault, ...] = ()


def refused(response: Response, url: str) -> RefusedError:
    """Return the error that stands for the answer `response` of the server at `url`."""
    try:
        problem = msgspec.json.decode(response.body, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(title=f"{url} answered {response.status} without saying why")
    if response.status == 401:
        problem = _Problem(title=f"{url} does not accept this token; 'edgewright login FILE' sets a new one")
    told = problem.detail or problem.title or f"{url} answered {response.status}"
    return RefusedError(
        told,
        status=response.status,
        # A single fault is often the whole detail: nobody needs to read it twice.
        errors=tuple((fault.field, fault.message) for fault in problem.errors if fault.message != told),
    )


def segment(text: str) -> str:
    """Return `text` as one segment of a path."""
    return quote(text, safe="")


def choose(given: str, identifiers: list[str], *, kind: str) -> str:
    """Return the one of `identifiers` that `given` is, or is the beginning of.

    Raises UsageError when there is none or more than one; `kind` is its name for people.
    """
    if given in identifiers:
        return given
    found = [identifier for identifier in identifiers if identifier.startswith(given)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no {kind} '{given}'; 'edgewright {kind} list' shows what there is")
    raise UsageError(f"'{given}' could be {len(found)} {kind}s: {', '.join(sorted(found))}")


def _tls(context: Context) -> ssl.SSLContext | None:
    if not context.url.startswith("https://"):
        return None
    try:
        return ssl.create_default_context(cadata=context.ca)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise UsageError(f"the context's certificate authority cannot be read: {reason}") from error
