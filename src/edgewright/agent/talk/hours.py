"""Whether there may be contact now, and when next: the timetable, read by a clock that may be wrong.

What is allowed is told in the time of day, what is waited for in monotonic seconds; here the one becomes the
other, anew at each question, because the time of day can be set at any moment.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

from edgewright.agent import clock as clocks
from edgewright.agent.clock import JUMP_SECONDS, Clock, Trust
from edgewright.agent.state.store import Store
from edgewright.agent.talk.timetable import NEVER, TIMETABLE, Timetable


class Hours:
    """`table` and `trust` as of the last `read` or `look`.

    `late` (0 to 1) is this device's place in the crowd where contact begins for a whole fleet in one instant.
    """

    __slots__ = ("_clock", "_late", "_offset", "_store", "_text", "table", "trust")

    def __init__(self, store: Store, clock: Clock, *, late: float = 0.0) -> None:
        self._store = store
        self._clock = clock
        self._late = late
        self._offset = clock.offset()
        self._text = ""
        self.table = Timetable()
        self.trust = Trust()
        self.read()

    def read(self) -> None:
        """Take in what rounds and people have left, and look at the clock."""
        self._store.recheck()
        text = self._store.remembered(TIMETABLE) or ""
        if text != self._text:
            self.table, self._text = Timetable(text, late=self._late), text
        self.trust = clocks.assess_again(self._store, self._clock)

    def look(self) -> bool:
        """Do as `read` does and tell everybody; return whether a round has to look as well.

        That is when the time of day was set, when it is believed or not as it was not before, and when the
        timetable does not reach to today.
        """
        self.read()
        offset = self._clock.offset()
        set_anew = abs(offset - self._offset) > JUMP_SECONDS
        self._offset = offset
        known = self.table.knows(self._clock.time())
        news = clocks.announce(self._store, self.trust)
        clocks.keep(self._store, self._clock, self.trust)
        return set_anew or news or not known

    @property
    def may_talk(self) -> bool:
        """Whether there may be any contact."""
        return self.table.may_talk(self._clock.time(), trusted=self.trust.trusted)

    @property
    def may_poll(self) -> bool:
        """Whether desired state may be asked for."""
        return self.table.may_poll(self._clock.time(), trusted=self.trust.trusted)

    @property
    def talks_in(self) -> float:
        """In how many seconds there may be contact; 0 for now."""
        now = self._clock.time()
        return self.table.talks_from(now, trusted=self.trust.trusted) - now

    @property
    def polls_in(self) -> float:
        """In how many seconds desired state may be asked for; 0 for now, infinite where that is not known."""
        now = self._clock.time()
        return self.table.polls_from(now, trusted=self.trust.trusted) - now

    @property
    def closes_in(self) -> float:
        """In how many seconds polling will not be allowed any more, while it is; infinite for never."""
        now = self._clock.time()
        return self.table.closes(now) - now if self.trust.trusted else NEVER
