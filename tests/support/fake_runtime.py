"""A runtime that works, in memory: what the real ones do to containers it does to a dictionary.

It keeps the contract of `Runtime`, so that whatever is tested with it is tested as it runs. Trouble is
arranged per component name before the call: `unfetchable`, `invalid`, `refused` (comes up wrong; a whole
revision by its digest: `refused_revisions`), `engine_down`, `disk_full`. What happens to a component
afterwards is arranged with `break_down`, `crash_loop`, `lose` and `damage`. Each component has one named
volume, a text in `volumes` that whoever plays the application writes. One with the parameter PORT holds that
port while it runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewright.agent.runtimes import (
    ApplyError,
    Component,
    ComponentInvalidError,
    CrashLoopError,
    Damage,
    EngineError,
    FetchError,
    Health,
    ObservedComponent,
    ObservedContainer,
    OccupiedError,
    StorageFullError,
)

SNAPSHOT = "fake-snapshot.json"


@dataclass
class FakeRuntime:
    """`installed` maps (deployment id, component name) to what runs; `calls` lists what was asked."""

    profile: str = "compose"
    unfetchable: set[str] = field(default_factory=set)
    invalid: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    refused_revisions: set[str] = field(default_factory=set)
    engine_down: bool = False
    disk_full: bool = False
    installed: dict[tuple[str, str], ObservedComponent] = field(default_factory=dict)
    environments: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    fetched: set[tuple[str, str, str]] = field(default_factory=set)
    volumes: dict[tuple[str, str], str] = field(default_factory=dict)
    damaged: dict[tuple[str, str, str], str] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        self._need_engine()
        return dict(self.installed)

    def fetch(self, component: Component) -> None:
        self._called("fetch", component.deployment_id, component.name)
        if self.is_ready(component):
            return
        if component.name in self.unfetchable:
            raise FetchError(f"{component.repository}: connection refused", component=component.name)
        if self.disk_full:
            raise StorageFullError("needs 2 bytes, and 1 is free", component=component.name)
        if component.name in self.invalid:
            raise ComponentInvalidError("compose.yaml: not a Compose file", component=component.name)
        self.fetched.add(_entry(component))
        self.damaged.pop(_entry(component), None)

    def is_ready(self, component: Component) -> bool:
        self._need_engine()
        return _entry(component) in self.fetched and _entry(component) not in self.damaged

    def images(self, component: Component) -> Sequence[str]:
        known = _entry(component) in self.fetched
        return [f"registry.example/{component.name}:{component.version}"] if known else []

    def apply(self, component: Component) -> None:
        self._called("apply", component.deployment_id, component.name)
        if _entry(component) not in self.fetched:
            raise ApplyError("it was not fetched", component=component.name)
        port = component.environment.get("PORT")
        for key, other in self.installed.items():
            held = self.environments.get(key, {}).get("PORT")
            if port is not None and port == held and key != component.key and other.health is Health.RUNNING:
                raise OccupiedError(f"port {port} is already allocated", component=component.name)
        failed = component.name in self.refused or component.revision in self.refused_revisions
        self.volumes.setdefault(component.key, "")
        self.environments[component.key] = dict(component.environment)
        self.installed[component.key] = ObservedComponent(
            deployment_id=component.deployment_id,
            name=component.name,
            revision=component.revision,
            health=Health.FAILED if failed else Health.RUNNING,
            containers=(_container(component.name, failed=failed),),
        )

    def verify(self, component: Component) -> None:
        self._called("verify", component.deployment_id, component.name)
        observed = self.installed.get(component.key)
        if observed is not None and observed.crash_looping:
            raise CrashLoopError(observed.reason, component=component.name)
        if observed is None or observed.health is not Health.RUNNING:
            raise ApplyError("service main ended with exit code 3", component=component.name)

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        self._called("remove", deployment_id, name)
        self.installed.pop((deployment_id, name), None)
        self.environments.pop((deployment_id, name), None)
        self.volumes.pop((deployment_id, name), None)
        self.fetched = {entry for entry in self.fetched if entry[:2] != (deployment_id, name)}

    def release(self, keep: Sequence[Component]) -> None:
        self._called("release", "", "")
        self.fetched &= {_entry(component) for component in keep}

    def stop(self, deployment_id: str, name: str) -> None:
        self._called("stop", deployment_id, name)
        self._stop((deployment_id, name))

    def snapshot(self, component: Component, directory: str) -> None:
        self._called("snapshot", component.deployment_id, component.name)
        if (saved := _load(directory)) is None or saved["restored"]:
            self._stop(component.key)
            _save(directory, {"volume": self.volumes.get(component.key), "restored": False})

    def restore(self, component: Component, directory: str) -> None:
        self._called("restore", component.deployment_id, component.name)
        saved = _load(directory)
        if saved is None or saved["restored"]:
            return
        self._stop(component.key)
        if saved["volume"] is not None:
            self.volumes[component.key] = saved["volume"]
        _save(directory, {**saved, "restored": True})

    def check(self, components: Sequence[Component]) -> Sequence[Damage]:
        self._called("check", "", "")
        return [
            Damage(component, self.damaged.get(_entry(component), "it is not on this device"))
            for component in components
            if not self.is_ready(component)
        ]

    def mend(self, component: Component) -> None:
        self._called("mend", component.deployment_id, component.name)
        if self.is_ready(component):
            return
        if component.name in self.unfetchable:
            raise FetchError(f"{component.repository}: connection refused", component=component.name)
        self.fetched.discard(_entry(component))
        self.damaged.pop(_entry(component), None)
        self.installed.pop(component.key, None)

    def damage(self, component: Component, what: str = "image app: layer 1 is damaged") -> None:
        """Let something of a fetched component change on the disk."""
        self.damaged[_entry(component)] = what

    def crash_loop(self, deployment_id: str, name: str) -> None:
        """Let the component's container end again and again, restarted by the engine each time."""
        self.installed[deployment_id, name] = replace(
            self.installed[deployment_id, name],
            health=Health.FAILED,
            reason="service main restarted 4 times",
            crash_looping=True,
        )

    def break_down(self, deployment_id: str, name: str) -> None:
        """Let the component's container end with exit code 3, as if it had crashed."""
        observed = self.installed[deployment_id, name]
        self.installed[deployment_id, name] = replace(
            observed, health=Health.FAILED, containers=(_container(name, failed=True),)
        )

    def lose(self, deployment_id: str, name: str) -> None:
        """Let everything of the component vanish, as if a person had removed it."""
        del self.installed[deployment_id, name]

    def _stop(self, key: tuple[str, str]) -> None:
        if key in self.installed:
            self.installed[key] = replace(self.installed[key], health=Health.STOPPED, containers=())

    def _called(self, what: str, deployment_id: str, name: str) -> None:
        self._need_engine()
        self.calls.append((what, deployment_id, name))

    def _need_engine(self) -> None:
        if self.engine_down:
            raise EngineError("/var/run/docker.sock: no such socket; is it running?")


def _container(name: str, *, failed: bool) -> ObservedContainer:
    return ObservedContainer(
        name=f"{name}-main-1",
        service="main",
        state="exited" if failed else "running",
        exit_code=3 if failed else None,
    )


def _entry(component: Component) -> tuple[str, str, str]:
    return (*component.key, component.revision)


def _load(directory: str) -> dict[str, Any] | None:
    try:
        saved: dict[str, Any] = json.loads(Path(directory, SNAPSHOT).read_text())
    except FileNotFoundError:
        return None
    return saved


def _save(directory: str, saved: Mapping[str, object]) -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    Path(directory, SNAPSHOT).write_text(json.dumps(saved))
