"""The runtimes of this device, made from what is found on it.

A container engine that is missing or not yet up is no reason to have no runtime: its deployments wait, and
their status says for what.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Never

from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import Component, EngineError, Runtime
from edgewright.agent.settings import Settings
from edgewright.agent.state.owner import owner_of
from edgewright.protocol.profiles import ProfileType

if TYPE_CHECKING:
    from edgewright.agent.runtimes.compose_program import ComposeProgram
    from edgewright.agent.runtimes.engine import Engine

_LOOKED_AT = ("PATH", "HOME", "DOCKER_HOST", "XDG_RUNTIME_DIR")


class MissingRuntime:
    """Stands for a runtime whose engine is not there; whatever is asked of it fails with why."""

    profile: str = ProfileType.COMPOSE.value

    def __init__(self, reason: EngineError) -> None:
        self.reason = reason

    def observe(self) -> Never:
        """Fail."""
        raise EngineError(str(self.reason))

    def fetch(self, component: Component) -> Never:
        """Fail, naming the component."""
        raise EngineError(str(self.reason), component=component.name)

    is_ready = fetch
    apply = fetch
    verify = fetch
    mend = fetch

    def images(self, component: Component) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Know of none."""
        return ()

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> Never:  # noqa: ARG002 - the protocol's
        """Fail, naming the component."""
        raise EngineError(str(self.reason), component=name)

    def stop(self, deployment_id: str, name: str) -> Never:  # noqa: ARG002 - the protocol's
        """Fail, naming the component."""
        raise EngineError(str(self.reason), component=name)

    def snapshot(self, component: Component, directory: str) -> Never:  # noqa: ARG002 - the protocol's
        """Fail, naming the component."""
        raise EngineError(str(self.reason), component=component.name)

    restore = snapshot

    def release(self, keep: Sequence[Component]) -> Never:  # noqa: ARG002 - the protocol's
        """Fail."""
        raise EngineError(str(self.reason))

    check = release


def find_runtimes(settings: Settings, paths: Paths) -> Mapping[str, Runtime]:
    """Return the runtimes by profile; raises DocumentError for a registries file that cannot be used."""
    # Together they are a third of a round's imports, and not every command needs them.
    from edgewright.agent.runtimes.compose import ComposeRuntime  # noqa: PLC0415
    from edgewright.net.registries import Registries, load_registries  # noqa: PLC0415

    registries = load_registries(settings.registries) if settings.registries else Registries()
    try:
        engine, program = _find_compose(settings)
    except EngineError as error:
        return {MissingRuntime.profile: MissingRuntime(error)}
    runtime = ComposeRuntime(
        engine, program, directory=paths.runtime, owner=owner_of(paths), registries=registries
    )
    return {runtime.profile: runtime}


def find_profiles(settings: Settings) -> tuple[str, ...]:
    """Return the profiles whose engine is there now, changing nothing."""
    try:
        engine, _ = _find_compose(settings)
    except EngineError:
        return ()
    engine.close()
    return (MissingRuntime.profile,)


def _find_compose(settings: Settings) -> "tuple[Engine, ComposeProgram]":
    """Return the engine and the program that drives it; raises EngineError telling where was looked."""
    from edgewright.agent.runtimes.compose_program import find_compose_program  # noqa: PLC0415
    from edgewright.agent.runtimes.engine import find_engine  # noqa: PLC0415

    environment = {name: os.environ[name] for name in _LOOKED_AT if name in os.environ}
    engine = find_engine(settings.engine.socket, environment)
    return engine, find_compose_program(settings.engine.compose, environment)


def profiles_at_hand(runtimes: Mapping[str, Runtime]) -> tuple[str, ...]:
    """Return the profiles whose engine is there."""
    return tuple(name for name, runtime in runtimes.items() if not isinstance(runtime, MissingRuntime))


def event_sources(runtimes: Mapping[str, Runtime]) -> list[dict[str, str]]:
    """Return where engines tell what happens to what is ours, as the watch is told it (`watch.py`)."""
    from edgewright.agent.runtimes.compose import ComposeRuntime  # noqa: PLC0415

    sources = []
    for runtime in runtimes.values():
        if isinstance(runtime, ComposeRuntime):
            try:
                path, label, checks_health = runtime.listening_to()
            except EngineError:
                continue  # it is missed by whoever needs it, and told of by the next round
            sources.append({"socket": path, "label": label, "health": "ours" if checks_health else "engine"})
    return sources
