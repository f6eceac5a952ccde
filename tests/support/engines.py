"""Real container engines for tests: the ones that already run here, or private ones started for a while.

A Docker that runs on this machine is used and left alone. Where none runs (a container, a build machine
without an init system), a private dockerd is started; Podman is always served by a private service with
its own storage, so that nobody's containers are touched. Everything private lives under one directory.

Nothing in /etc changes. What a peculiar machine needs is found out by trying: an engine is started
plainly, runs one container, and only when that fails for the known reasons is it started again with low
limits (machines that may not raise them) and with runc (control groups that crun does not take).
"""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.images import RegistryAccess
from support.processes import StartError, own_environment, start, stop, tail, wait_until

# What containers get where the engine's defaults are refused; the smallest any test lives with.
LOW_LIMITS = ("nofile=1024:1024", "nproc=4096:4096")
NEEDS_LOW_LIMITS = re.compile(
    r"setrlimit|rlimit type|hybrid mode|RLIMIT_|operation not permitted.*rlimit", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A container engine to test with, and the Compose program that goes with it."""

    name: str  # "docker" or "podman"
    version: str
    socket: str  # path of the Docker-compatible socket
    compose: str  # path of a Compose v2 program that runs by itself
    private: bool  # started for the tests, to be thrown away after them

    @property
    def host(self) -> str:
        """The socket as DOCKER_HOST has it."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program that talks to this engine needs in its environment."""
        return {"DOCKER_HOST": self.host}


class EngineRefusedError(Exception):
    """The engine answered a request with an error."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class EngineApi:
    """The few requests of the Docker API that setting up, looking and cleaning up need."""

    def __init__(self, socket_path: str, *, timeout: float = 60.0) -> None:
        self._socket = socket_path
        self._timeout = timeout

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the body of the answer; raises EngineRefusedError for an error, OSError for no answer."""
        connection = _UnixConnection(self._socket, self._timeout)
        data = None if body is None else json.dumps(body).encode()
        try:
            sent = {"Content-Type": "application/json"} | dict(headers or {})
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            said = answer.read()
        except http.client.HTTPException as error:
            raise EngineRefusedError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise EngineRefusedError(
                f"{method} {path}: {answer.status} {said.decode(errors='replace').strip()}"
            )
        return said

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def pull(self, reference: str, *, registry: RegistryAccess | None = None) -> None:
        """Pull `host/repository:tag` or `…@digest`, with the password of `registry` where given."""
        query = urllib.parse.urlencode({"fromImage": reference})
        headers = {} if registry is None else {"X-Registry-Auth": _credentials(registry)}
        # An error comes inside an answer that says 200.
        for line in self.request("POST", f"/images/create?{query}", headers=headers).splitlines():
            error = json.loads(line).get("error") if line.strip() else None
            if error:
                raise EngineRefusedError(f"pull {reference}: {error}")

    def run(self, image: str, command: list[str]) -> int:
        """Run one container to its end and remove it; return its exit code."""
        name = f"ew-trial-{uuid.uuid4().hex[:8]}"
        made = json.loads(
            self.request("POST", f"/containers/create?name={name}", {"Image": image, "Cmd": command})
        )
        try:
            self.request("POST", f"/containers/{made['Id']}/start")
            waited = json.loads(self.request("POST", f"/containers/{made['Id']}/wait"))
            return int(waited["StatusCode"])
        finally:
            self.request("DELETE", f"/containers/{made['Id']}?force=true")

    def containers(self, label: str | None = None) -> list[dict[str, Any]]:
        return list(self.get(f"/containers/json?all=true{_filters(label)}"))

    def networks(self, label: str | None = None) -> list[dict[str, Any]]:
        return list(self.get(f"/networks?x=1{_filters(label)}"))

    def volumes(self, label: str | None = None) -> list[dict[str, Any]]:
        return list(self.get(f"/volumes?x=1{_filters(label)}")["Volumes"] or [])


def _credentials(registry: RegistryAccess) -> str:
    names = {"username": registry.username, "password": registry.password, "serveraddress": registry.host}
    return base64.urlsafe_b64encode(json.dumps(names).encode()).decode()


def _filters(label: str | None) -> str:
    if label is None:
        return ""
    return "&filters=" + urllib.parse.quote(json.dumps({"label": [label]}))


def version_of(socket_path: str) -> str | None:
    """Return the version of the engine behind a socket, or None when nothing answers there."""
    try:
        return str(EngineApi(socket_path, timeout=5.0).get("/version")["Version"])
    except (OSError, EngineRefusedError, ValueError, KeyError):
        return None


def running_docker(environment: Mapping[str, str]) -> str | None:
    """Return the socket of a Docker that already runs here and that this user may use."""
    candidates = [environment.get("DOCKER_HOST", "").removeprefix("unix://"), "/var/run/docker.sock"]
    if "XDG_RUNTIME_DIR" in environment:
        candidates.append(environment["XDG_RUNTIME_DIR"] + "/docker.sock")
    return next((path for path in candidates if path.startswith("/") and version_of(path)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an engine is started with."""

    directory: Path  # everything it writes goes here; a short path, sockets live in it
    compose: str
    certificates: Path  # the authorities its pulls trust
    loopback_registry: str  # plain registry it may pull from


Trial = Callable[[str], None]
"""Runs one container on the engine behind a socket path; raises EngineRefusedError with its words."""


@contextmanager
def docker(parts: Parts, trial: Trial) -> Iterator[Engine]:
    """Use the Docker that runs here, or run a private dockerd meanwhile; raises StartError."""
    found = running_docker(os.environ)
    if found is not None:
        _try_out("docker", found, trial)
        yield _engine("docker", found, parts, private=False)
        return
    with _first_that_works(parts, trial, _private_docker) as engine:
        yield engine


@contextmanager
def podman(parts: Parts, trial: Trial) -> Iterator[Engine]:
    """Run a private Podman service meanwhile; raises StartError."""
    with _first_that_works(parts, trial, _private_podman) as engine:
        yield engine


def _engine(name: str, socket_path: str, parts: Parts, *, private: bool) -> Engine:
    version = version_of(socket_path)
    if version is None:
        raise StartError(f"{name} does not answer at {socket_path}")
    return Engine(name=name, version=version, socket=socket_path, compose=parts.compose, private=private)


def _try_out(name: str, socket_path: str, trial: Trial) -> None:
    try:
        trial(socket_path)
    except (EngineRefusedError, OSError) as error:
        raise StartError(f"{name} cannot run a container: {error}") from error


@contextmanager
def _first_that_works(
    parts: Parts, trial: Trial, private: Callable[[Parts, bool], AbstractContextManager[Engine]]
) -> Iterator[Engine]:
    """Yield the engine that `private(parts, low_limits)` opens: as it comes, else with low limits."""
    for low_limits in (False, True):
        with private(parts, low_limits) as engine:
            try:
                trial(engine.socket)
            except EngineRefusedError as error:
                if low_limits or not NEEDS_LOW_LIMITS.search(str(error)):
                    raise StartError(f"{engine.name} cannot run a container: {error}") from error
                continue
            yield engine
            return


def _program(name: str) -> str:
    found = shutil.which(name, path=own_environment()["PATH"])
    if found is None:
        raise StartError(f"{name} is not installed (tools/bootstrap test installs it)")
    return found


def _major_version(program: str) -> int:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.", said)
    return int(found.group(1)) if found else 0


@contextmanager
def _private_docker(parts: Parts, low_limits: bool) -> Iterator[Engine]:
    program = _program("dockerd")
    if os.getuid() != 0:
        raise StartError("no Docker runs here that this user may use, and only root can start one")
    home = parts.directory / "docker"
    home.mkdir(exist_ok=True)
    socket_path = str(home / "docker.sock")
    # Older ones keep a key of no use in /etc/docker otherwise; newer ones have neither key nor setting.
    settings = {"deprecated-key-path": f"{home}/key.json"} if _major_version(program) < 23 else {}
    (home / "daemon.json").write_text(json.dumps(settings))
    options = {
        # Never the machine's own file: its settings and these options could contradict each other.
        "config-file": home / "daemon.json",
        "host": f"unix://{socket_path}",
        "pidfile": home / "docker.pid",
        "data-root": home / "data",
        "exec-root": home / "exec",
        "containerd-namespace": parts.directory.name,
        "containerd-plugins-namespace": parts.directory.name + "-plugins",
        "shutdown-timeout": 2,
    }
    if _other_dockerd_lives():
        options["bridge"] = _make_bridge(parts.directory)
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    if low_limits:
        command += [f"--default-ulimit={limit}" for limit in LOW_LIMITS if limit.startswith("nofile")]
    log = home / "dockerd.log"
    process = start(command, log=log, environment=own_environment(SSL_CERT_FILE=str(parts.certificates)))
    try:
        yield _when_it_answers("docker", process, socket_path, log, parts)
    finally:
        _remove_containers(socket_path)
        stop(process)
        sweep(parts.directory, "docker")


@contextmanager
def _private_podman(parts: Parts, low_limits: bool) -> Iterator[Engine]:
    program = _program("podman")
    home = parts.directory / "podman"
    home.mkdir(exist_ok=True)
    socket_path = str(home / "podman.sock")
    (home / "containers.conf").write_text(_containers_conf(home, low_limits=low_limits))
    (home / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{parts.loopback_registry}"\ninsecure = true\n'
    )
    (home / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{home}/others/storage"\nrunroot = "{home}/others/run"\n'
    )
    log = home / "podman.log"
    command = [program, *_podman_options(home), "system", "service", "--time=0", f"unix://{socket_path}"]
    environment = _podman_environment(home) | {"SSL_CERT_FILE": str(parts.certificates)}
    process = start(command, log=log, environment=environment)
    try:
        yield _when_it_answers("podman", process, socket_path, log, parts)
    finally:
        stop(process)
        sweep(parts.directory, "podman")


def _when_it_answers(
    name: str, process: subprocess.Popen[bytes], socket_path: str, log: Path, parts: Parts
) -> Engine:
    try:
        wait_until(
            lambda: version_of(socket_path),
            what=f"{name} did not start",
            alive=lambda: process.poll() is None,
        )
    except StartError as error:
        raise StartError(f"{error}:\n{tail(log)}") from error
    return _engine(name, socket_path, parts, private=True)


def environment_for_another_podman(engine: Engine) -> dict[str, str]:
    """Return what makes another Podman service work where `engine` does, with a storage of its own.

    For programs that start one themselves; what they leave is swept together with `engine`.
    """
    home = Path(engine.socket).parent
    return {
        "CONTAINERS_CONF": str(home / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
    }


def _podman_options(home: Path) -> list[str]:
    return [
        f"--root={home}/storage",
        f"--runroot={home}/run",
        f"--tmpdir={home}/tmp",
        f"--network-config-dir={home}/networks",
    ]


def _podman_environment(home: Path) -> dict[str, str]:
    return own_environment(
        CONTAINERS_CONF=str(home / "containers.conf"),
        CONTAINERS_REGISTRIES_CONF=str(home / "registries.conf"),
    )


def _containers_conf(home: Path, *, low_limits: bool) -> str:
    """Return the settings of the private service; its locks are files, so that the user's own
    containers, whose locks lie in shared memory, are out of its reach."""
    lines = ["[engine]", 'lock_type = "file"', 'events_logger = "file"']
    if not Path("/run/systemd/system").is_dir():
        lines.append('cgroup_manager = "cgroupfs"')
    if low_limits:
        lines += ['runtime = "runc"', "[containers]", f"default_ulimits = {json.dumps(LOW_LIMITS)}"]
    return "\n".join(lines) + "\n"


# --- Bridges ----------------------------------------------------------------------------------------


def _other_dockerd_lives() -> bool:
    """Say whether docker0 belongs to a living dockerd (of another testbed, or one we may not use)."""
    return any(path.read_text().strip() == "dockerd" for path in _process_files("comm"))


def _make_bridge(directory: Path) -> str:
    """Make a bridge for a second dockerd, named in `directory` for the sweep; the first keeps docker0."""
    name = "ew" + uuid.uuid4().hex[:8]
    taken = subprocess.run(["ip", "-4", "addr"], check=True, capture_output=True, text=True).stdout
    free = next(number for number in range(1, 255) if f"10.213.{number}." not in taken)
    (directory / "bridge").write_text(name)
    subprocess.run(["ip", "link", "add", "name", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", f"10.213.{free}.1/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return name


def bridge_address(docker: Engine) -> str:
    """Return this machine's address on the default bridge of `docker`."""
    network = EngineApi(docker.socket).get("/networks/bridge")
    name = network["Options"]["com.docker.network.bridge.name"]
    said = subprocess.run(
        ["ip", "-json", "-4", "addr", "show", "dev", name], check=True, capture_output=True, text=True
    ).stdout
    return str(json.loads(said)[0]["addr_info"][0]["local"])


# --- Cleaning up ------------------------------------------------------------------------------------


def _remove_containers(socket_path: str) -> None:
    api = EngineApi(socket_path)
    try:
        for container in api.containers():
            api.request("DELETE", f"/containers/{container['Id']}?force=true&v=true")
    except (OSError, EngineRefusedError):
        # A dead or dying engine: the sweep ends what is left.
        return


def sweep(directory: Path, name: str) -> None:
    """Remove what a private engine left behind in `directory/name`: containers, processes, mounts, files.

    Works from the directory alone, so that it also serves after a run that was killed.
    """
    home = directory / name
    if not home.exists():
        return
    if name == "podman" and (home / "storage").exists():
        subprocess.run(
            [_program("podman"), *_podman_options(home), "rm", "--all", "--force", "--time=0"],
            env=_podman_environment(home),
            capture_output=True,
            check=False,
        )
    _end_processes_of(home)
    _unmount_below(home)
    if name == "podman" and os.getuid() != 0:
        # Files of a rootless container belong to subordinate users, which only its namespace may delete.
        subprocess.run([_program("podman"), "unshare", "rm", "-rf", str(home)], check=False)
    shutil.rmtree(home, ignore_errors=True)
    bridge = directory / "bridge"
    if name == "docker" and bridge.exists():
        subprocess.run(["ip", "link", "del", bridge.read_text()], check=False, capture_output=True)
        bridge.unlink()


def _process_files(name: str) -> Iterator[Path]:
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            path.read_bytes()
        except OSError:
            continue
        yield path


def _end_processes_of(home: Path) -> None:
    """Kill the processes whose command line names `home` (daemon, shims), after their containers' own."""
    needle = os.fsencode(str(home) + "/")
    ours = {int(path.parent.name) for path in _process_files("cmdline") if needle in path.read_bytes()}
    ours.discard(os.getpid())
    inside = {
        int(path.parent.name)
        for path in _process_files("stat")
        if int(path.read_text().rpartition(")")[2].split()[1]) in ours
    }
    for pid in [*(inside - ours), *ours]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _unmount_below(home: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{home}/")), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def remove_pulled_from(engine: Engine, registry_hosts: tuple[str, ...]) -> None:
    """Remove from an engine that goes on living what came from the testbed's registries.

    Those are containers of images pulled there, the networks and volumes of their Compose projects,
    and the images. Whatever else is on the machine stays.
    """
    api = EngineApi(engine.socket)

    def is_ours(reference: str) -> bool:
        return reference.startswith(tuple(f"{host}/" for host in registry_hosts))

    containers = [found for found in api.containers() if is_ours(found["Image"])]
    projects = {found["Labels"].get("com.docker.compose.project") for found in containers} - {None}
    for found in containers:
        api.request("DELETE", f"/containers/{found['Id']}?force=true&v=true")
    for project in projects:
        label = f"com.docker.compose.project={project}"
        for network in api.networks(label):
            api.request("DELETE", f"/networks/{network['Id']}")
        for volume in api.volumes(label):
            api.request("DELETE", f"/volumes/{urllib.parse.quote(volume['Name'])}?force=true")
    for image in api.get("/images/json"):
        names = [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
        for name in filter(is_ours, names):
            with suppress(EngineRefusedError):  # gone with another of its names
                api.request("DELETE", f"/images/{urllib.parse.quote(name, safe='')}")
