"""Request headers as decisions (RFC 9110; spec: DS-4, DS-6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.negotiation import accepts, matches_etag

TYPE = "application/vnd.margo.manifest.v1+json"


@pytest.mark.requirement("DS-4")
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, True),
        ("", True),
        (TYPE, True),
        (TYPE.upper(), True),
        (f" {TYPE} ; q=0.3 , text/html", True),
        ("*/*", True),
        ("application/*", True),
        ("text/*, */*;q=0.1", True),
        (f"*/*, {TYPE};q=0", False),
        (f"*/*, {TYPE};q=0.000", False),
        (f"{TYPE};q=nonsense", True),
        ("*/*;q=0", False),
        ("text/html", False),
        ("application/json", False),
        ("application/vnd.margo.manifest.v1.jws+json", False),
        ("not a media type", False),
        (",;,", False),
    ],
)
def test_accept(header: str | None, expected: bool) -> None:
    assert accepts(header, TYPE) is expected


@pytest.mark.requirement("DS-6", "DG-8")
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ('"sha256:aa"', True),
        ('W/"sha256:aa"', True),
        ('"x", "sha256:aa"', True),
        ("*", True),
        ("sha256:aa", False),
        ('"sha256:AA"', False),
        ('"sha256:ab"', False),
        ("", False),
    ],
)
def test_if_none_match(header: str | None, expected: bool) -> None:
    assert matches_etag(header, "sha256:aa") is expected


@given(st.text())
def test_no_header_breaks_the_decisions(header: str) -> None:
    assert accepts(header, TYPE) in {True, False}
    assert matches_etag(header, "sha256:aa") in {True, False}
