"""Files people put on this device: their policy, and the answers they drop. A change is a hint to look.

The kernel signals changes of the two directories (dnotify: SIGIO); where it does not - a network share, a
file that is mounted over - they are found a little later. What has changed is for a round to see.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import fcntl
import os
import signal
from contextlib import suppress

from edgewright.agent.clock import SYSTEM, Clock

_LOOK_SECONDS = 30.0  # how long a change may go unseen where the kernel says nothing
_CHANGES = fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_ATTRIB

Stamp = tuple[int, int, int]


class Notices:
    """The `policy` file and the `drop` directory; either may be missing, and come and go."""

    __slots__ = ("_clock", "_directories", "_looks_at", "_seen", "_watched", "policy")

    def __init__(self, policy: str, drop: str, clock: Clock = SYSTEM) -> None:
        self.policy = policy
        self._clock = clock
        self._looks_at = 0.0
        self._directories = (os.path.dirname(policy), drop)
        # Whoever asks for the signal has to bear it: unheard, it ends the process. It interrupts every wait.
        signal.signal(signal.SIGIO, self._told)
        self._watched: dict[str, tuple[int, Stamp]] = {}
        self._seen = self._look()

    def changed(self) -> bool:
        """Whether one of them is not as it was when this was found out last; never waits."""
        if self._clock.monotonic() < self._looks_at:
            return False
        self._looks_at = self._clock.monotonic() + _LOOK_SECONDS
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _told(self, *_: object) -> None:
        self._looks_at = 0.0

    def _look(self) -> list[Stamp | None]:
        for path in self._directories:
            self._watch(path)
        seen = [_stamp(self.policy)]
        drop = self._directories[1]
        seen.append(_stamp(drop))
        with suppress(OSError):
            seen += [_stamp(os.path.join(drop, name)) for name in sorted(os.listdir(drop))]
        return seen

    def _watch(self, path: str) -> None:
        """Have the kernel tell of changes in `path`, also when another directory has taken its place."""
        found = _stamp(path)
        descriptor, known = self._watched.get(path, (-1, None))
        if (found or (0,))[0] == (known or (0,))[0]:
            return
        if descriptor >= 0:
            os.close(descriptor)
            del self._watched[path]
        if found is None:
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_NOTIFY, _CHANGES | fcntl.DN_MULTISHOT)
        self._watched[path] = (descriptor, found)


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
