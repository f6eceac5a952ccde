"""What the watch makes of an engine's stream of events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.resident.engine_events import Events, EventsError, _request, concerns

OURS = "io.edgewright.owner=abc"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


def event(action="die", owner="abc", **more):
    attributes = {"io.edgewright.owner": owner, "name": "ew-web-1"}
    return {"Type": "container", "Action": action, "Actor": {"ID": "1", "Attributes": attributes}, **more}


def chunked(body, sizes):
    """Return `body` in chunks of `sizes`, the last one as large as it has to be."""
    pieces = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    pieces.append(body)
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)


@given(
    st.lists(st.sampled_from(["die", "destroy", "health_status: unhealthy"]), max_size=5),
    st.lists(st.integers(min_value=1, max_value=200), max_size=6),
    st.lists(st.integers(min_value=1, max_value=90), min_size=1, max_size=30),
    st.booleans(),
)
def test_events_are_whole_however_they_are_cut_up(actions, chunks, reads, is_chunked):
    body = b"".join(json.dumps(event(action)).encode() + b"\n" for action in actions)
    data = HEAD + chunked(body, chunks) if is_chunked else PLAIN_HEAD + body
    stream, found = Events(), []
    while data:
        size = reads[len(data) % len(reads)]
        found += stream.feed(data[:size])
        data = data[size:]
    assert [each["Action"] for each in found] == actions


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"HTTP/1.1 404 Not Found\r\n\r\n", "404", id="no events here"),
        pytest.param(b"hello\r\n\r\n", "hello", id="no HTTP"),
        pytest.param(HEAD + b"zz\r\n", "no size", id="a chunk without a size"),
        pytest.param(HEAD + b"-5\r\n", "ended", id="a chunk of a negative size"),
        pytest.param(HEAD + b"0\r\n\r\n", "ended", id="the last chunk"),
        pytest.param(HEAD + b"5\r\n[1]\n\n\r\n", "not an object", id="no event"),
        pytest.param(HEAD + b"4\r\n{{{\n\r\n", "not JSON", id="no JSON"),
        pytest.param(b"a" * 300_000, "larger", id="a head without an end"),
        pytest.param(PLAIN_HEAD + b"a" * 300_000, "larger", id="an event without an end"),
    ],
)
def test_what_is_no_stream_of_events_is_told(data, words):
    with pytest.raises(EventsError, match=words):
        Events().feed(data)


@pytest.mark.parametrize(
    ("told", "matters"),
    [
        pytest.param(event("die"), True, id="a container ended"),
        pytest.param(event("destroy"), True, id="removed, in Docker's word"),
        pytest.param(event("remove"), True, id="removed, in Podman's word"),
        pytest.param(event("oom"), True, id="out of memory"),
        pytest.param(event("start"), False, id="started"),
        pytest.param(event("die", owner="somebody"), False, id="somebody else's"),
        pytest.param(event("health_status: unhealthy"), True, id="unhealthy, in Docker's way"),
        pytest.param(event("health_status: healthy"), False, id="healthy, in Docker's way"),
        pytest.param(event("health_status", HealthStatus="unhealthy"), True, id="unhealthy, Podman's way"),
        pytest.param(event("health_status", HealthStatus="healthy"), False, id="healthy, Podman's way"),
        pytest.param({}, False, id="nothing in it"),
        pytest.param({"Action": "die", "Actor": None}, False, id="nobody in it"),
    ],
)
def test_only_what_may_have_stopped_something_of_ours_matters(told, matters):
    assert concerns(told, OURS) is matters


def test_the_request_is_one_line_that_carries_the_filters():
    request = _request(OURS, health=False)
    line, _, rest = request.partition(b"\r\n")
    assert line.startswith(b"GET /events?filters=%7B%22type%22")
    assert b"health_status" not in line
    assert b"health%5Fstatus" in _request(OURS, health=True)
    assert b" " not in line.split(b" ", 1)[1].rsplit(b" ", 1)[0]
    assert rest == b"host: localhost\r\n\r\n"
