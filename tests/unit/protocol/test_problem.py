import json

import pytest

from edgewright.protocol.problem import REGISTRY, FieldError, Problem, ProblemType, field_errors, problem


@pytest.mark.requirement("ERR-2", "OP-8", "RT-3")
@pytest.mark.parametrize("kind", REGISTRY)
def test_registered_problems_come_with_title_and_status_and_are_not_retried(kind):
    plain = json.loads(problem(kind, detail="why").render())
    title, status = REGISTRY[kind]
    assert plain == {
        "type": str(kind),
        "title": title,
        "status": status,
        "detail": "why",
        "retryable": False,
        "backoffStrategy": "none",
    }


@pytest.mark.requirement("OP-10", "ERR-7")
def test_type_uris_are_the_registered_ones():
    assert (
        ProblemType.DEVICE_NOT_FOUND == "https://docs.margo.org/specification/problem-types#device-not-found"
    )
    assert set(REGISTRY) | {ProblemType.BLANK} == set(ProblemType)


@pytest.mark.requirement("ERR-2", "RT-1", "RT-2", "RT-3")
@pytest.mark.parametrize(
    ("status", "title", "retryable"),
    [
        (404, "Not Found", False),
        (405, "Method Not Allowed", False),
        (409, "Conflict", False),
        (429, "Too Many Requests", True),
        (500, "Internal Server Error", True),
        (501, "Not Implemented", False),
        (503, "Service Unavailable", True),
    ],
)
def test_unspecific_problems_take_title_and_retry_rule_from_their_status(status, title, retryable):
    made = problem(ProblemType.BLANK, status, retry_after_seconds=30)
    assert (made.type, made.title, made.retryable) == ("about:blank", title, retryable)
    assert made.backoff_strategy == ("exponential" if retryable else "none")
    assert made.retry_after_seconds == (30 if retryable else None)


@pytest.mark.requirement("ERR-2", "API-11")
def test_titles_and_vendor_types_can_be_given():
    assert problem(ProblemType.NOT_AUTHORIZED, title="Client Relationship Retired").status == 403
    assert problem("https://example.org/problems/x", 400).title == "Bad Request"


@pytest.mark.requirement("ERR-6")
def test_fields_are_named_by_dotted_paths():
    assert field_errors((("$.properties.supportedRuntimes", "empty"), ("$.a[0].b", "x"), ("$", "y"))) == (
        FieldError(field="properties.supportedRuntimes", message="empty"),
        FieldError(field="a[0].b", message="x"),
        FieldError(field="", message="y"),
    )


@pytest.mark.requirement("ERR-3", "ERR-5", "OP-8", "OP-11")
def test_problems_of_others_are_read_tolerantly():
    read = Problem.parse(b'{"vendor_code": 5, "retryable": true, "retryAfterSeconds": 30, "errors": [{}]}')
    assert read.type == "about:blank"
    assert read.retryable is True
    assert read.retry_after_seconds == 30
    assert read.errors == (FieldError(),)
    assert (read.title, read.status, read.detail) == (None, None, None)
