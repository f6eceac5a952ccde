"""Rounds, as the watch sees them: a process now and then, that tells a few words and ends.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent.failpoints import hit
from edgewright.agent.resident.child import Helper

BUSY = 75
"""A round's exit code when another one is at work (round.py)."""


class Rounds(Helper):
    """Starts rounds, one at a time."""

    __slots__ = ()

    def start(self, *words: str) -> None:
        """Start a round. Raises OSError."""
        super().start(*words)
        hit("round.spawned")
