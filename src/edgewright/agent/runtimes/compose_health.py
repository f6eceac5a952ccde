"""How a component does, judged from its containers alone: plain functions over what inspection showed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgewright.agent.runtimes import Health, ObservedContainer
from edgewright.agent.runtimes.compose_project import ONCE_LABEL
from edgewright.agent.runtimes.engine import Container

SERVICE_LABEL = "com.docker.compose.service"

_SEVERITY = (Health.FAILED, Health.MISSING, Health.STOPPED, Health.STARTING, Health.RUNNING)
_RESTARTED_ALWAYS = ("always", "unless-stopped")

LOOP_RESTARTS = 3
CALM = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One container that will not come up by waiting: in which service, and what is wrong with it.

    `loops`: it ends and is started by its engine again. `exit_code` is the one it ended with.
    """

    container_id: str
    service: str
    reason: str
    loops: bool = False
    exit_code: int = 0


def describe(container: Container, ended: Iterable[str] = ()) -> ObservedContainer:
    """Return `container` as others see it; `ended` names services that had ended well when last verified."""
    service = container.labels.get(SERVICE_LABEL, "")
    over = container.state in ("exited", "dead", "stopped")
    may_end = ONCE_LABEL in container.labels or service in ended
    return ObservedContainer(
        name=container.name,
        service=service,
        state=container.state,
        exit_code=container.exit_code if over else None,
        health=container.health,
        once=may_end and container.restart_policy not in _RESTARTED_ALWAYS,
    )


def container_health(container: ObservedContainer) -> Health:
    """Judge one container."""
    match container.state:
        case "running":
            unwell = {"starting": Health.STARTING, "unhealthy": Health.FAILED}
            return unwell.get(container.health, Health.RUNNING)
        case "restarting" | "dead" | "removing":
            return Health.FAILED
        case "exited" | "stopped" if container.exit_code:
            return Health.FAILED
        case "exited" | "stopped" if container.once:
            return Health.RUNNING
        case _:
            return Health.STOPPED


def component_health(containers: Iterable[ObservedContainer], expected: Mapping[str, int]) -> Health:
    """Judge a component: as its worst container does, MISSING where a service has too few of them."""
    found = list(containers)
    present = Counter(container.service for container in found)
    verdicts = {container_health(container) for container in found}
    if not found or any(present[service] < count for service, count in expected.items()):
        verdicts.add(Health.MISSING)
    if not found and expected and not any(expected.values()):
        verdicts = {Health.RUNNING}  # every service is scaled to zero
    return next(health for health in _SEVERITY if health in verdicts)


def trouble(containers: Iterable[Container], restarts_before: Mapping[str, int]) -> Trouble | None:
    """Return the first container that has failed while it was being started (spec: CMP-2), None so far.

    `restarts_before` maps container id to how often the engine had restarted it before.
    """
    for container in containers:
        reason = _failure(container) or _restarted(container, restarts_before.get(container.id, 0))
        if reason is not None:
            loops = container.state != "dead" and (
                container.state == "restarting"
                or container.restart_count > restarts_before.get(container.id, 0)
            )
            return _trouble(container, reason, loops=loops)
    return None


def crash_loop(
    containers: Iterable[Container], restarts_before: Mapping[str, int], now: datetime
) -> Trouble | None:
    """Return the first container that crashes again and again since it was verified, None if none does.

    `restarts_before` as it was then. A container that has stayed up for a while by `now` is past it.
    """
    for container in containers:
        times = container.restart_count - restarts_before.get(container.id, 0)
        if times >= LOOP_RESTARTS and not _is_calm(container, now):
            return _trouble(container, f"has ended and was restarted {times} times", loops=True)
    return None


def unwell(containers: Iterable[Container], expected: Mapping[str, int]) -> str:
    """Return why a component that runs no more, or not wholly, does not; "" if nothing is wrong with it."""
    found = list(containers)
    for container in found:
        reason = _failure(container)
        if reason is not None:
            return f"service {container.labels.get(SERVICE_LABEL, container.name)} {reason}"
    return "; ".join(waiting_for(found, expected))


def _trouble(container: Container, reason: str, *, loops: bool) -> Trouble:
    service = container.labels.get(SERVICE_LABEL, container.name)
    return Trouble(container.id, service, reason, loops, container.exit_code)


def _is_calm(container: Container, now: datetime) -> bool:
    if container.state != "running":
        return False
    try:
        return now - datetime.fromisoformat(container.started_at) >= CALM
    except (ValueError, TypeError):
        return True  # an engine that does not tell since when it runs


def _failure(container: Container) -> str | None:
    if container.state in ("exited", "stopped", "dead") and container.exit_code:
        return f"ended with exit code {container.exit_code}"
    if container.state == "dead":
        return "is dead"
    if container.state == "restarting" and container.exit_code:
        return f"ended with exit code {container.exit_code} and is being restarted"
    if container.state == "running" and container.health == "unhealthy":
        return "is unhealthy: its health check fails"
    return None


def _restarted(container: Container, restarts_before: int) -> str | None:
    return "ended and was restarted" if container.restart_count > restarts_before else None


def waiting_for(containers: Iterable[Container], expected: Mapping[str, int]) -> list[str]:
    """List what a component still waits for, one line a service; empty once everything is up.

    A container that ended with 0 while it was started has done what it had to (spec: CMP-2).
    """
    found = list(containers)
    present = Counter(container.labels.get(SERVICE_LABEL, "") for container in found)
    missing = [
        f"service {name} has no container" for name, count in expected.items() if present[name] < count
    ]
    return missing + [line for line in map(_unfinished, found) if line is not None]


def _unfinished(container: Container) -> str | None:
    service = container.labels.get(SERVICE_LABEL, container.name)
    if container.state == "running":
        return f"service {service} is not healthy yet" if container.health == "starting" else None
    if container.state in ("exited", "stopped") and container.restart_policy not in _RESTARTED_ALWAYS:
        return None
    return f"service {service} is {container.state}"
