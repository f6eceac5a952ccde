"""When one kind of request to the fleet manager may be made again, and how its failures put that off.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent.backoff import jitter
from edgewright.agent.clock import Clock
from edgewright.agent.talk.answers import RefusalError, pause_after
from edgewright.agent.talk.manners import QuietError
from edgewright.protocol.errors import EdgewrightError


class Channel:
    """When one kind of request may be made again; times are on the monotonic clock, 0 means at once.

    `told` says that the fleet manager itself asked to wait; else the way to it was broken.
    """

    __slots__ = ("_clock", "due", "failures", "told")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.due = 0.0
        self.failures = 0
        self.told = False

    def failed(self, error: EdgewrightError) -> None:
        """Wait as the answer asks, or longer each time (spec: RT-4)."""
        self.failures += 1
        self.told = isinstance(error, RefusalError)
        self.due = self._clock.monotonic() + pause_after(error, self.failures, jitter())

    def put_off(self, error: QuietError) -> None:
        """Wait until something may be asked again; nothing has failed."""
        self.due = self._clock.monotonic() + error.seconds

    def succeeded(self, wait: float = 0.0) -> None:
        """Be due again in `wait` seconds."""
        self.failures = 0
        self.told = False
        self.due = self._clock.monotonic() + wait
