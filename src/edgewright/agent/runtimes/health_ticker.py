"""Runs health checks where the engine has nobody to run them: Podman leaves it to systemd's timers."""

import os
import threading
from collections.abc import Sequence
from types import TracebackType

from edgewright.agent.runtimes import EngineError
from edgewright.agent.runtimes.engine import Engine, EngineInfo

TICK_SECONDS = 0.5


def needs_ticker(info: EngineInfo, *, systemd: str = "/run/systemd/system") -> bool:
    """Tell whether health stays at `starting` for ever unless we ask for it."""
    return info.kind == "podman" and not os.path.isdir(systemd)


class HealthTicker:
    """While it is entered, runs the health checks of running containers that carry all `labels`.

    Each as often as it is meant to run, by a thread of its own, as starting a service may wait for the health
    of another. Does nothing where the engine looks after it.
    """

    def __init__(self, engine: Engine, labels: Sequence[str]) -> None:
        self._engine = engine
        self._labels = labels
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "HealthTicker":
        if needs_ticker(self._engine.info()):
            self._thread = threading.Thread(target=self._tick, name="health-checks", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()

    def _tick(self) -> None:
        engine = self._engine.another()
        waited: dict[str, float] = {}
        try:
            while not self._stop.wait(TICK_SECONDS):
                try:
                    self._check(engine, waited)
                except EngineError:
                    # Whoever waits for the health meets the same error, and says it.
                    continue
        finally:
            engine.close()

    def _check(self, engine: Engine, waited: dict[str, float]) -> None:
        for container in engine.containers(self._labels):
            if not container.has_health_check or container.state != "running":
                continue
            waited[container.id] = waited.get(container.id, container.health_interval) + TICK_SECONDS
            if waited[container.id] >= container.health_interval:
                waited[container.id] = 0.0
                engine.run_health_check(container.id)
