"""Connections end by themselves (spec: TLS-11, ID-11, ID-14)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from edgewright.protocol.errors import IdentityError
from edgewright.server.listeners import tls
from support.certificates import Authority, Issued

AUTHORITY = Authority.create("example.org")


@dataclass
class FakeTimer:
    seconds: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class DroppedTask:
    def add_done_callback(self, callback: Any) -> None:
        """Never done."""


@dataclass
class FakeLoop:
    """Keeps timers for the test to fire, and drops the tasks of requests."""

    timers: list[FakeTimer] = field(default_factory=list)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(seconds, callback))
        return self.timers[-1]

    def time(self) -> float:
        return 0.0

    def create_task(self, work: Any) -> Any:
        work.close()
        return DroppedTask()

    def pending(self, seconds: float) -> list[FakeTimer]:
        return [timer for timer in self.timers if timer.seconds == seconds and not timer.is_cancelled]


@dataclass
class FakeTransport:
    """A TLS connection whose other end presented `peer`."""

    peer: bytes = b""
    written: bytes = b""
    is_closed: bool = False

    def get_extra_info(self, name: str) -> Any:
        match name:
            case "ssl_object":
                return SimpleNamespace(getpeercert=lambda binary_form: self.peer)
            case "peername" | "sockname":
                return ("192.0.2.1", 4711)
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing is read here by itself."""

    resume_reading = pause_reading


async def application(_scope: Any, _receive: Any, _send: Any) -> None:
    """Never called: requests are dropped by the fake loop."""


def connect(kind: type[tls.Connection], peer: bytes = b"") -> tuple[tls.Connection, FakeTransport, FakeLoop]:
    config = uvicorn.Config(application, http=kind, log_config=None, lifespan="off", ws="none")
    loop, transport = FakeLoop(), FakeTransport(peer)
    connection = kind(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type]
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, transport, loop


def device_kind() -> type[tls.Connection]:
    return tls.device_connection(tls.spiffe_peer("example.org", "main"))


def test_who_connects_and_says_nothing_is_sent_away() -> None:
    _, transport, loop = connect(tls.Connection)
    (timer,) = loop.pending(tls.HEAD_SECONDS)
    timer.callback()
    assert transport.is_closed


def test_a_head_that_comes_in_drops_has_one_deadline_for_all_of_it() -> None:
    connection, transport, loop = connect(tls.Connection)
    for piece in (b"GET / HT", b"TP/1.1\r\n", b"host: "):
        connection.data_received(piece)
    (timer,) = loop.pending(tls.HEAD_SECONDS)
    timer.callback()
    assert transport.is_closed


def test_a_whole_head_has_met_its_deadline() -> None:
    connection, transport, loop = connect(tls.Connection)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert loop.pending(tls.HEAD_SECONDS) == []
    assert not transport.is_closed


def test_the_next_request_on_the_connection_has_a_deadline_again() -> None:
    connection, _, loop = connect(tls.Connection)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /two")
    assert len(loop.pending(tls.HEAD_SECONDS)) == 1


@pytest.mark.requirement("TLS-11", "ID-14")
def test_connections_grow_only_so_old() -> None:
    _, transport, loop = connect(tls.Connection)
    (timer,) = loop.pending(tls.MAX_AGE_SECONDS)
    timer.callback()
    assert transport.is_closed


@pytest.mark.requirement("TLS-11", "ID-14")
def test_a_connection_does_not_outlive_its_certificate() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    _, _, loop = connect(device_kind(), AUTHORITY.client(not_after=soon).der)
    assert any(0 <= timer.seconds <= 60 and timer.seconds != tls.HEAD_SECONDS for timer in loop.timers)


@pytest.mark.requirement("ID-11", "API-6")
def test_a_client_is_known_by_its_certificate_alone() -> None:
    client, leaf = tls.check_client(AUTHORITY.client().der, trust_domain="example.org", wfm="main")
    assert client == "edge-01"
    assert leaf.public_key_info


@pytest.mark.requirement("ID-7", "ID-11")
@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(AUTHORITY.wfm(), id="a fleet manager"),
        pytest.param(AUTHORITY.client("other"), id="a client of another fleet manager"),
        pytest.param(AUTHORITY.client("MAIN"), id="the same in other case"),
        pytest.param(Authority.create("example.net").client(), id="another trust domain"),
    ],
)
def test_a_wrong_peer_is_cut_off_before_a_byte_is_read(peer: Issued) -> None:
    with pytest.raises(IdentityError):
        tls.check_client(peer.der, trust_domain="example.org", wfm="main")
    connection, transport, loop = connect(device_kind(), peer.der)
    assert transport.is_closed
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    connection.connection_lost(None)
    assert (transport.written, loop.timers) == (b"", [])


def test_a_closed_connection_leaves_no_timer_behind() -> None:
    connection, _, loop = connect(device_kind(), AUTHORITY.client().der)
    connection.data_received(b"GET / HT")
    connection.connection_lost(None)
    assert [timer for timer in loop.timers if not timer.is_cancelled] == []


def test_a_peer_that_keeps_trying_is_told_of_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    refusals = tls.Refusals()
    for now in (0.0, 60.0, 3599.0, 3601.0):
        refusals.tell("192.0.2.1", "wrong", now=now)
    refusals.tell("192.0.2.2", "wrong", now=3602.0)
    assert [record.args for record in caplog.records] == [
        ("192.0.2.1", "wrong"),
        ("192.0.2.1", "wrong"),
        ("192.0.2.2", "wrong"),
    ]


def test_an_idle_connection_is_cut_when_the_server_ends_and_the_peer_is_silent() -> None:
    connection, transport, loop = connect(tls.Connection)
    connection.shutdown()
    assert transport.is_closed
    assert len(loop.pending(tls.FAREWELL_SECONDS)) == 1


class Waiting:
    """Somebody who waits on a line, and how often it was interrupted."""

    def __init__(self, connection: tls.Connection) -> None:
        self.interruptions = 0
        self._wait = connection.line.waiting(self._interrupt)
        self._wait.__enter__()

    def _interrupt(self) -> None:
        self.interruptions += 1


def test_a_wait_ends_when_the_other_end_goes_away() -> None:
    connection, _, _ = connect(tls.Connection)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    waiting = Waiting(connection)
    connection.connection_lost(None)
    assert (waiting.interruptions, connection.line.is_lost) == (1, True)


def test_a_wait_ends_when_the_server_does_and_the_connection_soon_after() -> None:
    connection, transport, loop = connect(tls.Connection)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    waiting = Waiting(connection)
    connection.shutdown()
    assert waiting.interruptions == 1
    assert not connection.line.may_wait
    assert not transport.is_closed
    (farewell,) = loop.pending(tls.FAREWELL_SECONDS)
    farewell.callback()
    assert transport.is_closed


def test_an_answer_on_its_way_is_given_its_time_when_the_server_ends() -> None:
    connection, _, loop = connect(tls.Connection)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    connection.shutdown()
    assert loop.pending(tls.FAREWELL_SECONDS) == []


def test_the_next_request_ends_the_wait_of_the_one_before() -> None:
    connection, _, _ = connect(tls.Connection)
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    connection.data_received(request)
    waiting = Waiting(connection)
    assert connection.line.may_wait
    connection.data_received(request)
    assert waiting.interruptions == 1
    assert not connection.line.may_wait
    connection.pipeline.clear()
    connection.on_response_complete()
    assert connection.line.may_wait
