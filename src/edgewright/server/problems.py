"""The one place where errors become answers: RFC 9457 problem details on both listeners (spec: section
13).

`Retry-After` goes with 429, 500 and 503 and with nothing else (spec: RT-1 to RT-3).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers.base import BaseRouteHandler
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from edgewright.net.http import HttpError
from edgewright.net.oci import RegistryError, RegistryNotFoundError, RegistryRefusedError
from edgewright.protocol.errors import (
    ArchiveError,
    DigestMismatchError,
    DocumentError,
    EdgewrightError,
    IdentityError,
    MalformedDocumentError,
)
from edgewright.protocol.media_types import PROBLEM
from edgewright.protocol.problem import FieldError, Problem, ProblemType, field_errors, problem
from edgewright.server.errors import (
    ConflictError,
    EnrollmentRefusedError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)

log = logging.getLogger(__name__)

Extra = dict[str, Any] | list[Any] | None

RETRY_AFTER_SECONDS = 30
_RETRYABLE = frozenset({429, 500, 503})
# Statuses that have a registered type whenever they come from the framework itself (spec: ERR-2).
_TYPES = {400: ProblemType.INVALID_REQUEST}


class ProblemError(EdgewrightError):
    """An answer that is known exactly where it is raised: type, detail and wrong fields."""

    code = "server.problem"

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status
        self.title = title
        self.errors = errors
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A problem document on its way: headers by lower-case name, the media type not among them."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def send(self, send: Any) -> None:
        """Send the answer from below the framework."""
        headers = {"content-type": PROBLEM, "content-length": str(len(self.body)), **self.headers}
        plain = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": plain})
        await send({"type": "http.response.body", "body": self.body})


def answer_to(error: Exception, *, method: str, path: str) -> Answer:
    """Return the answer that `error` deserves; what nobody foresaw is a 500 and goes to the log."""
    about = _problem_of(error, method, path)
    status = about.status or 500
    retry = {"retry-after": str(RETRY_AFTER_SECONDS)} if status in _RETRYABLE else {}
    own = (error.headers if isinstance(error, ProblemError | HTTPException) else None) or {}
    headers = {"cache-control": "no-store", **retry, **own}
    return Answer(status=status, headers=headers, body=about.render())


def answer_for(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the same from inside the framework."""
    if isinstance(error, ValidationException):
        error.extra = _as_sent(request, error.extra)
    answer = answer_to(error, method=request.method, path=request.url.path)
    return Response(
        content=answer.body, status_code=answer.status, media_type=PROBLEM, headers=dict(answer.headers)
    )


def raw_problem(status: int, detail: str) -> bytes:
    """Return a whole HTTP response for a connection on which no request could be read; it is closed after."""
    phrase = HTTPStatus(status).phrase
    body = problem(_TYPES.get(status, ProblemType.BLANK), status, detail).render()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _problem_of(error: Exception, method: str, path: str) -> Problem:
    match error:
        case ProblemError():
            return problem(
                error.kind,
                error.status,
                str(error),
                title=error.title,
                instance=path,
                errors=error.errors,
            )
        case MalformedDocumentError():
            return problem(ProblemType.INVALID_REQUEST, 400, str(error), instance=path)
        case DocumentError():
            errors = field_errors(error.problems)
            return problem(ProblemType.SEMANTIC_ERROR, 422, str(error), instance=path, errors=errors)
        case InvalidError():
            errors = tuple(FieldError(field=fault.field, message=fault.message) for fault in error.faults)
            return problem(ProblemType.SEMANTIC_ERROR, 422, error.detail, instance=path, errors=errors)
        case ArchiveError() | IdentityError():
            return problem(ProblemType.SEMANTIC_ERROR, 422, str(error), instance=path)
        case NotFoundError():
            return problem(ProblemType.BLANK, 404, str(error), instance=path)
        case RegistryNotFoundError() | RegistryRefusedError() | DigestMismatchError():
            errors = (FieldError(field="reference", message=str(error)),)
            return problem(ProblemType.SEMANTIC_ERROR, 422, str(error), instance=path, errors=errors)
        case RegistryError() | HttpError():
            return problem(ProblemType.BLANK, 502, str(error), instance=path)
        case ConflictError():
            return problem(ProblemType.BLANK, 409, str(error), instance=path)
        case EnrollmentRefusedError() | ForbiddenError():
            return problem(ProblemType.BLANK, 403, str(error), instance=path)
        case HTTPException():
            return _framework_problem(error, path)
        case OperationalError() | PoolTimeoutError():
            log.error("the database cannot be used: %s", error)
            return _retryable(503, "the server's database cannot be used just now", path)
        case _:
            log.error("%s %s failed", method, path, exc_info=error)
            return _retryable(500, "the server failed; its log says why", path)


def _framework_problem(error: HTTPException, path: str) -> Problem:
    status = error.status_code
    if status in _RETRYABLE:
        return _retryable(status, error.detail, path)
    if isinstance(error, ValidationException):
        return _invalid(error, path)
    detail = "there is nothing at this path" if status == 404 else error.detail
    return problem(_TYPES.get(status, ProblemType.BLANK), status, detail, instance=path)


def _as_sent(request: Request[Any, Any, Any], found: Extra) -> Extra:
    """Return what the framework found wrong with parameters under the names they are sent with."""
    handler = request.scope.get("route_handler")
    if not isinstance(found, list) or not isinstance(handler, BaseRouteHandler):
        return found
    known = handler.parsed_fn_signature.parameters
    sent = {name: getattr(field.kwarg_definition, "name", None) for name, field in known.items()}
    return [{**one, "key": sent.get(one.get("key")) or one.get("key", "")} for one in found]


def _invalid(error: ValidationException, path: str) -> Problem:
    """Tell which parameters of a request are wrong; the framework's own text names its method and URL."""
    found = error.extra if isinstance(error.extra, list) else []
    errors = tuple(FieldError(field=str(one.get("key", "")), message=str(one["message"])) for one in found)
    told = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in errors)
    return problem(ProblemType.INVALID_REQUEST, 400, told or error.detail, instance=path, errors=errors)


def _retryable(status: int, detail: str, path: str) -> Problem:
    return problem(ProblemType.BLANK, status, detail, instance=path, retry_after_seconds=RETRY_AFTER_SECONDS)
