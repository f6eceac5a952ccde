"""Containers that a person stops, kills or removes are put back, on real engines, as soon as it happens."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.compose_component import compose_json, publish
from support.engines import EngineApi
from support.foreign_server import ForeignServer, deployment_yaml
from support.images import busybox_image, push
from support.processes import wait_until

ID = "11111111-1111-4111-8111-{:0>12}"
KEEPS_RUNNING = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
SECONDS = 60.0


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


class Field:
    """One device with the whole product on a real engine."""

    def __init__(self, directory, authority, server, engine, access, busybox, unique, *, images=None):
        self.server = server
        self.api = EngineApi(engine.socket)
        self.rig = AgentRig(directory, authority)
        self.rig.enroll(server.url)
        self.deployment = ID.format(unique[-10:])
        self.config = directory / "agent.yaml"
        self.config.write_text(json.dumps({"engine": {"socket": engine.socket, "compose": engine.compose}}))
        push(
            busybox_image(busybox, command=["/bin/sh", "-c", KEEPS_RUNNING]),
            images or access,
            f"{unique}/shell",
            "1",
        )
        self.image = f"{(images or access).host}/{unique}/shell:1"
        service = {"image": self.image, "stop_grace_period": "0s"}
        repository = publish(
            access, f"{unique}/app", "1.0.0", {"compose.yaml": compose_json(front=service, back=service)}
        )
        component = {"name": "app", "properties": {"repository": repository, "revision": "1.0.0"}}
        self.version = server.deploy(deployment_yaml(self.deployment, components=[component]))

    @contextmanager
    def running(self):
        """Let the real agent run; it polls once, so that nothing but an event starts a round."""
        command = [sys.executable, "-I", "-m", "edgewright.cli.main", "agent", "run"]
        words = ["--state", str(self.rig.state), "--config", str(self.config), "--poll", "1h"]
        before = self.last_round()
        with self.rig.log.open("ab") as log:
            process = subprocess.Popen([*command, *words], stderr=log)
        try:
            wait_until(lambda: self.last_round() not in ("", before), what="a round is at work")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        assert code == 0, self.rig.log.read_text()

    def last_round(self):
        """The process id of the last round, "" before the first."""
        lock = self.rig.state / "round.lock"
        return lock.read_text() if lock.exists() else ""

    def containers(self):
        """The ids of what runs, by service."""
        found = self.api.containers(f"io.edgewright.deployment={self.deployment}")
        return {
            each["Labels"]["com.docker.compose.service"]: each["Id"]
            for each in found
            if each["State"] == "running"
        }

    def wait_for_both(self):
        wait_until(lambda: len(self.containers()) == 2, what=self.rig.log.read_text(), seconds=SECONDS)

    def clean(self):
        self.server.withdraw(self.deployment)
        if self.server._server is None:
            self.server.start(int(self.rig_port))
        done = self.rig.command("sync", "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        assert self.api.containers(f"io.edgewright.deployment={self.deployment}") == []


@pytest.fixture
def field(tmp_path, authority, engine, registry, testbed, unique):
    with ForeignServer(authority) as server:
        made = Field(tmp_path, authority, server, engine, registry, Path(testbed.busybox), unique)
        made.rig_port = server.port
        yield made
        made.clean()


def test_what_a_person_stops_kills_or_removes_is_put_back_at_once_and_nothing_else(field, unique):
    foreign = json.loads(
        field.api.request("POST", f"/containers/create?name=foreign-{unique}", foreign_container(field))
    )["Id"]
    field.api.request("POST", f"/containers/{foreign}/start")
    try:
        with field.running():
            field.server.wait_for_state(field.deployment, "installed", version=field.version)
            field.wait_for_both()
            wait_until(lambda: field.rig.status()["contact"]["reports_waiting"] == 0, what="all is sent")
            field.api.request("POST", f"/containers/{foreign}/kill")
            for way in ("stop?t=0", "kill", "remove"):
                before = field.containers()
                reports = len(field.server.statuses(field.deployment))
                harm(field.api, before["front"], way)
                field.server.wait_for(
                    lambda reports=reports: (
                        field.server.states(field.deployment)[reports:][-1:] == ["installed"]
                    ),
                    f"put back after {way}; {field.rig.log.read_text()}",
                    seconds=SECONDS,
                )
                field.wait_for_both()
                assert field.containers()["back"] == before["back"], way
        assert len(field.server.polls()) == 1
        assert field.api.get(f"/containers/{foreign}/json")["State"]["Running"] is False
    finally:
        field.api.request("DELETE", f"/containers/{foreign}?force=true")


def foreign_container(field):
    """Somebody else's, that carries our labels but for whose it is."""
    labels = {"io.edgewright.owner": "somebody", "io.edgewright.component": "app"}
    field.api.pull(field.image)
    return {"Image": field.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}


def harm(api, container, way):
    if way == "remove":
        api.request("DELETE", f"/containers/{container}?force=true")
    else:
        api.request("POST", f"/containers/{container}/{way}")


@pytest.mark.requirement("OFF-8", "S-7")
def test_a_reboot_without_server_and_registry_starts_everything_that_was_installed(
    tmp_path, authority, engine, own_registry, registry, testbed, unique
):
    with ForeignServer(authority) as server:
        busybox, access = Path(testbed.busybox), own_registry.access
        # Podman pulls without TLS from no other registry than that of the testbed.
        images = registry if engine.name == "podman" else access
        field = Field(tmp_path, authority, server, engine, access, busybox, unique, images=images)
        field.rig_port = server.port
        with field.running():
            server.wait_for_state(field.deployment, "installed", version=field.version)
        server.stop()
        own_registry.stop()
        for container in field.containers().values():
            field.api.request("POST", f"/containers/{container}/stop?t=0")
        (field.rig.state / "state.db").unlink()  # and the database went with the power
        with field.running():
            field.wait_for_both()
            wait_until(lambda: stages(field) == ["installed"], what="it is recorded", seconds=SECONDS)
            done = field.rig.command("verify", "--config", str(field.config))
            assert (done.returncode, done.stdout) == (0, "everything is whole\n")
            before = field.containers()
        with field.running():
            wait_until(lambda: stages(field) == ["installed"], what="it is recorded", seconds=SECONDS)
        assert field.containers() == before
        field.clean()


def stages(field):
    return [each["stage"] for each in field.rig.status()["deployments"]]
