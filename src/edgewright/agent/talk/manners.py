"""What the fleet manager's answers ask of everybody here: to be left alone for a while, and what time it is.

The site's own downtime is kept likewise: there is no contact then, whoever would have begun it (spec: OFF-2).
A 429 or 503 with Retry-After is kept by every request of this device - polls, reports, documents fetched by
rounds, and those of a process that is started meanwhile (spec: RT-4). It is kept on the monotonic clock; over
a restart of the machine on the time of day, if that is believed, else once more in full.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent import clock as clocks
from edgewright.agent.clock import Clock
from edgewright.agent.state.store import Store
from edgewright.agent.talk.answers import RefusalError, http_date
from edgewright.agent.talk.hours import Hours
from edgewright.net.http import Response
from edgewright.protocol.errors import EdgewrightError

QUIET = "server.quiet"
"""The meta name of what was asked for last: boot, monotonic end, seconds, end by the time of day."""


class QuietError(EdgewrightError):
    """Nothing was asked, as nothing is to be asked for `seconds` more. That is no failure of anything."""

    code = "server.quiet"
    retryable = True

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(f"{why}; {seconds:.0f} s are left of it")
        self.seconds = seconds


class Manners:
    """Asked before each request, shown each answer. All of it is in the store, for every process alike."""

    __slots__ = ("_clock", "_hours", "_store")

    def __init__(self, store: Store, clock: Clock, hours: Hours) -> None:
        self._store = store
        self._clock = clock
        self._hours = hours

    def quiet_seconds(self) -> float:
        """Return for how long nothing is to be asked, 0 when something may be; as of the last recheck."""
        kept = self._store.remembered(QUIET)
        if not kept:
            return 0.0
        boot, end, seconds, end_of_day = kept.split()
        if boot == self._clock.boot:
            return max(float(end) - self._clock.monotonic(), 0.0)
        left = float(seconds)
        if clocks.assess(self._store, self._clock).trusted:
            left = min(max(float(end_of_day) - self._clock.time(), 0.0), left)
        self._keep(left)
        return left

    def before(self) -> None:
        """Raise QuietError when nothing is to be asked now."""
        self._hours.read()
        seconds = self.quiet_seconds()
        if seconds > 0:
            raise QuietError("the server asked to be left alone (spec: RT-4)", seconds)
        if not self._hours.may_talk:
            raise QuietError("it is downtime (spec: OFF-2)", self._hours.talks_in)

    def heard(self, response: Response) -> None:
        """Take in what an answer of the fleet manager, authenticated as such, tells beside its content."""
        date = http_date(response.headers.get("date", ""))
        if date is not None:
            clocks.told(self._store, self._clock, date)
        self.asked(response)

    def asked(self, response: Response) -> None:
        """Take in the wait an answer asks for, and no more: not every server is a judge of the time."""
        if response.status >= 400:
            refusal = RefusalError(response, "", self._clock.time())
            if refusal.is_for_all and (refusal.retry_after or 0.0) > self.quiet_seconds():
                self._keep(refusal.retry_after or 0.0)

    def forget(self) -> None:
        """Keep nothing any more: there is another fleet manager now."""
        self._store.set_meta(QUIET, "")

    def _keep(self, seconds: float) -> None:
        clock = self._clock
        seconds += 0.001  # what is rounded off below must not make it shorter
        end, end_of_day = clock.monotonic() + seconds, clock.time() + seconds
        self._store.set_meta(QUIET, f"{clock.boot} {end:.3f} {seconds:.3f} {end_of_day:.3f}")
