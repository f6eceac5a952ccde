"""The subscription on a socket: it never blocks, and tells of a gap when it is there again."""

import json
import select
import socket
import tempfile
from pathlib import Path

import pytest

from edgewright.agent.resident.engine_events import EngineEvents

LABEL = "io.edgewright.owner=abc"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DIED = {"Action": "die", "Actor": {"Attributes": {"io.edgewright.owner": "abc"}}}


class Engine:
    """A socket that a test answers on by hand."""

    def __init__(self, path):
        self.path = str(path)
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()

    def accept(self):
        """Take the subscription, check what it asks for and answer with the head."""
        self.talk, _ = self.listener.accept()
        assert b"GET /events?filters=" in self.talk.recv(4096)
        self.talk.sendall(HEAD)

    def tell(self, event):
        line = json.dumps(event).encode() + b"\n"
        self.talk.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    def close(self):
        self.talk.close()
        self.listener.close()
        Path(self.path).unlink()


@pytest.fixture
def engine():
    with tempfile.TemporaryDirectory() as directory:  # short, as a socket's path has to be
        made = Engine(Path(directory) / "engine.sock")
        yield made
        made.close()


def heard(events):
    """What is heard once something has come."""
    assert select.select([events.fd], [], [], 10)[0]
    return events.hear()


@pytest.fixture
def events():
    made = EngineEvents()
    yield made
    made.close()


def listen(events, engine):
    events.listen_to(engine.path, LABEL, health=True)
    events.connect()
    engine.accept()
    assert heard(events) is False  # the head; a round is at work at this moment anyway


def test_what_concerns_us_is_heard_and_silence_holds_up_nobody(engine, events):
    listen(events, engine)
    assert events.hear() is False
    engine.tell({**DIED, "Actor": {"Attributes": {"io.edgewright.owner": "somebody"}}})
    assert heard(events) is False
    engine.tell(DIED)
    assert heard(events) is True
    assert events.due == float("inf")


@pytest.mark.requirement("S-7")
def test_after_a_gap_a_round_looks_whatever_happened_meanwhile(engine, events, capfd):
    listen(events, engine)
    engine.close()
    assert heard(events) is False
    assert events.fd == -1
    for _ in range(3):
        events.due = 0.0
        events.connect()
        assert events.fd == -1
        assert events.due > 0.0
    engine.open()
    events.due = 0.0
    events.connect()
    engine.accept()
    assert heard(events) is True
    assert capfd.readouterr().err.count("no events from the container engine") == 1


def test_another_engine_is_listened_to_instead(engine, events):
    listen(events, engine)
    events.listen_to(engine.path, LABEL, health=True)
    assert events.fd != -1
    events.listen_to(engine.path, "io.edgewright.owner=other", health=True)
    assert events.fd == -1
    assert events.due == 0.0
    events.connect()
    engine.talk.close()
    engine.accept()
    assert heard(events) is False
