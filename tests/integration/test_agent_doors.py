"""Doors: who knocks is served by a process that is started for it, and the watch goes on meanwhile."""

import grp
import json
import os
import select
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from edgewright.agent import log
from edgewright.agent.paths import Paths
from edgewright.agent.resident import doors
from edgewright.agent.resident.doors import Door
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.fake_clock import FakeClock
from support.foreign_server import ForeignServer
from support.processes import wait_until

# Serves every connection with its own process id, as long as somebody comes; `end` lets it end at once.
SERVER = """
import os, select, socket, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
listener = socket.socket(fileno=int(words["--fd"]))
while select.select([listener], [], [], float(words["--idle"]))[0]:
    connection, _ = listener.accept()
    asked = connection.recv(100)
    connection.sendall(str(os.getpid()).encode())
    connection.close()
    if asked == b"end":
        break
"""


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory() as directory:  # short, as a socket's path has to be
        yield Path(directory)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def door(directory, clock, monkeypatch):
    monkeypatch.setattr(log, "write", lambda *_: None)
    script = directory / "server.py"
    script.write_text(SERVER)
    made = Door(f"unix:{directory}/door.sock", [sys.executable, "-I", str(script)], clock=clock)
    made.open()
    yield made
    made.close()


def knock(directory):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{directory}/door.sock")
    return connection


def answer(connection, asked=b"who"):
    connection.sendall(asked)
    with connection:
        return int(connection.recv(100))


def hear(door):
    assert select.select([door.fd], [], [], 20)[0]
    door.hear()


def test_who_knocks_is_served_by_a_process_of_its_own_and_so_is_who_comes_after(door, directory):
    first, second = knock(directory), knock(directory)
    hear(door)
    assert answer(first) == answer(second) != os.getpid()


def test_after_it_has_ended_the_next_one_is_started(door, directory, clock):
    connection = knock(directory)
    hear(door)
    first = answer(connection, b"end")
    waiting = knock(directory)  # meanwhile: it is not lost
    clock.forward(30)
    hear(door)
    hear(door)
    assert answer(waiting) != first


def test_one_that_breaks_is_started_later_each_time(directory, clock, monkeypatch):
    monkeypatch.setattr(log, "write", lambda *_: None)
    door = Door(f"unix:{directory}/door.sock", ["/bin/false"], clock=clock)
    door.open()
    connection = knock(directory)
    rests = []
    for _ in range(4):
        hear(door)
        hear(door)
        assert door.fd == -1
        rests.append(door.due - clock.monotonic())
        clock.until(door.due)
    connection.close()
    door.close()
    assert rests == sorted(rests)
    assert rests[0] >= 1


def test_one_that_ends_at_once_without_serving_is_not_started_without_end(directory, clock, monkeypatch):
    monkeypatch.setattr(log, "write", lambda *_: None)
    door = Door(f"unix:{directory}/door.sock", ["/bin/true"], clock=clock)
    door.open()
    with knock(directory):
        hear(door)
        hear(door)
        assert door.fd == -1
    door.close()


def test_a_socket_left_behind_is_replaced_and_nothing_else_is(directory, clock, monkeypatch):
    told = []
    monkeypatch.setattr(log, "write", lambda _, text: told.append(text))
    path = directory / "door.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    door = Door(f"unix:{path}", ["/bin/true"], clock=clock)
    door.open()
    assert door.fd >= 0
    door.close()
    path.unlink()
    path.write_text("somebody's file")
    blocked = Door(f"unix:{path}", ["/bin/true"], clock=clock)
    blocked.open()
    assert blocked.fd == -1
    assert blocked.due > clock.monotonic()
    assert path.read_text() == "somebody's file"
    assert "nobody can knock" in told[-1]


@pytest.mark.requirement("S-26")
def test_the_group_gets_to_its_socket_whatever_the_umask_of_the_agent_is(directory, clock, monkeypatch):
    run = directory / "run"
    monkeypatch.setattr("edgewright.agent.resident.doors.RUN", str(run))
    run.mkdir(mode=0o700)
    door = Door(f"unix:{run}/a.sock", ["/bin/true"], group=os.getgid(), clock=clock)
    door.open()
    door.close()
    assert stat.S_IMODE(run.stat().st_mode) == 0o755


def test_only_the_owner_and_a_group_may_knock(directory, clock):
    alone = Door(f"unix:{directory}/a.sock", ["/bin/true"], clock=clock)
    alone.open()
    assert stat.S_IMODE((directory / "a.sock").stat().st_mode) == 0o600
    group = grp.getgrgid(os.getgid()).gr_gid
    shared = Door(f"unix:{directory}/b/b.sock", ["/bin/true"], group=group, clock=clock)
    shared.open()
    found = (directory / "b" / "b.sock").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, group)
    alone.close()
    shared.close()


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("unix:/" + "x" * 200, id="too long"),
        pytest.param("8088", id="no port"),
        pytest.param("nowhere.invalid:80", id="no host"),
        pytest.param("127.0.0.1:http", id="no number"),
    ],
)
def test_an_address_that_is_none_is_told_and_tried_again_later(address, clock, monkeypatch):
    told = []
    monkeypatch.setattr(log, "write", lambda _, text: told.append(text))
    door = Door(address, ["/bin/true"], clock=clock)
    for _ in range(3):
        door.open()
        clock.until(door.due)
    assert len(told) == 1
    assert address in told[0]


def test_a_door_may_be_a_port_of_this_machine(directory, clock):
    made = Door("127.0.0.1:0", ["/bin/true"], clock=clock)
    made.open()
    with socket.socket(fileno=os.dup(made.fd)) as listener:
        address = listener.getsockname()
    with socket.create_connection(address):
        assert select.select([made.fd], [], [], 10)[0]
    made.close()


# --- the watch ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(directory, authority, server):
    rig = AgentRig(directory, authority)
    rig.enroll(server.url)
    return rig


def test_the_watch_opens_the_control_socket_and_ends_who_serves_it(agent, server):
    path = Paths(str(agent.state)).control_sockets[0]
    with agent.running():
        server.wait_for_polls(1)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(path)
            connection.sendall(b'{"do": "status"}\n')
            told = json.loads(connection.makefile("rb").readline())
        assert "error" in told or told
        server.wait_for_polls(2)
    with socket.socket(socket.AF_UNIX) as connection, pytest.raises(ConnectionRefusedError):
        connection.connect(path)


def test_sigusr1_starts_a_round_and_does_not_poll(agent, server):
    agent.start(poll=3600)
    server.wait_for_polls(1)
    wait_until(lambda: agent.status()["manifest"]["version"] == 1, what="the first manifest")
    rounds = len([call for call in agent.calls if call[0] == "observe"])
    agent.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len([call for call in agent.calls if call[0] == "observe"]) > rounds, what="a round")
    assert len(server.polls()) == 1
    agent.stop()


def test_a_dropped_file_starts_a_round_at_once(agent, server):
    drop = Path(Paths(str(agent.state)).drop)
    drop.mkdir(exist_ok=True)
    agent.start(poll=3600)
    server.wait_for_polls(1)
    wait_until(lambda: agent.status()["manifest"]["version"] == 1, what="the first manifest")
    rounds = len([call for call in agent.calls if call[0] == "observe"])
    (drop / "001.approve").write_text("by: Eva\n")
    wait_until(lambda: len([call for call in agent.calls if call[0] == "observe"]) > rounds, what="a round")
    agent.stop()


def test_the_idle_time_is_more_than_a_moment():
    assert doors.IDLE_SECONDS >= 10
