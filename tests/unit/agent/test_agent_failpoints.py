"""Failpoints: off they do nothing, on they do what was asked for, and a wrong name is told."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgewright.agent import failpoints
from edgewright.agent.failpoints import COURIER, NAMES, VARIABLE, FailpointError, armed, parse

SOURCE = Path(failpoints.__file__).parent


def program(code, setting=None):
    environment = {} if setting is None else {VARIABLE: setting}
    return subprocess.run(
        [sys.executable, "-I", "-c", f"from edgewright.agent.failpoints import hit\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_named_point_is_one_of_the_agents_and_every_point_of_the_agent_is_named():
    called = set()
    for path in SOURCE.rglob("*.py"):
        if path.name != "failpoints.py":
            called.update(re.findall(r'\bhit\("([^"]*)"\)', path.read_text()))
    assert called == set(NAMES) | set(COURIER)


def test_off_nothing_happens():
    def nothing(_):
        """Do nothing."""

    assert failpoints.hit.__code__.co_code == nothing.__code__.co_code
    assert program("hit('accept.fetched'); print('went on')").stdout == "went on\n"


def test_a_point_armed_to_kill_ends_the_process_there():
    done = program(
        "hit('accept.fetched'); print('here', flush=True); hit('commit.after')", "commit.after=kill"
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "here\n")


def test_a_pause_holds_until_its_file_is_gone_and_tells_who_waits(tmp_path):
    held = tmp_path / "held"
    held.touch()
    hit = armed(parse(f"accept.fetched=pause:{held}"))
    hit("commit.before")
    waiting = threading.Thread(target=hit, args=("accept.fetched",))
    waiting.start()
    while not (tmp_path / "held.reached").exists():
        assert waiting.is_alive()
    assert (tmp_path / "held.reached").read_text() == str(os.getpid())
    held.unlink()
    waiting.join()
    hit("accept.fetched")


@pytest.mark.parametrize(
    "text", ["", "no.such=kill", "commit.after", "commit.after=stop", "commit.after=pause:"]
)
def test_what_is_no_failpoint_is_told(text):
    with pytest.raises(FailpointError, match=VARIABLE):
        parse(text)
    done = program("", text)
    assert done.returncode == 1
    assert done.stderr.startswith(VARIABLE)
    assert "Traceback" not in done.stderr


def test_a_point_that_is_not_in_the_table_is_a_mistake():
    with pytest.raises(KeyError):
        armed({})("no.such")
