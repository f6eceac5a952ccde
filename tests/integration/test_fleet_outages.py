"""What the fleet manager says of real agents that are killed, cut off, or silent by their own policy.

At every moment the list, the device's own page and the API say the same word, and it is never that of the
time before.
"""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.fleet import EDGEWRIGHT
from support.people import Browser, sign_in
from support.processes import own_environment, start, stop, tail, wait_until
from support.server_process import ServerProcess

PATIENCE = 90.0


class Agent:
    """A device with an agent and no engine, where nothing is to run; it waits for news on one connection.

    `words` are more options of `edgewright agent run`.
    """

    def __init__(self, folder: Path, server: ServerProcess, name: str, *words: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._server = server
        self.policy = folder / f"{name}.yaml"
        self.policy.write_text("{}\n")
        self._words = words
        self._state = folder / name
        token = server.operator.post("/enrollments", {"name": name})["token"]
        done = subprocess.run(
            [*EDGEWRIGHT, "agent", "enroll", token, "--state", str(self._state)],
            capture_output=True,
            env=own_environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.start()

    def start(self) -> None:
        command = [*EDGEWRIGHT, "agent", "run", "--state", str(self._state), *self._words]
        self._process = start(
            [*command, "--policy", str(self.policy)], log=self.log, environment=own_environment()
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        stop(self._process)

    def waits_for_news(self) -> None:
        """Wait until a request came in after all that it has to tell: the one in which it waits for news."""

        def look() -> bool:
            shown = self._server.operator.get(f"/devices/{self.name}")
            if not (shown["devices"] and shown["site"]):
                return False  # its first round has not told of the site yet
            told = [*(each["updated"] for each in shown["devices"]), shown["site"]["received"]]
            return max(map(datetime.fromisoformat, told)) < datetime.fromisoformat(shown["last_contact"])

        wait_until(look, what=f"{self.name} does not wait for news\n{tail(self.log, 20)}", seconds=PATIENCE)

    def becomes(self, word: str, ada: Browser) -> dict[str, object]:
        """Wait until the device is said to be so, and see that everything says it."""

        def look() -> dict[str, object] | None:
            shown: dict[str, object] = self._server.operator.get(f"/devices/{self.name}")
            return shown if shown["state"] == word else None

        found = wait_until(
            look,
            what=f"{self.name} is not {word} but {self._server.operator.get(f'/devices/{self.name}')}\n"
            f"{tail(self.log, 20)}",
            seconds=PATIENCE,
        )
        (listed,) = self._server.operator.items(f"/devices?q={self.name}")
        assert (listed["state"], listed["said"]) == (found["state"], found["said"])
        assert f'id="device-{self.name}"' in ada.get(f"/fleet?state={word}").body.decode()
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as running:
        yield running


@pytest.fixture
def agents(tmp_path: Path, server: ServerProcess) -> Iterator[dict[str, Agent]]:
    made = {name: Agent(tmp_path, server, name) for name in ("steady", "killed")}
    yield made
    for agent in made.values():
        agent.stop()


def long_ago(server: ServerProcess, *names: str) -> None:
    """Have the server find, when it is there again, that it heard of these two days ago."""
    past = datetime.now(UTC) - timedelta(days=2)
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection, connection:
        for name in names:
            connection.execute(
                "UPDATE clients SET last_contact = ? WHERE client_id = ?",
                (f"{past:%Y-%m-%d %H:%M:%S.%f}", name),
            )


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
def test_no_moment_of_an_outage_is_told_wrong(server: ServerProcess, agents: dict[str, Agent]) -> None:
    ada = sign_in(server, "operator")
    steady, killed = agents["steady"], agents["killed"]
    for agent in (steady, killed):
        agent.becomes("empty", ada)

    # The one whose plug was pulled is not believed any longer; nobody calls it lost yet.
    killed.waits_for_news()
    killed.kill()
    found = killed.becomes("expected", ada)
    assert found["contact"]["why"] == "connection-broke"  # type: ignore[index]
    assert found["said"] == "empty"
    assert "is not back yet" in ada.get("/devices/killed").body.decode()
    steady.becomes("empty", ada)

    # It comes back by itself and is there at once.
    killed.start()
    killed.becomes("empty", ada)

    # This server is gone for a while. Who could not speak to it is not silent, and nobody is well by heart.
    killed.kill()
    server.stop()
    long_ago(server, "killed")
    server.start()
    found = killed.becomes("silent", ada)
    assert found["said"] == "empty"
    assert "Nobody here knows how it is" in ada.get("/devices/killed").body.decode()
    steady.becomes("empty", ada)
    killed.start()
    killed.becomes("empty", ada)


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
def test_who_is_silent_by_plan_is_neither_lost_nor_well(server: ServerProcess, tmp_path: Path) -> None:
    ada = sign_in(server, "operator")
    agent = Agent(tmp_path, server, "rests", "--poll", "200ms")
    try:
        agent.becomes("empty", ada)
        # It says so itself before it falls silent.
        agent.policy.write_text("polling: {periods: ['2090-01-01 00:00 .. 2090-01-02 00:00 UTC']}\n")
        found = agent.becomes("planned-silence", ada)
        assert found["said"] == "empty"
        agent.kill()
        server.stop()
        long_ago(server, "rests")
        server.start()
        agent.becomes("planned-silence", ada)
        page = ada.get("/devices/rests").body.decode()
        assert "outside its polling periods" in page
    finally:
        agent.stop()
