"""A fleet in small: a real server, real devices, and a person at the command line.

    fleet = Fleet(tmp_path, server)
    device = fleet.enroll("line-4", engine)
    with device.running():
        fleet.publish(application)
        fleet.cli("deployment", "create", "shop", "--device", "line-4", "--wait")

Everything is done by the documented commands; nothing here looks inside the product. What runs is looked
at through the engine's own API.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.engines import Engine, EngineApi, EngineRefusedError
from support.images import RegistryAccess
from support.processes import StartError, own_environment, start, stop, tail, wait_until
from support.server_process import ServerProcess

EDGEWRIGHT = (sys.executable, "-m", "edgewright.cli.main")
SETTLED_SECONDS = 120.0
DEPLOYMENT_LABEL = "io.edgewright.deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A package to publish: `components` maps name to compose document, in the order of installation.

    `parameters` maps name to (default, environment variable, components). With `snapshot` a roll-back puts
    the volumes back as they were before the update.
    """

    name: str
    registry: RegistryAccess
    components: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, tuple[object, str, tuple[str, ...]]] = field(default_factory=dict)
    version: str = "1.0.0"
    timeout: str = "1m0s"
    snapshot: bool = False

    def margo(self) -> dict[str, Any]:
        """Return the application description."""
        where = f"oci://{self.registry.host}/{self.name}"
        rollback = {"x-edgewright-extensions": {"rollback": {"volumes": "snapshot"}}}
        return {
            "apiVersion": "v1",
            "id": self.name,
            "metadata": {
                "name": self.name,
                "version": self.version,
                "catalog": {"organization": [{"name": "Tests"}]},
            },
            "deploymentProfiles": [
                {
                    "type": "compose",
                    "id": f"{self.name}-compose",
                    **(rollback if self.snapshot else {}),
                    "components": [
                        {
                            "name": name,
                            "properties": {
                                "repository": f"{where}/{name}",
                                "revision": self.version,
                                "wait": True,
                                "timeout": self.timeout,
                            },
                        }
                        for name in self.components
                    ],
                }
            ],
            "parameters": {
                name: {"value": value, "targets": [{"pointer": variable, "components": list(components)}]}
                for name, (value, variable, components) in self.parameters.items()
            },
            "configuration": {
                "sections": [
                    {
                        "name": "All",
                        "settings": [
                            {"parameter": name, "name": name, "schema": _type_of(value)}
                            for name, (value, _, _) in self.parameters.items()
                        ],
                    }
                ],
                "schema": [{"name": kind, "dataType": kind} for kind in ("string", "integer", "boolean")],
            },
        }

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the folders a person would write; return the package's and the components'. JSON is YAML."""
        package, components = folder / "package", folder / "components"
        package.mkdir(parents=True)
        (package / "margo.yaml").write_text(json.dumps(self.margo(), indent=2))
        for name, document in self.components.items():
            (components / name).mkdir(parents=True)
            (components / name / "compose.yaml").write_text(json.dumps(document, indent=2))
        return package, components


def _type_of(value: object) -> str:
    return {str: "string", int: "integer", bool: "boolean"}[type(value)]


class Device:
    """One device: its agent's state, settings and process, and what really runs on its engine."""

    def __init__(self, folder: Path, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.api = EngineApi(engine.socket)
        self.state = folder / name
        self.log = folder / f"{name}.log"
        self._config = folder / f"{name}.yaml"
        self._config.write_text(
            json.dumps(
                {
                    "engine": {"socket": engine.socket, "compose": engine.compose},
                    "capabilities": {"vendor": "Tests", "modelNumber": "T1", "serialNumber": name},
                }
            )
        )
        self.policy: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def agent(self, *words: str) -> list[str]:
        """Return the command line of `edgewright agent WORDS` for this device."""
        return [*EDGEWRIGHT, "agent", *words, "--state", str(self.state)]

    def start(self) -> None:
        command = [*self.agent("run"), "--poll", "200ms", "--config", str(self._config)]
        if self.policy is not None:
            command += ["--policy", str(self.policy)]
        self._process = start(command, log=self.log, environment=own_environment())

    def sync(self) -> None:
        """Do one turn of the agent without a resident process."""
        done = _run([*self.agent("sync"), "--config", str(self._config)], own_environment())
        assert done.code == 0, done.errors

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the agent meanwhile."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def kill(self) -> None:
        """End every process of the agent at once, as a power cut would; containers are not its own."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if os.fsencode(self.state) in words and b"edgewright" in b" ".join(words):
                    os.kill(int(path.parent.name), signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def containers(self, deployment_id: str) -> dict[str, dict[str, Any]]:
        """Return the running containers of a deployment by service, as the engine describes them."""
        label = f"{DEPLOYMENT_LABEL}={deployment_id}"
        listed = [one for one in self.api.containers(label) if one["State"] == "running"]
        described = [self.api.get(f"/containers/{one['Id']}/json") for one in listed]
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in described}

    def get(self, deployment_id: str, service: str, path: str) -> str:
        """Ask a service over HTTP at the port the engine published for it on this machine."""
        ports = self.containers(deployment_id)[service]["NetworkSettings"]["Ports"]["8080/tcp"]
        connection = http.client.HTTPConnection("127.0.0.1", int(ports[0]["HostPort"]), timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def environment(self, deployment_id: str, service: str) -> dict[str, str]:
        """Return the environment the service's own process was given."""
        lines = self.get(deployment_id, service, "/cgi-bin/environment").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def leftovers(self, deployment_id: str) -> list[str]:
        """Return what of a deployment is still on the engine or on the disk."""
        label = f"{DEPLOYMENT_LABEL}={deployment_id}"
        projects = self.state / "projects" / deployment_id
        return [
            *(f"container {one['Names'][0]}" for one in self.api.containers(label)),
            *(f"network {one['Name']}" for one in self.api.networks(label)),
            *(f"volume {one['Name']}" for one in self.api.volumes(label)),
            *(f"file {path}" for path in projects.rglob("*") if path.is_file()),
        ]

    def clean(self, deployment_id: str) -> None:
        """Take away by the engine's own means what a failed test left of a deployment."""
        label = f"{DEPLOYMENT_LABEL}={deployment_id}"
        for one in self.api.containers(label):
            self.api.request("DELETE", f"/containers/{one['Id']}?force=true&v=true")
        for kind, found in (("networks", self.api.networks(label)), ("volumes", self.api.volumes(label))):
            for one in found:
                with suppress(EngineRefusedError):
                    self.api.request("DELETE", f"/{kind}/{one['Name']}")


class Fleet:
    """The server, its devices, and the command line of its operator."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.server = server
        self.devices: list[Device] = []
        self._folder = folder
        self._made: list[tuple[Device, str]] = []
        self._environment = own_environment(EDGEWRIGHT_CONTEXT=str(folder / "context.json"))
        self.cli("login", str(server.data / "operator.json"))

    def run(self, *words: str) -> Done:
        """Run `edgewright WORDS` and return how it ended."""
        return _run([*EDGEWRIGHT, *words], self._environment)

    def cli(self, *words: str) -> str:
        """Run `edgewright WORDS`, which has to succeed; return what it printed."""
        done = self.run(*words)
        assert done.code == 0, (
            f"edgewright {' '.join(words)}: {done.code}\n{done.output}{done.errors}{self._logs()}"
        )
        return done.output

    def ask(self, *words: str) -> Any:
        """Return the answer to `edgewright WORDS` as JSON."""
        return json.loads(self.cli(*words, "-o", "json"))

    def enroll(self, name: str, engine: Engine) -> Device:
        """Invite a device and enrol it with the token, as a person would."""
        device = Device(self._folder, name, engine)
        token = self.ask("enrollment", "create", name)["token"]
        done = _run(device.agent("enroll", token), own_environment())
        assert done.code == 0, done.errors
        self.devices.append(device)
        return device

    def publish(self, application: Application) -> None:
        """Publish components and package to the application's registry, and import the package from there."""
        folder = self._folder / f"{application.name}-{application.version}"
        package, components = application.write(folder)
        target = f"oci://{application.registry.host}/{application.name}/package"
        self.cli("package", "publish", str(package), target, "--components", str(components))
        self.cli("package", "import", f"{target}:{application.version}")

    def deploy(self, device: Device, application: str, **parameters: str) -> str:
        """Create a deployment, once the device was heard of, and return its id at once."""
        wait_until(
            lambda: self.server.operator.get(f"/devices/{device.name}")["devices"],
            what=f"{device.name} did not report its capabilities",
        )
        chosen = [word for name, value in parameters.items() for word in ("--set", f"{name}={value}")]
        made = self.ask("deployment", "create", application, "--device", device.name, *chosen)
        self._made.append((device, made["id"]))
        return str(made["id"])

    def settle(self, deployment_id: str) -> Done:
        """Watch a deployment until it is settled, well or not."""
        limit = f"{SETTLED_SECONDS:.0f}s"
        return self.run("deployment", "watch", deployment_id, "--timeout", limit)

    def converge(self, deployment_id: str) -> None:
        """Watch a deployment until it is as desired."""
        done = self.settle(deployment_id)
        assert done.code == 0, f"{done.output}{done.errors}{self._logs()}"

    def history(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return every report the server received of a deployment, in order, as its API shows them."""
        return self.server.operator.items(f"/deployments/{deployment_id}/history?limit=1000")

    def wait_for(self, deployment_id: str, state: str, *, reason: str = "") -> dict[str, Any]:
        """Return the first report with this state that names `reason`."""

        def look() -> dict[str, Any] | None:
            return next((one for one in self.history(deployment_id) if is_wanted(one)), None)

        def is_wanted(status: dict[str, Any]) -> bool:
            return status["state"] == state and reason in json.dumps(status, ensure_ascii=False)

        try:
            return wait_until(look, what=f"no status {state} {reason}", seconds=SETTLED_SECONDS)
        except StartError as error:
            raise AssertionError(f"{error}:\n{self.history(deployment_id)}{self._logs()}") from error

    def clean(self) -> None:
        """End the agents, and remove what failed tests left on the engines."""
        for device in self.devices:
            device.stop()
        for device, deployment_id in self._made:
            device.clean(deployment_id)

    def _logs(self) -> str:
        logs = [("server", self.server.log), *((device.name, device.log) for device in self.devices)]
        return "".join(f"\n--- {name}\n{tail(log, 30)}" for name, log in logs)


def _run(command: list[str], environment: Mapping[str, str]) -> Done:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(environment),
        timeout=SETTLED_SECONDS * 2,
        check=False,
    )
    return Done(code=done.returncode, output=done.stdout, errors=done.stderr)
