"""Devices that ask to be let in: how many may wait, how often they ask, and what of their words is kept.

Anybody who reaches the web listener may ask, so everything has a bound, and no single address can fill the
queue for all others.
"""

import string
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import check_segment
from edgewright.server.domain.throttle import place_of

MOST_WAITING: Final = 200
MOST_FROM_ONE_PLACE: Final = 50
# A device that does not ask any more is forgotten after this time, and so is what was decided.
FORGET: Final = timedelta(days=7)
# How exactly it is kept when a device asked last: not every question costs a write.
SEEN_EVERY: Final = timedelta(minutes=5)
LONGEST_NAME: Final = 128
LONGEST_REASON: Final = 500
_LONGEST_FACT: Final = 64
_HARMLESS: Final = frozenset(string.ascii_letters + string.digits + "._+-")

# A plant full of devices behind one address asks; more than that is somebody at play.
_BURST: Final = 200
_PER_SECOND: Final = 10.0
_MOST_PLACES: Final = 10_000


class RequestState(StrEnum):
    """What became of a request."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How many wait already: in all, and from the place that the next one comes from."""

    waiting: int
    from_place: int


def refusal(crowd: Crowd) -> str | None:
    """Return why no other key may begin to wait, None if it may."""
    if crowd.from_place >= MOST_FROM_ONE_PLACE:
        return f"{crowd.from_place} devices from this address wait already; let a person decide about them"
    if crowd.waiting >= MOST_WAITING:
        return f"{crowd.waiting} devices wait already; let a person decide about them, or use a token"
    return None


def ask_again_after(waited: timedelta) -> int:
    """Return in how many seconds a device that waits is to ask again: soon while a person may be at it."""
    if waited < timedelta(minutes=10):
        return 3
    return 15 if waited < timedelta(hours=2) else 60


def harmless(text: str) -> str:
    """Return what a device says of itself with a `?` for all that no host name or version has, and short."""
    return "".join(each if each in _HARMLESS else "?" for each in text[:_LONGEST_FACT])


def name_fault(name: str) -> str | None:
    """Return why a device cannot be called so, None if it can."""
    if len(name) > LONGEST_NAME:
        return f"expected at most {LONGEST_NAME} characters"
    try:
        check_segment(name)
    except IdentityError as error:
        return str(error)
    return None


class Asking:
    """Counts questions by the place they come from, in memory: a burst is free, then ten a second."""

    def __init__(self, most: int = _MOST_PLACES) -> None:
        self._most = most
        self._left: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def wait(self, address: str, *, now: datetime) -> int:
        """Count a question and return 0, or return in how many seconds there will be room for one."""
        place = place_of(address)
        left, last = self._left.pop(place, (float(_BURST), now))
        gained = max((now - last).total_seconds(), 0.0) * _PER_SECOND
        left = min(left + gained, float(_BURST))
        is_free = left >= 1
        self._left[place] = (left - 1 if is_free else left, now)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0 if is_free else 5
