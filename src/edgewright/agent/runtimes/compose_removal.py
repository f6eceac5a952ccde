"""Removes a Compose project by its labels, with the engine alone: without its files or the program.

External networks and volumes carry no labels of the project and stay, as does everything else on the engine.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edgewright.agent.runtimes.compose_health import SERVICE_LABEL
from edgewright.agent.runtimes.engine import Container, Engine

DEPENDS_ON_LABEL = "com.docker.compose.depends_on"


def remove_project(engine: Engine, labels: Sequence[str], *, name_prefix: str) -> None:
    """Stop and remove containers, networks and volumes that carry all `labels`.

    Also half-made containers, which carry none, by `name_prefix`. What is gone already is fine.
    """
    containers = engine.containers(labels)
    stop_containers(engine, containers)
    for container in containers:
        engine.remove_container(container.id)
    for name in engine.debris(name_prefix):
        engine.remove_container(name)
    for network in engine.networks(labels):
        engine.remove_network(network.name)
    for volume in engine.volumes(labels):
        engine.remove_volume(volume.name)


def stop_containers(engine: Engine, containers: Sequence[Container]) -> None:
    """Stop what runs of `containers`: whoever depends on another stops before it."""
    for wave in stop_order(containers):
        _stop_all(engine, [container for container in wave if container.state in ("running", "restarting")])


def stop_order(containers: Sequence[Container]) -> list[list[Container]]:
    """Return waves of containers: whoever depends on another stops before it."""
    needed_by: dict[str, set[str]] = {}
    for container in containers:
        for needed in _depends_on(container):
            needed_by.setdefault(needed, set()).add(_service(container))
    waves = []
    waiting = list(containers)
    while waiting:
        services = {_service(container) for container in waiting}
        free = [found for found in waiting if not needed_by.get(_service(found), set()) & services]
        free = free or waiting  # a circle of foreign labels still ends
        waves.append(free)
        waiting = [container for container in waiting if container not in free]
    return waves


def _service(container: Container) -> str:
    return container.labels.get(SERVICE_LABEL, container.name)


def _depends_on(container: Container) -> list[str]:
    text = container.labels.get(DEPENDS_ON_LABEL, "")
    return [entry.split(":")[0] for entry in text.split(",") if entry]


def _stop_all(engine: Engine, containers: Sequence[Container]) -> None:
    """Stop all at once: each may take its whole grace period."""
    if not containers:
        return

    def stop(container: Container) -> None:
        another = engine.another()
        try:
            another.stop(container.id)
        finally:
            another.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, containers))
