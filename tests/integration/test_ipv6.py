"""All listeners of a server by IPv6, and a device that comes in there, by the device API and by Git."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.processes import own_environment, start, stop, tail, wait_until
from support.server_process import ServerProcess

EDGEWRIGHT = (sys.executable, "-m", "edgewright.cli.main")


@pytest.fixture(autouse=True)
def own_address() -> None:
    """This machine's own address of IPv6; a network without it is nothing that could be installed."""
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


@pytest.mark.parametrize("transport", ["api", "git"])
def test_a_device_enrols_and_takes_up_what_it_is_to_have_by_ipv6(tmp_path: Path, transport: str) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    created = ServerProcess.create(tmp_path / "server", hosts_repositories=True, host="::1")
    with created as server:
        assert server.git_url.startswith("https://[::1]:")
        asked = {"name": "line-6", "transport": transport}
        token = server.operator.post("/enrollments", asked)["token"]
        enroll = [*EDGEWRIGHT, "agent", "enroll", token, "--state", str(state)]
        done = subprocess.run(enroll, capture_output=True, env=own_environment(), check=False)
        assert done.returncode == 0, done.stderr
        run = [*EDGEWRIGHT, "agent", "run", "--state", str(state), "--poll", "200ms"]
        process = start(run, log=log, environment=own_environment())
        try:

            def taken_up() -> Any:
                found = server.operator.get("/devices/line-6")
                return found["state"] == "empty" and found["site"]

            wait_until(taken_up, what=f"the device is in contact: {tail(log)}", seconds=60)
            if transport == "git":
                wait_until(
                    lambda: server.operator.get("/devices/line-6/repository")["adopted_version"],
                    what="the repository was taken up",
                )
        finally:
            stop(process)
