"""What the page takes for a request, and what it does not."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.page.wire import RefusedRequestError, Request, Response, parse_head


def test_a_head_is_method_target_and_headers():
    head = b"POST /pause?x=1 HTTP/1.1\r\nHost: localhost\r\nX-Empty:\r\nCookie: a=1\r\nCookie: b=2"
    headers = {"host": "localhost", "x-empty": "", "cookie": "a=1; b=2"}
    assert parse_head(head) == ("POST", "/pause?x=1", headers)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/2.0", id="another protocol"),
        pytest.param(b"GET http://elsewhere/ HTTP/1.1", id="a whole address, as to a proxy"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x", id="a blank before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\n folded: x", id="a folded header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", id="a header twice"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\nC: d", id="a bare line feed"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\x00", id="a NUL"),
        pytest.param(b"GET /a b HTTP/1.1", id="a blank in the path"),
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(head):
    with pytest.raises(RefusedRequestError) as caught:
        parse_head(head)
    assert caught.value.status is HTTPStatus.BAD_REQUEST


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(head):
    try:
        method, target, _ = parse_head(head)
    except RefusedRequestError:
        return
    assert method.isupper()
    assert target.startswith("/")


def test_of_a_cookie_sent_twice_the_first_counts():
    request = Request(method="GET", path="/", headers={"cookie": "a=1; b; a=2; c=x=y"})
    assert request.cookies == {"a": "1", "c": "x=y"}


def test_an_answer_to_head_has_the_length_and_no_body():
    response = Response(headers=(("X-One", "1"),), body=b"hello")
    assert response.render(with_body=False) == (
        b"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    )
    assert response.render(with_body=True).endswith(b"\r\n\r\nhello")
