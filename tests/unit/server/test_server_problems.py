"""Errors as answers: types, statuses and the retry rules (spec: section 13)."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.exceptions import HTTPException, TooManyRequestsException
from sqlalchemy.exc import OperationalError

from edgewright.net.http import HttpError
from edgewright.net.oci import RegistryNotFoundError
from edgewright.protocol.errors import ArchiveError, DocumentError, IdentityError, MalformedDocumentError
from edgewright.server.errors import (
    ConflictError,
    EnrollmentRefusedError,
    Fault,
    InvalidError,
    NotFoundError,
)
from edgewright.server.listeners import bodies
from edgewright.server.problems import ProblemError, answer_for, raw_problem

REQUEST: Any = SimpleNamespace(url=SimpleNamespace(path="/api/v1/deployments"), method="GET")
TYPES = "https://docs.margo.org/specification/problem-types#"


def answered(error: Exception) -> tuple[int, dict[str, str], dict[str, Any]]:
    response = answer_for(REQUEST, error)
    assert response.media_type == "application/problem+json"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return response.status_code, headers, json.loads(response.content)


@pytest.mark.requirement("ERR-1", "ERR-2", "RT-3")
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (MalformedDocumentError("no JSON"), 400, "invalid-request"),
        (DocumentError("wrong", path="$.a"), 422, "semantic-error"),
        (InvalidError("wrong", Fault(field="a", message="b")), 422, "semantic-error"),
        (ArchiveError("hostile"), 422, "semantic-error"),
        (IdentityError("csr: wrong"), 422, "semantic-error"),
        (RegistryNotFoundError("registry: not there"), 422, "semantic-error"),
        (NotFoundError("nothing"), 404, ""),
        (ConflictError("contradiction"), 409, ""),
        (EnrollmentRefusedError("used token"), 403, ""),
        (HttpError("https://registry.test", "refused"), 502, ""),
        (HTTPException(status_code=405, detail="no"), 405, ""),
        (HTTPException(status_code=400, detail="no"), 400, "invalid-request"),
    ],
)
def test_errors_that_trying_again_does_not_cure(error: Exception, status: int, kind: str) -> None:
    got, headers, document = answered(error)
    assert got == status
    assert "retry-after" not in headers
    assert document["type"] == (TYPES + kind if kind else "about:blank")
    assert (document["status"], document["retryable"], document["backoffStrategy"]) == (status, False, "none")
    assert document["detail"]


@pytest.mark.requirement("RT-1", "RT-2")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooManyRequestsException(detail="slow down"), 429),
        (HTTPException(status_code=503, detail="not now"), 503),
        (OperationalError("SELECT 1", {}, Exception("database is locked")), 503),
        (ZeroDivisionError("a bug"), 500),
    ],
)
def test_errors_that_pass_say_when_to_try_again(error: Exception, status: int) -> None:
    got, headers, document = answered(error)
    assert got == status
    assert int(headers["retry-after"]) == document["retryAfterSeconds"] > 0
    assert (document["retryable"], document["backoffStrategy"]) == (True, "exponential")


def test_a_bug_is_not_told_to_strangers(caplog: pytest.LogCaptureFixture) -> None:
    _, _, document = answered(ZeroDivisionError("secret detail"))
    assert "secret" not in json.dumps(document)
    assert "secret detail" in caplog.text


@pytest.mark.requirement("ERR-1")
def test_a_problem_without_a_request_is_a_whole_response() -> None:
    head, _, body = raw_problem(431, "too long").partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 431 Request Header Fields Too Large"
    assert f"content-length: {len(body)}" in lines
    assert json.loads(body)["status"] == 431


class FakeRequest:
    """A request whose body comes in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece


def read(request: FakeRequest, limit: int = 10) -> bytes:

    return asyncio.run(bodies.read_body(request, limit=limit))  # type: ignore[arg-type]


def test_a_body_within_its_limit_is_read_whole() -> None:
    assert read(FakeRequest(b"12345", b"", b"67890")) == b"1234567890"


def test_a_body_beyond_its_limit_is_refused_when_it_has_been_read() -> None:
    request = FakeRequest(b"12345", b"678901", b"2")
    with pytest.raises(ProblemError) as error:
        read(request)
    assert (error.value.status, error.value.headers, request.read) == (413, {"connection": "close"}, 3)


def test_an_endless_body_is_not_read_to_its_end() -> None:
    request = FakeRequest(*[bytes(1 << 20)] * 20)
    with pytest.raises(ProblemError):
        read(request)
    assert request.read < 12


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:

    class Silent(FakeRequest):
        async def stream(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    monkeypatch.setattr(bodies, "BODY_SECONDS", 0)
    with pytest.raises(ProblemError) as error:
        read(Silent())
    assert (error.value.status, error.value.headers) == (408, {"connection": "close"})
