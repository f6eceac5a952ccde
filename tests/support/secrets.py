"""Looks for secrets where everybody can look: in the arguments and environments of processes, and in logs."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

PAUSE_SECONDS = 0.002


class Lookout:
    """Looks at every process there is, again and again, while it is open.

    `seen` tells of each secret where it was; `looked_at` which programs there were, by name, so that a test
    can say that it did not look in vain.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.seen: dict[str, str] = {}
        self.looked_at: set[str] = set()
        self._secrets = {secret: secret.encode() for secret in secrets}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            for place in Path("/proc").iterdir():
                if place.name.isdigit():
                    self._look_at(place)

    def _look_at(self, place: Path) -> None:
        # Processes end while they are looked at.
        with suppress(OSError):
            arguments = (place / "cmdline").read_bytes()
            self.looked_at.add(arguments.split(b"\0")[0].decode(errors="replace").rpartition("/")[2])
            for kind, data in (("arguments", arguments), ("environment", (place / "environ").read_bytes())):
                for secret, raw in self._secrets.items():
                    if raw in data:
                        self.seen[secret] = f"{kind} of {arguments[:300]!r}"


def files_with(secrets: Iterable[str], *places: Path) -> dict[str, list[Path]]:
    """Return which files in `places` hold one of `secrets`, by secret."""
    found: dict[str, list[Path]] = {}
    wanted = [(secret, secret.encode()) for secret in secrets]
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            with suppress(OSError):
                data = path.read_bytes() if path.is_file() else b""
                for secret, raw in wanted:
                    if raw in data:
                        found.setdefault(secret, []).append(path)
    return found
