"""The control socket as the watch hands it over: real processes, real users, real sockets."""

import json
import os
import socket
import threading
import time

import pytest

from edgewright.agent.on_site.control_client import ask
from edgewright.agent.paths import Paths
from edgewright.protocol.errors import EdgewrightError
from support.handed_over import listening, served
from support.site_scene import Scene


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, time.time())
    scene.policy.write_text("# nothing\n")
    scene.deployment()
    return scene


@pytest.fixture
def listener(scene):
    with listening(scene.paths.control_sockets[0]) as listener:
        yield listener


def exchange(path, *lines):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            return [json.loads(line) for line in file]


@pytest.mark.requirement("S-29")
def test_a_connection_may_ask_for_several_things_in_turn(scene, listener):
    number = scene.approval()
    with served("on_site.control", scene, listener):
        paused, decided, status = exchange(
            scene.paths.control_sockets[0],
            {"do": "pause", "by": "Ada", "reason": "audit"},
            {"do": "decide", "number": number, "verdict": "approved", "by": "Ada"},
            {"do": "status"},
        )
    assert paused == {"running": False}
    assert decided["approval"]["verdict"] == "approved"
    assert status["paused"]["by"] == "Ada"
    assert {each["uid"] for each in status["audit"]} == {os.getuid()}


def test_the_command_line_asks_the_socket_before_it_touches_files(scene, listener):
    with served("on_site.control", scene, listener):
        answer = ask(scene.paths, {"do": "status"})
        with pytest.raises(EdgewrightError, match="nothing is paused") as caught:
            ask(scene.paths, {"do": "resume"})
    assert answer["deployments"][0]["name"] == "shop"
    assert caught.value.code == "wish.refused"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_is_not_in_the_group_is_told_what_to_do(tmp_path):
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            ask(Paths(str(tmp_path)), {"do": "status"})
        except EdgewrightError as error:
            os.write(writable, str(error).encode())
        os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    with os.fdopen(readable) as file:
        assert "control: group" in file.read()


def test_whoever_says_nothing_keeps_nobody_waiting(scene, listener):
    with served("on_site.control", scene, listener):
        silent = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        try:
            for each in silent:
                each.connect(scene.paths.control_sockets[0])
            assert exchange(scene.paths.control_sockets[0], {"do": "approvals"}) == [{"approvals": []}]
        finally:
            for each in silent:
                each.close()


def test_it_ends_when_nobody_asks_and_the_next_one_serves_who_comes_meanwhile(scene, listener):
    with served("on_site.control", scene, listener, idle=0.2) as process:
        assert process.wait(timeout=60) == 0
    found = []
    waiting = threading.Thread(
        target=lambda: found.extend(exchange(scene.paths.control_sockets[0], {"do": "approvals"}))
    )
    waiting.start()
    with served("on_site.control", scene, listener):
        waiting.join(timeout=60)
    assert found == [{"approvals": []}]


def test_a_line_without_end_is_cut_off(scene, listener):
    with served("on_site.control", scene, listener), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(scene.paths.control_sockets[0])
        try:
            for _ in range(64):
                connection.sendall(b"x" * 4096)
            ended = connection.recv(1)
        except (BrokenPipeError, ConnectionResetError):
            ended = b""
        assert ended == b""
