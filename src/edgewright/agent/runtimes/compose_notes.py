"""What is remembered of each started component beside the engine's own state, and the lock of all changes."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from edgewright.agent.runtimes import EngineError
from edgewright.agent.runtimes.compose_project import project_name
from edgewright.agent.runtimes.files import write_whole

LOCK_SECONDS = 60.0
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What was started last for one component.

    `ended`: the services that had ended well when verified; `restarts`: how often the engine had restarted
    each container by then, by id.
    """

    deployment_id: str
    name: str
    revision: str
    inputs: str
    directory: str
    services: Mapping[str, int]
    containers: tuple[str, ...]
    ended: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)


class Notes:
    """The notes in `directory`, one small file each."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __iter__(self) -> Iterator[Note]:
        if not os.path.isdir(self._directory):
            return
        for name in sorted(os.listdir(self._directory)):
            note = _load(os.path.join(self._directory, name)) if name.endswith(".json") else None
            if note is not None:
                yield note

    def load(self, key: tuple[str, str]) -> Note | None:
        """Load the note of one component; None where there is none or a damaged one, which is as good."""
        return _load(self._path(key))

    def save(self, note: Note) -> None:
        """Save a note durably."""
        write_whole(self._path((note.deployment_id, note.name)), json.dumps(asdict(note), indent=1).encode())

    def remove(self, key: tuple[str, str]) -> None:
        """Remove the note of one component, if there is one."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(key))

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock of all changes; a Compose program that outlived its agent holds it until it ends."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        path = os.path.join(self._directory, "lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for_lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _path(self, key: tuple[str, str]) -> str:
        return os.path.join(self._directory, f"{project_name(*key)}.json")


def _load(path: str) -> Note | None:
    try:
        with open(path, "rb") as file:
            told: dict[str, Any] = json.load(file)
        told["containers"], told["ended"] = tuple(told["containers"]), tuple(told["ended"])
        return Note(**told)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _wait_for_lock(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise EngineError("another Compose program of ours has been at work for a minute") from error
        time.sleep(LOCK_POLL_SECONDS)
