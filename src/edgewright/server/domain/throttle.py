"""How fast passwords may be tried: freely at first, then slower and slower, never not at all.

Three counts, and the slowest of them decides: of one account from one address, of one address, and of one
account from anywhere. The last would let strangers keep a person out, so it slows by seconds only, and does
not count where that person has signed in before. Names that no user has are treated alike, so the waiting
tells nobody which do.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

FORGET = timedelta(hours=1)
_MOST_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`free` attempts without waiting, then 1 s, 2 s, 4 s and so on up to `longest`."""

    free: int
    longest: timedelta

    def pause(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row."""
        if failures < self.free:
            return timedelta(0)
        return min(timedelta(seconds=2 ** min(failures - self.free, 30)), self.longest)


PAIR = Limit(free=5, longest=timedelta(minutes=10))
ADDRESS = Limit(free=30, longest=timedelta(minutes=5))
ACCOUNT = Limit(free=30, longest=timedelta(seconds=20))
Key = tuple[str, str]


@dataclass(slots=True)
class _Count:
    failures: int
    last: datetime


class Throttle:
    """Counts attempts in memory, those of the last hour; a restart forgets them.

    Without `counts_addresses` nobody waits for what others do at the same address: devices of one site have
    one address, and secrets that were made by chance need no such count.
    """

    def __init__(self, most: int = _MOST_KEPT, *, counts_addresses: bool = True) -> None:
        self._most = most
        self._counts_addresses = counts_addresses
        self._counts: OrderedDict[Key, _Count] = OrderedDict()
        self._homes: OrderedDict[Key, None] = OrderedDict()

    def attempt(self, account: str, address: str, *, now: datetime) -> timedelta:
        """Count an attempt and return zero, or count nothing and return how long it has to wait.

        An attempt counts as failed until `succeeded` says otherwise, so that many at once count as many.
        """
        keys = self._keys(account, address)
        wait = max((self._wait(key, limit, now) for key, limit in keys), default=timedelta(0))
        if wait > timedelta(0):
            return wait
        for key, _ in keys:
            found = self._counts.pop(key, None)
            failures = found.failures if found and now - found.last < FORGET else 0
            self._counts[key] = _Count(failures + 1, now)
        self._bound()
        return timedelta(0)

    def succeeded(self, account: str, address: str) -> None:
        """Take back the attempt just counted, and remember that this account is at home at this address."""
        place = place_of(address)
        self._counts.pop((account, place), None)
        for key in (("", place), (account, "")):
            found = self._counts.get(key)
            if found is not None:
                found.failures = max(0, found.failures - 1)
        self._homes.pop((account, place), None)
        self._homes[account, place] = None
        self._bound()

    def _keys(self, account: str, address: str) -> list[tuple[Key, Limit]]:
        place = place_of(address)
        keys = [((account, place), PAIR)]
        if self._counts_addresses:
            keys.append((("", place), ADDRESS))
        if (account, place) not in self._homes:
            keys.append(((account, ""), ACCOUNT))
        return keys

    def _wait(self, key: Key, limit: Limit, now: datetime) -> timedelta:
        found = self._counts.get(key)
        if found is None or now - found.last >= FORGET:
            return timedelta(0)
        return found.last + limit.pause(found.failures) - now

    def _bound(self) -> None:
        for kept in (self._counts, self._homes):
            while len(kept) > self._most:
                kept.popitem(last=False)


def place_of(address: str) -> str:
    """Return what one person has of addresses: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
