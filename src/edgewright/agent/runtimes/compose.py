"""Runs Compose components: the Compose v2 program starts them, the engine's socket tells how they do.

What is ours carries our labels; nothing else on the engine is looked at or touched. Beside the engine's own
state there is one note per component (in the runtime's directory), written after everything was started:
which revision that was, and which containers made it up. Containers the note does not know belong to no
revision, so an apply that was killed half-way is seen as what it is, and applied again.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from edgewright.agent.runtimes import (
    ApplyError,
    ApplyTimeoutError,
    Component,
    ComponentError,
    CrashLoopError,
    Damage,
    EngineError,
    EngineInterruptedError,
    Health,
    ObservedComponent,
    OccupiedError,
    StorageError,
    StorageFullError,
)
from edgewright.agent.runtimes.compose_damage import DamageFinder, is_whole, mend_images
from edgewright.agent.runtimes.compose_fetch import Fetched, Fetcher, load_fetched
from edgewright.agent.runtimes.compose_health import (
    SERVICE_LABEL,
    Trouble,
    component_health,
    crash_loop,
    describe,
    trouble,
    unwell,
    waiting_for,
)
from edgewright.agent.runtimes.compose_notes import Note, Notes
from edgewright.agent.runtimes.compose_program import ComposeProgram, Finished, ProgramTimeoutError
from edgewright.agent.runtimes.compose_project import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    OWNER_LABEL,
    pinned_document,
    project_name,
)
from edgewright.agent.runtimes.compose_removal import remove_project, stop_containers
from edgewright.agent.runtimes.engine import Container, Engine, Presence
from edgewright.agent.runtimes.files import is_full_disk, remove_tree, tells_of_full_disk, write_whole
from edgewright.agent.runtimes.health_ticker import HealthTicker, needs_ticker
from edgewright.agent.runtimes.images import ImageKeeper, pinned_name
from edgewright.agent.runtimes.volumes import VolumeKeeper, load_snapshot
from edgewright.net.registries import Registries

PROJECT_LABEL = "com.docker.compose.project"

DEFAULT_TIMEOUT = timedelta(minutes=10)
SETTLE_SECONDS = 1.5
POLL_SECONDS = 0.2
LOG_LINES = 20
GOING_SECONDS = 3.0  # from what an engine that ends does to containers and requests until it is gone
_KILLED = 128  # exit codes above: ended by a signal
_OCCUPIED = re.compile(r"port is already allocated|address already in use")
_IN_THE_WAY = re.compile(r"already exists|already in use by")
_CONTAINER_ID = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(slots=True)
class _Start:
    """An apply of this process: when its time is over (monotonic), and which containers there were before.

    `engine` tells whether the engine it was begun with has gone away since.
    """

    deadline: float
    engine: Presence
    before: tuple[Container, ...] = ()

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each container had been restarted by its engine before."""
        return {container.id: container.restart_count for container in self.before}

    def is_unchanged(self, container: Container) -> bool:
        """Tell whether `container` was there before and has not been started since."""
        return any((old.id, old.started_at) == (container.id, container.started_at) for old in self.before)


class ComposeRuntime:
    """The `Runtime` of the compose profile.

    `directory` holds the notes and locks, one small file each per component. `owner` tells the agents apart
    that share one engine, and has to stay the same for as long as anything runs.
    """

    profile = "compose"

    def __init__(
        self,
        engine: Engine,
        program: ComposeProgram,
        *,
        directory: str,
        owner: str,
        registries: Registries | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._engine = engine
        self._program = program
        self._directory = directory
        self._owner = owner
        self._settle_seconds = settle_seconds
        self._starts: dict[tuple[str, str], _Start] = {}
        self._notes = Notes(directory)
        self._keeper = ImageKeeper(engine, path=os.path.join(directory, "images"), owner=owner)
        self._fetcher = Fetcher(engine, program, registries or Registries(), owner=owner, keeper=self._keeper)

    def listening_to(self) -> tuple[str, str, bool]:
        """Return the engine's socket, the label of all that is ours, and whether only we check its health."""
        return self._engine.socket_path, f"{OWNER_LABEL}={self._owner}", needs_ticker(self._engine.info())

    # --- the protocol -------------------------------------------------------------------------------

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        """Return every component of ours of which a container, network, volume or note is left."""
        ours = f"{OWNER_LABEL}={self._owner}"
        self._run_health_checks(ours)
        containers: dict[tuple[str, str], list[Container]] = {}
        for container in self._engine.containers([ours]):
            containers.setdefault(_key(container.labels), []).append(container)
        leftovers = [*self._engine.networks([ours]), *self._engine.volumes([ours])]
        notes = {(note.deployment_id, note.name): note for note in self._notes}
        keys = {*containers, *notes, *(_key(left.labels) for left in leftovers)}
        return {key: _observed(key, containers.get(key, []), notes.get(key)) for key in sorted(keys)}

    def fetch(self, component: Component) -> None:
        """Pull the component's archive, resolve it, and pull its images; nothing of it is started."""
        with _naming(component.name):
            self._fetcher.fetch(component)

    def is_ready(self, component: Component) -> bool:
        """Tell whether its files are as they came and its images are here."""
        with _naming(component.name):
            return is_whole(component, self._engine)

    def images(self, component: Component) -> Sequence[str]:
        """Return the images of its services, as its Compose file names them."""
        fetched = load_fetched(component)
        return [] if fetched is None else sorted({image for image, _, _ in fetched.images.values()})

    def apply(self, component: Component) -> None:
        """Start the component unless exactly this already runs; see `Runtime.apply`."""
        with _naming(component.name):
            fetched = load_fetched(component)
            if fetched is None:
                raise ApplyError("its files are not on this device; it has to be fetched first")
            start = self._begin(component)
            with self._notes.locked() as lock:
                start.before = tuple(self._containers(component))
                if not self._is_in_place(component, fetched):
                    self._pin(component, fetched)
                    self._up(component, start, lock)
                self._write_note(component, fetched)

    def verify(self, component: Component) -> None:
        """Wait until every container runs, is healthy if it can tell, and stays so for a moment."""
        with _naming(component.name):
            start = self._starts.get(component.key)
            if start is None:
                before = tuple(self._containers(component))
                start = self._begin(component, before)
            note = self._notes.load(component.key)
            with self._ticking(project_name(*component.key)):
                containers = self._wait_until_up(component, start, note.services if note else {})
            if note is not None:
                over = [found for found in containers if found.state != "running"]
                ended = sorted({found.labels.get(SERVICE_LABEL, "") for found in over})
                restarts = {found.id: found.restart_count for found in containers}
                self._notes.save(replace(note, ended=tuple(ended), restarts=restarts))

    def stop(self, deployment_id: str, name: str) -> None:
        """Stop the containers; whoever depends on another before it."""
        with _naming(name), self._notes.locked():
            labels = self._labels(project_name(deployment_id, name))
            stop_containers(self._engine, self._engine.containers(labels))

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        """Remove containers, networks, volumes with their content, the note and `directory`."""
        project = project_name(deployment_id, name)
        with _naming(name), self._notes.locked():
            remove_project(self._engine, self._labels(project), name_prefix=f"{project}-")
            self._end((deployment_id, name))
            if directory is not None:
                remove_tree(directory)
            self._notes.remove((deployment_id, name))

    def release(self, keep: Sequence[Component]) -> None:
        """Remove images; none at all as long as one component to keep does not tell which it needs."""
        with _naming(""):
            fetched = [load_fetched(component) for component in keep]
            known = [one.image_ids() for one in fetched if one is not None]
            if len(known) == len(fetched):
                self._keeper.release(frozenset().union(*known))

    def snapshot(self, component: Component, directory: str) -> None:
        """Stop the containers and save the volumes; see `Runtime.snapshot`."""
        with _naming(component.name), self._notes.locked():
            found = load_snapshot(directory)
            if found is not None and not found.restored:
                return
            containers = self._containers(component)
            stop_containers(self._engine, containers)
            self._volumes(component, containers).save(directory)

    def restore(self, component: Component, directory: str) -> None:
        """Remove the containers, which hold on to the volumes, and put these back; see `Runtime.restore`."""
        with _naming(component.name), self._notes.locked():
            found = load_snapshot(directory)
            if found is None or found.restored:
                return
            containers = self._containers(component)
            keeper = self._volumes(component, containers)
            stop_containers(self._engine, containers)
            for container in containers:
                self._engine.remove_container(container.id)
            keeper.restore(directory, found)

    def check(self, components: Sequence[Component]) -> Sequence[Damage]:
        """Hash every file and every image layer anew."""
        with _naming(""):
            return DamageFinder(self._engine).check(components)

    def mend(self, component: Component) -> None:
        """Remove damaged images; damaged files are replaced by fetching as they are."""
        with _naming(component.name), self._notes.locked():
            mend_images(component, self._engine, self._fetcher, self._keeper, owner=self._owner)

    def close(self) -> None:
        """Close the connections to engine and registries."""
        for key in list(self._starts):
            self._end(key)
        self._fetcher.close()
        self._engine.close()

    # --- starting -----------------------------------------------------------------------------------

    def _begin(self, component: Component, before: tuple[Container, ...] = ()) -> _Start:
        self._end(component.key)
        start = _Start(_deadline(component), self._engine.presence(), before)
        self._starts[component.key] = start
        return start

    def _end(self, key: tuple[str, str]) -> None:
        start = self._starts.pop(key, None)
        if start is not None:
            start.engine.close()

    def _is_in_place(self, component: Component, fetched: Fetched) -> bool:
        """Tell whether `up` would change nothing: it would still run services again that have ended."""
        note = self._notes.load(component.key)
        if note is None or note.inputs != fetched.inputs:
            return False
        if note.directory != component.directory and fetched.uses_directory:
            return False
        return _observed(component.key, self._containers(component), note).health is Health.RUNNING

    def _pin(self, component: Component, fetched: Fetched) -> None:
        """Write what `up` reads: the resolved file with images that no moved tag can change."""
        names = {service: pinned_name(pin, self._engine) for service, pin in fetched.pins.items()}
        here = {service: name for service, name in names.items() if name is not None}
        if len(here) < len(names):
            gone = ", ".join(sorted(names.keys() - here.keys()))
            raise ApplyError(f"the image of service {gone} is gone; it has to be fetched again first")
        with open(f"{component.directory}/resolved.json", "rb") as file:
            write_whole(f"{component.directory}/up.json", pinned_document(file.read(), here))

    def _up(self, component: Component, start: _Start, lock: int) -> None:
        project = project_name(*component.key)
        arguments = [
            f"--project-name={project}",
            f"--project-directory={component.directory}/project",
            f"--file={component.directory}/up.json",
            f"--env-file={component.directory}/secrets.env",
            *("up", "--detach", "--no-build", "--remove-orphans", "--pull=never", "--quiet-pull"),
        ]
        done = self._run_up(component, arguments, start, lock)
        if done.code and self._clear_debris(component, done):
            done = self._run_up(component, arguments, start, lock)
        if done.lost_engine:
            raise EngineError(done.reason)
        if done.code:
            raise self._explained(component, start, done.reason)

    def _run_up(self, component: Component, arguments: list[str], start: _Start, lock: int) -> Finished:
        timeout = max(start.deadline - time.monotonic(), 0.1)
        with self._ticking(project_name(*component.key)):
            try:
                return self._run(arguments, timeout=timeout, keep_open=(lock,))
            except ProgramTimeoutError as error:
                raise self._overdue(component, self._containers(component), {}) from error

    def _clear_debris(self, component: Component, done: Finished) -> bool:
        """Remove what a killed engine or program left half-made; tell whether anything was.

        Podman keeps the names of containers that a kill caught in the making, Docker those of containers
        that were to take another's place, or a task of one that it does not know to run; every further `up`
        fails on them. A container that waits for a failed one is `created` too, hence the look at the words.
        """
        if not _IN_THE_WAY.search(done.errors):
            return False
        found = self._engine.debris(f"{project_name(*component.key)}-")
        named = set(_CONTAINER_ID.findall(done.errors))
        found += [
            each.id for each in self._containers(component) if each.id in named and each.state != "running"
        ]
        for name in found:
            self._engine.remove_container(name)
        return bool(found)

    def _explained(self, component: Component, start: _Start, reason: str) -> ComponentError:
        started = [found for found in self._containers(component) if not start.is_unchanged(found)]
        failed = trouble(started, start.restarts)
        if failed is not None:
            return self._failed(failed, start)
        if tells_of_full_disk(reason):
            return StorageFullError(reason)
        if start.engine.has_ended(within=GOING_SECONDS):
            return _interrupted(reason)
        return OccupiedError(reason) if _OCCUPIED.search(reason) else ApplyError(reason)

    def _failed(self, failed: Trouble, start: _Start) -> ComponentError:
        kind = CrashLoopError if failed.loops else ApplyError
        message = self._with_log(f"service {failed.service} {failed.reason}", failed.container_id)
        # An engine that ends kills what it runs, and only then stops answering.
        killed = failed.exit_code >= _KILLED
        return (
            _interrupted(message) if start.engine.has_ended(within=GOING_SECONDS * killed) else kind(message)
        )

    def _with_log(self, message: str, container_id: str) -> str:
        log = self._engine.logs(container_id, lines=LOG_LINES)
        return f"{message}; its last lines:\n{log}" if log else f"{message}; it wrote nothing"

    # --- verifying ----------------------------------------------------------------------------------

    def _wait_until_up(
        self, component: Component, start: _Start, services: Mapping[str, int]
    ) -> list[Container]:
        """Return the containers once they were up without a change for the settling time."""
        settled_since: float | None = None
        seen: object = None
        while True:
            containers = self._containers(component)
            failed = trouble(containers, start.restarts)
            if failed is not None:
                raise self._failed(failed, start)
            if not containers and any(services.values()):
                raise ApplyError("none of its containers is there any more")
            now = time.monotonic()
            shape = [(found.id, found.state, found.started_at) for found in containers]
            if waiting_for(containers, services):
                settled_since = None
            elif settled_since is None or shape != seen:
                settled_since = now
            elif now - settled_since >= self._settle_seconds:
                return containers
            seen = shape
            if now >= start.deadline and settled_since is None:
                raise self._overdue(component, containers, services)
            time.sleep(POLL_SECONDS)

    def _overdue(
        self, component: Component, containers: list[Container], services: Mapping[str, int]
    ) -> ApplyTimeoutError:
        limit = _limit(component)
        waits = "; ".join(waiting_for(containers, services)) or "it was still being started"
        return ApplyTimeoutError(f"not up within {limit:g} s: {waits}")

    # --- looking ------------------------------------------------------------------------------------

    def _containers(self, component: Component) -> list[Container]:
        return self._engine.containers(self._labels(project_name(*component.key)))

    def _volumes(self, component: Component, containers: Sequence[Container]) -> VolumeKeeper:
        """Return what saves and restores the component's volumes; it takes an image, whichever."""
        fetched = load_fetched(component)
        candidates = [*(fetched.image_ids() if fetched else ()), *(found.image_id for found in containers)]
        image_id = next((found for found in candidates if self._engine.image_id(found)), None)
        if image_id is None:
            raise EngineError("none of its images is here, and without one no volume can be reached")
        project = project_name(*component.key)
        return VolumeKeeper(
            engine=self._engine,
            labels=self._labels(project),
            helper=f"{project}-volumes",
            image_id=image_id,
        )

    def _labels(self, project: str) -> list[str]:
        return [f"{OWNER_LABEL}={self._owner}", f"{PROJECT_LABEL}={project}"]

    def _run_health_checks(self, label: str) -> None:
        """Bring the health of what runs up to date where nothing else does."""
        if needs_ticker(self._engine.info()):
            for container in self._engine.containers([label]):
                if container.has_health_check and container.state == "running":
                    self._engine.run_health_check(container.id)

    def _ticking(self, project: str) -> HealthTicker:
        return HealthTicker(self._engine, self._labels(project))

    # --- programs, notes and locks ------------------------------------------------------------------

    def _run(self, arguments: list[str], *, timeout: float, keep_open: tuple[int, ...] = ()) -> Finished:
        # A settings folder of its own: what the user's says of proxies or credentials is not ours.
        settings = os.path.join(self._directory, "docker-settings")
        os.makedirs(settings, mode=0o700, exist_ok=True)
        environment = {"DOCKER_HOST": f"unix://{self._engine.socket_path}", "DOCKER_CONFIG": settings}
        return self._program.run(arguments, environment=environment, timeout=timeout, keep_open=keep_open)

    def _write_note(self, component: Component, fetched: Fetched) -> None:
        before = self._notes.load(component.key)
        same = before is not None and before.inputs == fetched.inputs
        note = Note(
            deployment_id=component.deployment_id,
            name=component.name,
            revision=component.revision,
            inputs=fetched.inputs,
            directory=component.directory,
            services=fetched.services,
            containers=tuple(found.id for found in self._containers(component)),
            ended=before.ended if before is not None and same else (),
            restarts=before.restarts if before is not None else {},
        )
        self._notes.save(note)


def _interrupted(message: str) -> EngineInterruptedError:
    return EngineInterruptedError(f"the container engine went away in the middle of it: {message}")


def _limit(component: Component) -> float:
    return (component.timeout or DEFAULT_TIMEOUT).total_seconds()


def _deadline(component: Component) -> float:
    return time.monotonic() + _limit(component)


def _observed(key: tuple[str, str], containers: list[Container], note: Note | None) -> ObservedComponent:
    described = tuple(describe(container, note.ended if note else ()) for container in containers)
    known = note is not None and {container.id for container in containers} <= set(note.containers)
    services = note.services if note else {}
    health = component_health(described, services)
    loop = crash_loop(containers, note.restarts if note else {}, datetime.now(UTC))
    reason = "" if health is Health.RUNNING else unwell(containers, services)
    return ObservedComponent(
        deployment_id=key[0],
        name=key[1],
        revision=note.revision if note is not None and known else "",
        health=health if loop is None else Health.FAILED,
        containers=described,
        reason=reason if loop is None else f"service {loop.service} {loop.reason}",
        crash_looping=loop is not None,
    )


def _key(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get(DEPLOYMENT_LABEL, ""), labels.get(COMPONENT_LABEL, "")


@contextmanager
def _naming(component: str) -> Iterator[None]:
    """Let every failure inside say which component it concerns, and those of the disk be ours."""
    try:
        yield
    except ComponentError as error:
        error.component = error.component or component
        raise
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        kind = StorageFullError if is_full_disk(error) else StorageError
        raise kind(reason, component=component) from error
