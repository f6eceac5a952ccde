"""When what was reported last is reported again though nothing changed: the site's reporting interval (S-27).

Kept in memory: a process that begins counts anew, and nothing is written for it.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from collections.abc import Iterable

from edgewright.agent.backoff import jitter, spread
from edgewright.agent.clock import Clock


class Repeats:
    """When each report was sent last, by its name; times are monotonic, rates in seconds."""

    __slots__ = ("_clock", "_jitter", "_sent", "_since")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jitter = jitter()
        self._since = clock.monotonic()
        self._sent: dict[str, float] = {}

    def sent(self, name: str) -> None:
        """Note that `name` was sent just now."""
        self._sent[name] = self._clock.monotonic()

    def settle(self, names: Iterable[str]) -> None:
        """Forget all but `names`, each of which was looked at just now."""
        self._sent = {name: self._sent.get(name, self._since) for name in names}
        self._since = self._clock.monotonic()

    def due(self, rate: float) -> float:
        """Return when to look for one that was not sent for `rate` seconds; infinite where that never is."""
        return min([self._since, *self._sent.values()]) + spread(rate, self._jitter)

    def is_due(self, name: str, rate: float) -> bool:
        """Whether `name` was not sent for `rate` seconds."""
        sent = self._sent.get(name, self._since)
        return self._clock.monotonic() >= sent + spread(rate, self._jitter)
