"""A runtime that works, in memory: what the real ones do to containers it does to a dictionary.

It keeps the contract of `Runtime`, so that whatever is tested with it is tested as it runs. Trouble is
arranged per component name before the call: `unfetchable`, `invalid`, `refused` (comes up wrong),
`engine_down`. What happens to a component afterwards is arranged with `break_down` and `lose`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgewright.agent.runtimes import (
    ApplyError,
    Component,
    ComponentInvalidError,
    EngineError,
    FetchError,
    Health,
    ObservedComponent,
    ObservedContainer,
)


@dataclass
class FakeRuntime:
    """`installed` maps (deployment id, component name) to what runs; `calls` lists what was asked."""

    profile: str = "compose"
    unfetchable: set[str] = field(default_factory=set)
    invalid: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    engine_down: bool = False
    installed: dict[tuple[str, str], ObservedComponent] = field(default_factory=dict)
    environments: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    fetched: set[tuple[str, str, str]] = field(default_factory=set)
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        self._need_engine()
        return dict(self.installed)

    def fetch(self, component: Component) -> None:
        self._called("fetch", component.deployment_id, component.name)
        if component.name in self.unfetchable:
            raise FetchError(f"{component.repository}: connection refused", component=component.name)
        if component.name in self.invalid:
            raise ComponentInvalidError("compose.yaml: not a Compose file", component=component.name)
        self.fetched.add((*component.key, component.revision))

    def apply(self, component: Component) -> None:
        self._called("apply", component.deployment_id, component.name)
        if (*component.key, component.revision) not in self.fetched:
            raise ApplyError("it was not fetched", component=component.name)
        failed = component.name in self.refused
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
        if observed is None or observed.health is not Health.RUNNING:
            raise ApplyError("service main ended with exit code 3", component=component.name)

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        self._called("remove", deployment_id, name)
        self.installed.pop((deployment_id, name), None)
        self.environments.pop((deployment_id, name), None)
        self.fetched = {entry for entry in self.fetched if entry[:2] != (deployment_id, name)}

    def break_down(self, deployment_id: str, name: str) -> None:
        """Let the component's container end with exit code 3, as if it had crashed."""
        observed = self.installed[deployment_id, name]
        self.installed[deployment_id, name] = replace(
            observed, health=Health.FAILED, containers=(_container(name, failed=True),)
        )

    def lose(self, deployment_id: str, name: str) -> None:
        """Let everything of the component vanish, as if a person had removed it."""
        del self.installed[deployment_id, name]

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
