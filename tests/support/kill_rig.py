"""A device whose agent is stopped at named points, and whose surroundings break: for the kill matrix.

The agent is the real one, watch and rounds as processes of their own. What it runs is files: `FileRuntime`
keeps what an engine keeps outside the agent's state directory and what belongs to a revision inside it, so
that a power cut of the state directory hits what it would hit. Run as a program, this is those processes.
"""

import functools
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgewright.agent.failpoints import NAMES, VARIABLE
from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import (
    ApplyError,
    Component,
    Damage,
    EngineError,
    FetchError,
    Health,
    ObservedComponent,
    StorageError,
)
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.locks import holder
from edgewright.agent.state.outbox import Outbox
from support.agent_rig import AgentRig, play
from support.processes import wait_until

if TYPE_CHECKING:
    from support.certificates import Authority

BROKEN = "broken"
"""The value of the parameter WORD with which a component named `web` does not stay up."""
_LOCALHOST = "127.0.0.1"


class FileRuntime:
    """A runtime made of files: killed anywhere, what was done stays done.

    Below `device`: `containers/` what runs, `volumes/` what it wrote (each start adds a line), `starts` one
    line for each start, `engine-gone` while no engine answers, `registry` the port components come from.
    """

    profile = "compose"

    def __init__(self, device: Path) -> None:
        self._device = device
        for name in ("containers", "volumes"):
            (device / name).mkdir(parents=True, exist_ok=True)

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        self._need_engine()
        found = {}
        for path in sorted((self._device / "containers").iterdir()):
            about = json.loads(path.read_text())
            found[about["deployment"], about["name"]] = ObservedComponent(
                deployment_id=about["deployment"],
                name=about["name"],
                revision=about["revision"],
                health=Health(about["health"]),
            )
        return found

    def fetch(self, component: Component) -> None:
        self._need_engine(component)
        if self.is_ready(component):
            return
        try:
            port = int((self._device / "registry").read_text())
            with socket.create_connection((_LOCALHOST, port), timeout=10) as registry:
                received = registry.recv(100)
        except OSError as error:
            raise FetchError(str(error), component=component.name) from error
        if received != b"layer":
            raise FetchError("the connection broke", component=component.name)
        try:
            Path(component.directory).mkdir(parents=True, exist_ok=True)
            write_durably(Path(component.directory) / "project", _text(component))
        except OSError as error:
            raise StorageError(str(error), component=component.name) from error

    def is_ready(self, component: Component) -> bool:
        try:
            return (Path(component.directory) / "project").read_text() == _text(component)
        except FileNotFoundError:
            return False

    def images(self, component: Component) -> Sequence[str]:
        return [component.name] if self.is_ready(component) else []

    def apply(self, component: Component) -> None:
        self._need_engine(component)
        if not self.is_ready(component):
            raise ApplyError("it was not fetched", component=component.name)
        place = self._container(component.key)
        if place.exists() and place.read_text() == _text(component):
            return
        with (self._device / "starts").open("a") as starts:
            starts.write(f"{component.name} {component.revision}\n")
        with self._volume(component.key).open("a") as volume:
            volume.write(f"{component.environment.get('WORD')}\n")
        _replace(place, _text(component))

    def verify(self, component: Component) -> None:
        self._need_engine(component)
        place = self._container(component.key)
        if not place.exists() or json.loads(place.read_text())["health"] != Health.RUNNING:
            raise ApplyError("service main ended with exit code 3", component=component.name)

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        self._need_engine()
        self._container((deployment_id, name)).unlink(missing_ok=True)
        self._volume((deployment_id, name)).unlink(missing_ok=True)
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def release(self, keep: Sequence[Component]) -> None:
        self._need_engine()

    def stop(self, deployment_id: str, name: str) -> None:
        raise NotImplementedError

    def snapshot(self, component: Component, directory: str) -> None:
        self._need_engine(component)
        taken = Path(directory) / "volume"
        if taken.exists():
            return
        self._container(component.key).unlink(missing_ok=True)
        content = ""
        with suppress(FileNotFoundError):
            content = self._volume(component.key).read_text()
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
            (Path(directory) / "restored").unlink(missing_ok=True)
            write_durably(taken, content)
        except OSError as error:
            raise StorageError(str(error), component=component.name) from error

    def restore(self, component: Component, directory: str) -> None:
        self._need_engine(component)
        taken = Path(directory) / "volume"
        if not taken.exists():
            return
        self._container(component.key).unlink(missing_ok=True)
        _replace(self._volume(component.key), taken.read_text())
        taken.rename(Path(directory) / "restored")
        sync_directory(Path(directory))

    def check(self, components: Sequence[Component]) -> Sequence[Damage]:
        return [
            Damage(component=each, what="it is not here") for each in components if not self.is_ready(each)
        ]

    def mend(self, component: Component) -> None:
        (Path(component.directory) / "project").unlink(missing_ok=True)

    def _need_engine(self, component: Component | None = None) -> None:
        if (self._device / "engine-gone").exists():
            name = "" if component is None else component.name
            raise EngineError("/var/run/docker.sock: no such socket; is it running?", component=name)

    def _container(self, key: tuple[str, str]) -> Path:
        return self._device / "containers" / ".".join(key)

    def _volume(self, key: tuple[str, str]) -> Path:
        return self._device / "volumes" / ".".join(key)


def _text(component: Component) -> str:
    """Return what there is to know about a component, as its file has it."""
    broken = component.name == "web" and component.environment.get("WORD") == BROKEN
    return json.dumps(
        {
            "deployment": component.deployment_id,
            "name": component.name,
            "revision": component.revision,
            "health": Health.FAILED if broken else Health.RUNNING,
            "environment": dict(component.environment),
        }
    )


def _replace(path: Path, text: str) -> None:
    unfinished = path.parent.parent / f"{path.name}.new"
    unfinished.write_text(text)
    unfinished.replace(path)


def write_durably(path: Path, text: str) -> None:
    """Write `text` so that it survives a power cut, or not at all."""
    unfinished = path.with_suffix(".new")
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Let the names in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def layer_server() -> Iterator[tuple[str, int]]:
    """Serve what `FileRuntime` fetches; yields the address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"layer")

    with socketserver.ThreadingTCPServer((_LOCALHOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield (_LOCALHOST, int(server.server_address[1]))
        server.shutdown()


class KillRig(AgentRig):
    """The device: its state directory, what runs on it, and the agent that can be held at a point."""

    def __init__(self, directory: Path, authority: "Authority") -> None:
        super().__init__(directory, authority)
        self._holds = directory / "holds"
        self._holds.mkdir()

    def start(self, *words: str, poll: float = 0.1) -> None:
        """Start the watch; it and its rounds can be held at every point."""
        environment = dict(os.environ)
        environment[VARIABLE] = ",".join(f"{name}=pause:{self._holds / name}" for name in NAMES)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.watch_command(poll), *words], stderr=log, env=environment)

    def watch_command(self, poll: float) -> list[str]:
        """Return the command of the watch."""
        words = [sys.executable, "-I", __file__, "watch", str(self.device), "--state", str(self.state)]
        return [*words, "--poll", str(poll)]

    def hold(self, *points: str) -> None:
        """Hold whoever gets to one of `points` from now on, once for each of them."""
        for point in points:
            (self._holds / f"{point}.reached").unlink(missing_ok=True)
            (self._holds / point).touch()

    def start_and_look(self) -> None:
        """Start the agent, and return when it has looked after everything once and has nothing more to do."""
        self.hold("round.done")
        self.start()
        self.wait_held("round.done")
        self.go_on()
        wait_until(self.is_idle, what=f"the agent is idle:\n{self.told}")

    def engine_gone(self) -> None:
        """Let no container engine answer."""
        (self.device / "engine-gone").touch()

    def engine_back(self) -> None:
        """Let it answer again."""
        (self.device / "engine-gone").unlink(missing_ok=True)

    def wait_held(self, point: str) -> int:
        """Return the process that is held at `point`, as soon as one is."""
        reached = self._holds / f"{point}.reached"
        wait_until(reached.exists, what=f"the agent gets to {point}:\n{self.told}", alive=self._lives)
        return int(reached.read_text())

    def pass_on(self) -> set[str]:
        """Let those go on who are held now, and return at which points."""
        passed = set()
        for path in self._holds.glob("*.reached"):
            (self._holds / path.stem).unlink()
            path.unlink()
            passed.add(path.stem)
        return passed

    def go_on(self) -> None:
        """Let everybody go on, and hold nobody any more."""
        for path in self._holds.iterdir():
            path.unlink()

    def kill_all(self) -> None:
        """SIGKILL the watch and the round it has left, as `kill -9` and power cuts do."""
        self.kill()
        for pid in self.rounds():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            # Its command line is gone before its open files are.
            wait_until(functools.partial(has_ended, pid), what="the round is gone")
        self.go_on()

    def end(self) -> None:
        """End whatever still runs, however the test went."""
        if self.process is not None and self.process.poll() is None:
            self.kill_all()

    def rounds(self) -> list[int]:
        """The processes of rounds over this device, and of what they have started."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                words = (process / "cmdline").read_bytes()
                if f"{self.state}\0".encode() in words and not has_ended(int(process.name)):
                    found.append(int(process.name))
        return found

    @property
    def told(self) -> str:
        """The last lines of the agent's log."""
        return "\n".join(self.log.read_text().splitlines()[-20:])

    @property
    def starts(self) -> list[str]:
        """What was started so far, in alphabetical order."""
        try:
            return sorted((self.device / "starts").read_text().splitlines())
        except FileNotFoundError:
            return []

    def is_idle(self) -> bool:
        """Whether no round is at work, nothing is to be judged and nothing to be reported."""
        if holder(Paths(str(self.state)).round_lock) is not None:
            return False
        if self.process is not None and set(self.rounds()) - {self.process.pid}:
            return False  # one has just been started
        store = self.store()
        try:
            return store.received() is None and len(Outbox(store)) == 0
        finally:
            store.close()

    def remembered(self, base: int = 0) -> dict[str, Any]:
        """What the agent knows and keeps, manifest versions counted from `base`."""
        paths = Paths(str(self.state))
        store = self.store()
        try:
            ledger = Ledger(store, Outbox(store), device_id="", notify=lambda: None)
            accepted = store.accepted()
            revisions = ledger.revisions()
            return {
                "accepted": accepted and (accepted.version or 0) - base,
                "revisions": sorted((each.digest, each.stage, each.adopted - base) for each in revisions),
                "objects": _below(Path(paths.objects)),
                "projects": _below(Path(paths.projects)),
            }
        finally:
            store.close()

    def runs(self) -> dict[str, str]:
        """What runs and what it has written, by file name."""
        return {
            str(path.relative_to(self.device)): path.read_text()
            for name in ("containers", "volumes")
            for path in sorted((self.device / name).glob("*"))
        }

    def _lives(self) -> bool:
        return self.process is not None and self.process.poll() is None


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or is only waited for by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def _below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def main(role: str, device: str, *arguments: str) -> int:
    """Be the watch or a round over the directory `device`."""
    return play(__file__, FileRuntime(Path(device)), role, device, arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
