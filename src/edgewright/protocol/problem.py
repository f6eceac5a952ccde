"""Error bodies: RFC 9457 problem details with Margo's registered types and retry rules (spec: section 13)."""

from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

from edgewright.protocol.documents import Document, Part

_BASE = "https://docs.margo.org/specification/problem-types"


class ProblemType(StrEnum):
    """Registered type URIs: permanent, opaque, never fetched (spec: ERR-3, ERR-7)."""

    INVALID_REQUEST = f"{_BASE}#invalid-request"
    SEMANTIC_ERROR = f"{_BASE}#semantic-error"
    NOT_AUTHORIZED = f"{_BASE}#not-authorized"
    GATEWAY_NOT_FOUND = f"{_BASE}#gateway-not-found"
    DEVICE_NOT_FOUND = f"{_BASE}#device-not-found"
    INVALID_BUNDLE = f"{_BASE}#invalid-bundle"
    DEPLOYMENT_NOT_FOUND = f"{_BASE}#deployment-not-found"
    SERVER_CANNOT_GENERATE_RESPONSE = f"{_BASE}#server-cannot-generate-response"
    DISCOVERY_DOCUMENT_NOT_FOUND = f"{_BASE}#discovery-document-not-found"
    SPIFFE_BUNDLE_NOT_FOUND = f"{_BASE}#spiffe-bundle-not-found"
    BLANK = "about:blank"


# Title and usual HTTP status of each registered type; about:blank takes both from its HTTP status.
REGISTRY: Final[dict[str, tuple[str, int]]] = {
    ProblemType.INVALID_REQUEST: ("Invalid Request", 400),
    ProblemType.SEMANTIC_ERROR: ("Semantic Error", 422),
    ProblemType.NOT_AUTHORIZED: ("Not Authorized", 403),
    ProblemType.GATEWAY_NOT_FOUND: ("Gateway not found", 404),
    ProblemType.DEVICE_NOT_FOUND: ("Device not found", 404),
    ProblemType.INVALID_BUNDLE: ("Invalid Bundle", 404),
    ProblemType.DEPLOYMENT_NOT_FOUND: ("Deployment not found", 404),
    ProblemType.SERVER_CANNOT_GENERATE_RESPONSE: ("Server cannot generate response", 406),
    ProblemType.DISCOVERY_DOCUMENT_NOT_FOUND: ("Discovery document not found", 404),
    ProblemType.SPIFFE_BUNDLE_NOT_FOUND: ("Bundle Not Found", 404),
}
_RETRYABLE = frozenset({429, 500, 503})


class FieldError(Part, frozen=True, kw_only=True, omit_defaults=False):
    """One wrong field, by its dotted path such as `properties.supportedRuntimes` (spec: ERR-6)."""

    field: str = ""
    message: str = ""


class Problem(Document, frozen=True, kw_only=True):
    """One error answer; unknown types are judged by title, detail and status (spec: ERR-3)."""

    type: str
    title: str | None = None
    status: int | None = None
    detail: str | None = None
    instance: str | None = None
    retryable: bool | None = None
    retry_after_seconds: int | None = None
    backoff_strategy: str | None = None
    errors: tuple[FieldError, ...] = ()

    @classmethod
    def from_plain(cls, plain: Any, *, source: str = "document") -> Self:
        """Read a problem; an absent type means `about:blank` (RFC 9457, 3.1.1; spec: OP-8)."""
        if isinstance(plain, dict):
            plain = {"type": ProblemType.BLANK.value, **plain}
        return super().from_plain(plain, source=source)


def problem(
    kind: ProblemType | str,
    status: int | None = None,
    detail: str | None = None,
    *,
    title: str | None = None,
    instance: str | None = None,
    errors: tuple[FieldError, ...] = (),
    retry_after_seconds: int | None = None,
) -> Problem:
    """Return a problem of `kind` with title, status and retry members as RT-1 to RT-3 demand.

    `status` may be left out for registered kinds. The caller adds the `Retry-After` header that 429 and
    503 demand (spec: RT-1).
    """
    usual_title, usual_status = REGISTRY.get(kind, ("", 0))
    status = status or usual_status
    retryable = status in _RETRYABLE
    return Problem(
        type=str(kind),
        title=title or usual_title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        retryable=retryable,
        retry_after_seconds=retry_after_seconds if retryable else None,
        backoff_strategy="exponential" if retryable else "none",
        errors=errors,
    )


def field_errors(problems: tuple[tuple[str, str], ...]) -> tuple[FieldError, ...]:
    """Turn the `problems` of a DocumentError into the members of a `422` (spec: ERR-6)."""
    return tuple(
        FieldError(field=path.removeprefix("$").lstrip("."), message=text) for path, text in problems
    )
