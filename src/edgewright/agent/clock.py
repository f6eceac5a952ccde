"""What time it is, whether that can be true, and waiting: the one clock everything resident is handed.

Rates and pauses run on `monotonic`, which nobody can set. The time of day decides what a site's policy allows
at which hour, and it can be wrong: a device without a battery boots in 1970, a person mistypes a year, a time
server lies. It is not believed (`distrust`) where something better is known:

- what the time has to be, told by a fleet manager's `Date` (authenticated by mutual TLS) or by a person on
  site: from then on the monotonic clock carries it, so that a wrong jump is seen in the instant it happens;
- without that, since this machine was started: the latest time that is written down. Nothing is earlier.

A clock that is not believed closes polling periods and windows and begins no downtime; rates go on.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import select
import time

from edgewright.agent.state.store import CLOCK_LATEST, CLOCK_TRUST, STATE, Store

EXPECTED = "clock.expected"  # "BOOT OFFSET WHO": unix seconds minus monotonic ones, as somebody told
SERVER, PERSON = "server", "person"

JUMP_SECONDS = 30.0
TOLERANCE_SECONDS = 300.0
_LOOK_SECONDS = 60.0  # how long a jump of the time of day may go unseen
_NOTED_EVERY_SECONDS = 3600.0  # an idle device hardly writes to its flash
_DRIFT_SECONDS = 60.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Clock:
    """The machine's own clock; tests have another one.

    `boot` names the time since the machine was started: `monotonic` can be compared within it, also between
    processes, and counts while the machine sleeps.
    """

    __slots__ = ("_boot",)

    def __init__(self) -> None:
        self._boot = ""

    @property
    def boot(self) -> str:
        """The name of this run of the machine."""
        if not self._boot:
            with open(_BOOT_ID, encoding="ascii") as file:
                self._boot = file.read().strip()
        return self._boot

    def time(self) -> float:
        """Return the time of day in unix seconds, true or not."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since the machine was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, poller: select.poll, deadline: float) -> list[tuple[int, int]]:
        """Return what is ready, or nothing at `deadline` (monotonic) or when the time of day was set."""
        before = self.offset()
        while True:
            left = min(deadline - self.monotonic(), _LOOK_SECONDS)
            ready = poller.poll(max(int(left * 1000) + 1, 0))
            if ready or self.monotonic() >= deadline or abs(self.offset() - before) > JUMP_SECONDS:
                return ready

    def offset(self) -> float:
        """Return how far the time of day is ahead of the monotonic one; it changes when somebody sets it."""
        return self.time() - self.monotonic()


SYSTEM = Clock()


def distrust(now: float, offset: float, *, latest: float, expected: float | None) -> str:
    """Return why a clock that shows `now` (unix seconds) is not to be believed, empty when it is.

    `offset` is how far it is ahead of the monotonic clock, `expected` how far it has to be (None where nobody
    told since the machine was started), `latest` a time that had been reached before.
    """
    if expected is not None:
        off = offset - expected
        if abs(off) <= TOLERANCE_SECONDS:
            return ""
        return f"the clock is {_words(abs(off))} {'ahead' if off > 0 else 'behind'}"
    if now < latest - JUMP_SECONDS:
        reached = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(latest))
        return f"the clock shows a time before {reached}, which was reached already"
    return ""


def _words(seconds: float) -> str:
    for size, name in ((86_400.0, "days"), (3600.0, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds / 60:.0f} minutes"


class Trust:
    """Whether the clock is believed; `reason` says why it is not."""

    __slots__ = ("reason",)

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    @property
    def trusted(self) -> bool:
        """Whether the time of day may decide something."""
        return not self.reason


def assess(store: Store, clock: Clock) -> Trust:
    """Return whether `clock` is to be believed, by everything that is known in this state directory."""
    store.recheck()
    return assess_again(store, clock)


def assess_again(store: Store, clock: Clock) -> Trust:
    """Return the same by what was known when the store was rechecked last."""
    latest, expected = float(store.remembered(CLOCK_LATEST) or 0.0), _expected(store, clock)
    return Trust(distrust(clock.time(), clock.offset(), latest=latest, expected=expected[0]))


def announce(store: Store, trust: Trust) -> bool:
    """Write down whether the clock is believed, for all who ask; return whether that is news."""
    if trust.reason == (store.remembered(CLOCK_TRUST) or ""):
        return False
    with store.transaction():
        store.set_meta(CLOCK_TRUST, trust.reason)
        store.record(
            STATE,
            f"the clock is not believed: {trust.reason}" if trust.reason else "the clock is right again",
        )
    return True


def keep(store: Store, clock: Clock, trust: Trust, *, now: bool = False) -> None:
    """Write down that this time was reached, every hour, or `now`; and take back what turned out too late."""
    if not trust.trusted:
        return
    time_of_day, latest = clock.time(), float(store.remembered(CLOCK_LATEST) or 0.0)
    due = time_of_day - latest > (0.0 if now else _NOTED_EVERY_SECONDS)
    # Believed although it is earlier: somebody who knows has said so, and what was written down was wrong.
    if due or latest - time_of_day > JUMP_SECONDS:
        store.set_meta(CLOCK_LATEST, f"{time_of_day:.0f}")


def raise_latest(store: Store, seconds: float) -> None:
    """Write down that `seconds` (unix) were reached: whoever we are was made known then."""
    if float(store.meta(CLOCK_LATEST) or 0.0) < seconds:
        store.set_meta(CLOCK_LATEST, f"{seconds:.0f}")


def told(store: Store, clock: Clock, seconds: float) -> None:
    """Take in what the fleet manager says the time is (unix seconds), unless a person on site has spoken."""
    offset = seconds - clock.monotonic()
    known, who = _expected(store, clock)
    stands = known is not None and abs(known - clock.offset()) <= TOLERANCE_SECONDS
    if not (who == PERSON and stands) and (known is None or abs(known - offset) > _DRIFT_SECONDS):
        store.set_meta(EXPECTED, f"{clock.boot} {offset:.0f} {SERVER}")


def accept(store: Store, clock: Clock) -> None:
    """Believe the clock as it stands: a person's decision, until it is set again or the machine restarts."""
    with store.transaction():
        store.set_meta(EXPECTED, f"{clock.boot} {clock.offset():.0f} {PERSON}")
        store.set_meta(CLOCK_LATEST, f"{clock.time():.0f}")
        store.set_meta(CLOCK_TRUST, "")


def _expected(store: Store, clock: Clock) -> tuple[float | None, str]:
    boot, _, rest = (store.remembered(EXPECTED) or "").partition(" ")
    offset, _, who = rest.partition(" ")
    return (float(offset), who) if boot == clock.boot else (None, "")
