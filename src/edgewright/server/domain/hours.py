"""When a policy lets a device poll, worked out in blocks of days that are kept: a fleet has few policies."""

from itertools import chain
from math import ceil, floor, inf
from typing import Final

from edgewright.protocol.calendar import DAY, Interval, intervals, merged
from edgewright.protocol.policy import Policy, next_poll, polling

BLOCK: Final = 8 * DAY
_MOST_BLOCKS: Final = 128


class Hours:
    """The hours of one policy; all times are unix seconds."""

    __slots__ = ("_beyond", "_blocks", "_downtimes", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._blocks: dict[int, tuple[Interval, ...]] = {}
        self._downtimes: dict[int, tuple[Interval, ...]] = {}
        self._beyond: dict[int, float | None] = {}

    @property
    def are_always(self) -> bool:
        """Whether the device may poll at any time."""
        return not (self.policy.polling.periods or self.policy.downtime)

    def between(self, start: float, end: float) -> tuple[Interval, ...]:
        """Return the hours from `start` to `end`: in order, none touching another."""
        if self.are_always:
            return ((start, end),) if start < end else ()
        blocks = (self._block(number) for number in range(floor(start / BLOCK), ceil(end / BLOCK)))
        found = merged(chain.from_iterable(blocks))
        clipped = ((max(first, start), min(last, end)) for first, last in found)
        return tuple((first, last) for first, last in clipped if first < last)

    def opens(self, now: float) -> float | None:
        """Return the first moment from `now` on within them, `now` itself if it is; None if none is known."""
        if self.are_always:
            return now
        number = floor(now / BLOCK)
        for first, last in self._block(number):
            if now < last:
                return max(first, now)
        if number not in self._beyond:
            self._make_room()
            self._beyond[number] = next_poll(self.policy, (number + 1) * BLOCK)
        return self._beyond[number]

    def changes(self, now: float) -> float:
        """Return a moment after `now` until which they are as they are at `now`: open, closed, and why."""
        if self.are_always:
            return inf
        number = floor(now / BLOCK)
        edges = chain.from_iterable((*self._block(number), *self._downtime(number)))
        return min((edge for edge in edges if edge > now), default=(number + 1) * BLOCK)

    def _downtime(self, number: int) -> tuple[Interval, ...]:
        found = self._downtimes.get(number)
        if found is None:
            self._make_room()
            downtime = intervals(self.policy.downtime, number * BLOCK, (number + 1) * BLOCK)
            found = self._downtimes[number] = downtime
        return found

    def _block(self, number: int) -> tuple[Interval, ...]:
        found = self._blocks.get(number)
        if found is None:
            self._make_room()
            found = self._blocks[number] = polling(self.policy, number * BLOCK, (number + 1) * BLOCK)
        return found

    def _make_room(self) -> None:
        """Forget everything when there is too much of it: what is still needed comes back."""
        if len(self._blocks) + len(self._downtimes) + len(self._beyond) >= _MOST_BLOCKS:
            self._blocks.clear()
            self._downtimes.clear()
            self._beyond.clear()
