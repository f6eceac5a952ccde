"""The network of its own that the browser of the tests has: nothing of the machine's reaches into it."""

import os
import subprocess
from pathlib import Path

import pytest

from support.own_network import OwnNetwork

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="who is not root may not everywhere have one")


def test_a_program_in_it_finds_loopback_alone_and_is_told_the_way_out(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$@"\ntail -n +3 /proc/net/dev | cut -d: -f1\n')
    program.chmod(0o700)
    with OwnNetwork(tmp_path, str(program)) as network:
        started = subprocess.Popen([network.launcher, "--one"], stdout=subprocess.PIPE, text=True)
        assert network.open()
        told, interfaces = started.communicate(timeout=60)[0].splitlines()
    assert told.startswith("--one --proxy-server=socks5://127.0.0.1:")
    assert interfaces.strip() == "lo"
