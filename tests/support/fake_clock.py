"""A clock that tests set: it goes forward only when somebody waits or says so, and it can be set wrongly.

    clock = FakeClock("2026-03-01T00:00:00")
    clock.at("2026-03-02T04:00:00", lambda: clock.set(clock.time() - 86_400))
    clock.forward(3600)

What was planned with `at` happens at the *true* time, whatever the time of day is thought to be.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count

from edgewright.agent.clock import Clock

MOST_TURNS = 200
"""Of waits in one instant, until they are taken for a loop that would keep a real processor busy."""
Moment = float | str
"""A true time: unix seconds, or an ISO date and time in UTC."""


class FakeClock(Clock):
    """`wait` passes the time: to its deadline, to the next thing planned, until `readable` has something."""

    def __init__(self, start: Moment = "2026-03-01T00:00:00", *, uptime: float = 1000.0) -> None:
        super().__init__()
        self.readable: Callable[[], list[int]] = list
        self._seconds = uptime
        self._started = unix(start) - uptime
        self._wrong = 0.0
        self._boots = 1
        self._stood_still = 0
        self._plan: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    @property
    def boot(self) -> str:
        return f"boot-{self._boots}"

    @property
    def true(self) -> float:
        """The unix seconds it really is, whatever the time of day was set to."""
        return self._started + self._seconds

    def time(self) -> float:
        return self.true + self._wrong

    def monotonic(self) -> float:
        return self._seconds

    def set(self, seconds: Moment | None = None) -> None:
        """Let the time of day be `seconds`, by default what it really is."""
        self._wrong = 0.0 if seconds is None else unix(seconds) - self.true

    def reboot(self, *, off: float = 30.0, seconds: Moment | None = None) -> None:
        """Let the machine have been `off` and wake up believing it is `seconds`, by default the truth."""
        self.forward(off)
        self._boots += 1
        self._started, self._seconds = self.true - 5.0, 5.0
        self.set(seconds)

    def at(self, moment: Moment, do: Callable[[], object]) -> None:
        """Plan something."""
        heappush(self._plan, (unix(moment), next(self._numbers), do))

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.until(self.monotonic() + seconds)

    def until(self, monotonic: float) -> None:
        """Let time pass, and what was planned meanwhile happen."""
        while self._plan and self._plan[0][0] - self._started <= monotonic:
            self._next()
        self._seconds = max(self._seconds, monotonic)

    def wait(self, poller: object, deadline: float) -> list[tuple[int, int]]:
        before = self._seconds
        if not self.readable():
            if self._plan and self._plan[0][0] - self._started <= deadline:
                self._next()
            else:
                self._seconds = max(self._seconds, deadline)
        self._stood_still = 0 if self._seconds > before else self._stood_still + 1
        assert self._stood_still < MOST_TURNS, "it turns and turns, and no time passes"
        return [(fd, 1) for fd in self.readable()]

    def _next(self) -> None:
        moment, _, do = heappop(self._plan)
        self._seconds = max(self._seconds, moment - self._started)
        do()


def unix(moment: Moment) -> float:
    """Return the unix seconds of a true time."""
    if isinstance(moment, str):
        return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    return moment
