"""Rounds, as the watch sees them: a process now and then, that tells a few words and ends.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent.child import Child
from edgewright.agent.failpoints import hit

BUSY = 75
"""A round's exit code when another one is at work (round.py)."""


class Rounds:
    """Starts rounds by `command`, one at a time; tests have another one that does them itself."""

    __slots__ = ("_child", "_command")

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: Child | None = None

    @property
    def at_work(self) -> bool:
        """Whether a round was started and has not been seen to end."""
        return self._child is not None

    @property
    def fd(self) -> int:
        """What becomes readable when the round says something or has ended; -1 without one."""
        return -1 if self._child is None else self._child.fd

    def start(self) -> None:
        """Start a round. Raises OSError."""
        self._child = Child(self._command, report="--report-fd")
        hit("round.spawned")

    def hear(self) -> tuple[list[bytes], int | None]:
        """Return the lines the round has said meanwhile, and its exit code once it has ended."""
        assert self._child is not None  # noqa: S101 - `fd` has just been readable
        lines = self._child.read()
        if lines is not None:
            return lines, None
        child, self._child = self._child, None
        return [], child.reap()

    def kill(self) -> None:
        """Kill the round at work and what it started; the next one begins where it stood."""
        if self._child is not None:
            self._child.kill()
            self._child = None
