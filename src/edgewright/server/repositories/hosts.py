"""Which Git servers may be asked now: a few questions at once to each, and none to one that is not well.

One that does not answer is tried again by a single question, later each time, whoever has a repository there;
so it holds up nobody whose repository is elsewhere. One that wants to be left alone is. No clock, no I/O.
"""

from dataclasses import dataclass
from typing import Final

from edgewright.net.git.url import RepositoryUrl

# Questions to one server at once.
MOST_EACH: Final = 2
FIRST_PAUSE: Final = 15.0
LONGEST_PAUSE: Final = 600.0


@dataclass(slots=True)
class Host:
    """One Git server; times are monotonic seconds.

    `busy` questions are under way, `failures` in a row went without an answer, the last for the reason
    `problem`. Nothing is asked by itself before `due`; where it `wants_quiet`, nobody asks.
    """

    busy: int = 0
    failures: int = 0
    due: float = 0.0
    wants_quiet: bool = False
    problem: str = ""

    def may_begin(self, now: float) -> bool:
        """Whether one more question may be asked at `now`."""
        return now >= self.due and self.busy < (1 if self.failures else MOST_EACH)

    def answered(self) -> None:
        """Note that it is well."""
        self.failures, self.due, self.wants_quiet, self.problem = 0, 0.0, False, ""

    def failed(self, problem: str, *, now: float, quiet: float = 0.0) -> None:
        """Note that it did not answer, or with the wish to be left alone for `quiet` seconds."""
        self.failures += 1
        pause = min(FIRST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)
        self.due = now + (quiet or pause)
        self.wants_quiet = quiet > 0
        self.problem = problem


class Hosts:
    """All Git servers that were asked in this run."""

    def __init__(self) -> None:
        self._known: dict[str, Host] = {}

    def of(self, url: str) -> Host:
        """Return the server of a repository."""
        return self._known.setdefault(place_of(url), Host())


def place_of(url: str) -> str:
    """Return what is the same for all repositories of one server."""
    parts = RepositoryUrl(url)
    return f"{parts.scheme}://{parts.host.lower()}:{parts.port}"
