"""When the fleet manager answered last: the time of a small file in memory, as it changes with every poll.

An idle device hardly writes to its flash: the store learns of it every hour only (`link.py`), which is what
is known of it after a restart of the machine.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import hashlib
import os
import time


def _places(root: str) -> list[str]:
    """Return where the file of the agent with the state directory `root` may be, best first."""
    name = hashlib.sha256(root.encode()).hexdigest()[:16]
    own = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # what a service manager has made for us
    tops = [own, "/run/edgewright" if os.geteuid() == 0 else ""]
    if os.environ.get("XDG_RUNTIME_DIR"):
        tops.append(os.environ["XDG_RUNTIME_DIR"] + "/edgewright")
    return [f"{top}/{name}.contact" for top in tops if top]


class Contact:
    """The file of the agent whose state directory is `root`."""

    __slots__ = ("_path", "_places")

    def __init__(self, root: str) -> None:
        self._places = _places(root)
        self._path = ""

    def note(self) -> None:
        """Note that the fleet manager has answered just now; without memory to write to, nothing is."""
        try:
            os.utime(self._path)
        except OSError:
            self._make()

    def last(self) -> float | None:
        """Return when it answered last (unix seconds), None where that is not known."""
        times = []
        for path in self._places:
            try:
                times.append(os.stat(path).st_mtime)
            except OSError:
                continue
        return max(times, default=None)

    def _make(self) -> None:
        for path in self._places:
            try:
                os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.utime(path, (time.time(), time.time()))
            except OSError:
                continue
            self._path = path
            return
