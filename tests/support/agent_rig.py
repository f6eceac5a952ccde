"""A real agent for tests: the real watch and real rounds as processes, over a runtime that is a directory.

    agent = AgentRig(tmp_path, authority)
    agent.enroll(server.url)
    with agent.running():
        …

Run as a program it is those processes: `agent_rig.py watch …` and `agent_rig.py round …` are the product's
own entry points with `DirectoryRuntime` in place of a container engine.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import (
    ApplyError,
    Component,
    Damage,
    EngineError,
    FetchError,
    Health,
    ObservedComponent,
    Runtime,
)
from edgewright.agent.state.store import Store

if TYPE_CHECKING:
    from support.certificates import Authority, Issued

POLL_SECONDS = 0.1


class DirectoryRuntime:
    """A runtime whose device is a directory: killed anywhere, what was done stays done.

    `installed/` holds one file a component, `calls` one line a call. Trouble is arranged in `trouble.json`:
    component names under `unfetchable` and `refused`, `engine_down`, `slow` seconds a call takes at most, and
    `child`: a program is started and waited for, its process id written to `child`.
    """

    profile = "compose"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "installed").mkdir(parents=True, exist_ok=True)
        (directory / "fetched").mkdir(exist_ok=True)

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        self._called("observe")
        found = {}
        for path in sorted((self._directory / "installed").glob("*.json")):
            about = json.loads(path.read_text())
            found[about["deployment"], about["name"]] = ObservedComponent(
                deployment_id=about["deployment"],
                name=about["name"],
                revision=about["revision"],
                health=Health(about["health"]),
            )
        return found

    def fetch(self, component: Component) -> None:
        trouble = self._called("fetch", component.deployment_id, component.name)
        if component.name in trouble.get("unfetchable", ()):
            raise FetchError("connection refused", component=component.name)
        _write(self._fetched(component), "{}")

    def images(self, component: Component) -> Sequence[str]:
        return [component.name] if self._fetched(component).exists() else []

    def apply(self, component: Component) -> None:
        trouble = self._called("apply", component.deployment_id, component.name)
        if not self._fetched(component).exists():
            raise ApplyError("it was not fetched", component=component.name)
        about = {
            "deployment": component.deployment_id,
            "name": component.name,
            "revision": component.revision,
            "health": "failed" if component.name in trouble.get("refused", ()) else "running",
            "environment": dict(component.environment),
        }
        _write(self._installed(component.deployment_id, component.name), json.dumps(about))

    def verify(self, component: Component) -> None:
        self._called("verify", component.deployment_id, component.name)
        path = self._installed(component.deployment_id, component.name)
        if not path.exists() or json.loads(path.read_text())["health"] != "running":
            raise ApplyError("service main ended with exit code 3", component=component.name)

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        self._called("remove", deployment_id, name)
        self._installed(deployment_id, name).unlink(missing_ok=True)

    def is_ready(self, component: Component) -> bool:
        return self._fetched(component).exists()

    def release(self, keep: Sequence[Component]) -> None:
        self._called("release")
        kept = {self._fetched(component) for component in keep}
        for path in (self._directory / "fetched").iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)

    def stop(self, deployment_id: str, name: str) -> None:
        raise NotImplementedError

    def snapshot(self, component: Component, directory: str) -> None:
        self._called("snapshot", component.deployment_id, component.name)
        Path(directory).mkdir(parents=True, exist_ok=True)
        _write(Path(directory) / "snapshot", "whole")

    def restore(self, component: Component, directory: str) -> None:
        self._called("restore", component.deployment_id, component.name)
        if (Path(directory) / "snapshot").exists():
            _write(Path(directory) / "snapshot", "restored")

    def check(self, components: Sequence[Component]) -> Sequence[Damage]:
        self._called("check")
        return [
            Damage(component, "it is not on this device")
            for component in components
            if not self.is_ready(component)
        ]

    def mend(self, component: Component) -> None:
        self._called("mend", component.deployment_id, component.name)

    def _called(self, *words: str) -> dict[str, Any]:
        with (self._directory / "calls").open("a") as calls:
            calls.write(" ".join(words) + "\n")
        trouble: dict[str, Any] = {}
        with suppress(FileNotFoundError):
            trouble = json.loads((self._directory / "trouble.json").read_text())
        if trouble.get("engine_down"):
            raise EngineError("no container engine answers")
        if trouble.get("child"):
            child = subprocess.Popen(["sleep", "600"], process_group=0)
            _write(self._directory / "child", str(child.pid))
            child.wait()
        if "slow" in trouble:
            time.sleep(random.uniform(0, trouble["slow"]))
        return trouble

    def _installed(self, deployment_id: str, name: str) -> Path:
        return self._directory / "installed" / f"{deployment_id}.{name}.json"

    def _fetched(self, component: Component) -> Path:
        return (
            self._directory
            / "fetched"
            / f"{component.deployment_id}.{component.name}.{component.revision[7:]}"
        )


class AgentRig:
    """One device: its state directory, its log, and the processes that look after it."""

    def __init__(self, directory: Path, authority: "Authority", *, client: str = "edge-01") -> None:
        self.state = directory / "state"
        self.device = directory / "device"
        self.log = directory / "agent.log"
        self.authority = authority
        self.client = client
        self.process: subprocess.Popen[bytes] | None = None
        self._files = directory / "files"
        self.device.mkdir(parents=True)

    # --- commands -----------------------------------------------------------------------------------

    def enroll(self, url: str, *, identity: "Issued | None" = None, replace: bool = False) -> None:
        """Enrol with files, by the real command."""
        from support.certificates import trust_bundle  # dear, and of no use to the agent's own processes

        files = (identity or self.authority.client(client=self.client)).write(self._files)
        bundle = self._files / "bundle.json"
        bundle.write_bytes(trust_bundle(self.authority))
        words = ["--svid", str(files.certificate), "--key", str(files.key)]
        words += ["--trust-bundle", str(bundle), "--server", url]
        done = self.command("enroll", *words, *(["--replace"] if replace else []))
        assert done.returncode == 0, done.stderr

    def enroll_git(
        self, words: Sequence[str], signers: Path, *, replace: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Enrol with a Git repository alone, by the real command; `words` say which, and what is shown.

        How it ended is returned: a server that lets nobody in is an answer as well.
        """
        known = ["--name", self.client, "--signers", str(signers), *(["--replace"] if replace else [])]
        return self.command("enroll", *words, *known)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `edgewright agent WORDS --state …` and return how it ended."""
        program = Path(sys.executable).with_name("edgewright")
        return subprocess.run(
            [program, "agent", *words, "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> Any:
        """Return what `edgewright agent status --json` tells."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    # --- the processes ------------------------------------------------------------------------------

    @contextmanager
    def running(self, *words: str, poll: float = POLL_SECONDS) -> Iterator[None]:
        """Let the watch run with rounds over the directory; it has to end well."""
        self.start(*words, poll=poll)
        try:
            yield
        finally:
            self.stop()

    def start(self, *words: str, poll: float = POLL_SECONDS) -> None:
        """Start the watch; `words` are options of it."""
        command = [sys.executable, "-I", __file__, "watch", str(self.device), "--state", str(self.state)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, "--poll", str(poll), *words], stderr=log)

    def stop(self) -> None:
        """Ask the watch to end, as a service manager does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()

    def kill(self) -> None:
        """Kill the watch without warning; a round at work goes on alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def round(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start one round."""
        command = [sys.executable, "-I", __file__, "round", str(self.device), "--state", str(self.state)]
        with self.log.open("ab") as log:
            return subprocess.Popen([*command, *words], stderr=log)

    # --- the device ---------------------------------------------------------------------------------

    def trouble(self, **trouble: Any) -> None:
        """Arrange trouble for the runtime; without arguments all is well again."""
        _write(self.device / "trouble.json", json.dumps(trouble))

    @property
    def calls(self) -> list[list[str]]:
        """What the runtime was asked so far."""
        try:
            return [line.split() for line in (self.device / "calls").read_text().splitlines()]
        except FileNotFoundError:
            return []

    @property
    def installed(self) -> dict[tuple[str, str], Any]:
        """What runs, by deployment id and component name."""
        found = {}
        for path in (self.device / "installed").glob("*.json"):
            about = json.loads(path.read_text())
            found[about["deployment"], about["name"]] = about
        return found

    def store(self) -> Store:
        """Open the agent's state."""
        return Store(Paths(str(self.state)).database)


def _write(path: Path, text: str) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}.new")
    unfinished.write_text(text)
    unfinished.replace(path)


def play(program: str, runtime: Runtime, role: str, device: str, arguments: Sequence[str]) -> int:
    """Be the watch or a round over `runtime`; rounds of that watch are `program` in the other role."""
    from edgewright.agent import round as agent_round
    from edgewright.agent import watch

    if role == "round":
        return agent_round.main(arguments, {"compose": runtime})
    state = arguments[arguments.index("--state") + 1]
    command = [sys.executable, "-I", program, "round", device, "--state", state]
    return watch.main(list(arguments), command)


def main(role: str, device: str, *arguments: str) -> int:
    """Be the watch or a round over the directory `device`."""
    return play(__file__, DirectoryRuntime(Path(device)), role, device, arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
