"""Request headers as decisions (RFC 9110, RFC 7240; spec: DS-4, DS-6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.listeners.negotiation import accepts, matches_etag, preferred_wait

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


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=50", 50),
        ("WAIT=50", 50),
        (' wait = "50" ', 50),
        ("respond-async, wait=100", 100),
        ("wait=10; x=y", 10),
        ("wait=5, wait=50", 5),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=99999999999999999999", 0),
        ("wait=\u0661", 0),
        ("waiting=5", 0),
        ("return=minimal", 0),
    ],
)
def test_preferred_wait(header: str | None, seconds: int) -> None:
    assert preferred_wait(header) == seconds


@given(st.text())
def test_no_header_breaks_the_decisions(header: str) -> None:
    assert accepts(header, TYPE) in {True, False}
    assert matches_etag(header, "sha256:aa") in {True, False}
    assert preferred_wait(header) >= 0
