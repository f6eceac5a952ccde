"""How the page says things: times as people on site read them, states and reasons in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

STATES: Final = {
    "installed": ("running", "good"),
    "pending": ("getting ready", "busy"),
    "installing": ("being installed", "busy"),
    "failed": ("failed", "bad"),
    "removing": ("being removed", "busy"),
    "removed": ("removed", "quiet"),
}
"""The wire's word for a deployment to ours, and its tone: good, busy, wait, bad or quiet."""

REASONS: Final = {
    "approval": "waits for a decision",
    "postponed": "postponed",
    "rejected": "rejected",
    "window": "waits for its time",
    "too-long": "waits for a longer window",
    "paused": "paused",
    "clock": "waits: the clock is not trusted",
    "policy": "waits: the policy cannot be read",
}
KINDS: Final = {"install": "Install", "update": "Update", "remove": "Remove"}
VERDICTS: Final = {
    "asked": ("asks for a decision", "wait"),
    "approved": ("approved", "good"),
    "postponed": ("postponed", "wait"),
    "rejected": ("rejected", "bad"),
    "used": ("approved and done", "quiet"),
    "expired": ("expired", "quiet"),
    "void": ("no longer wanted", "quiet"),
}


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells times relative to `now` (aware), on the wall of `zone`."""

    now: datetime
    zone: tzinfo

    def at(self, iso: str | None) -> str:
        """Return the moment as a person here says it: `14:05`, `Sat 02:00`, `24 Dec 12:00`."""
        if iso is None:
            return ""
        moment, now = self._local(iso), self.now.astimezone(self.zone)
        if moment.date() == now.date():
            return f"{moment:%H:%M}"
        if abs(moment - now) < timedelta(days=6.5):
            return f"{moment:%a %H:%M}"
        return (
            f"{moment.day} {moment:%b}{'' if moment.year == now.year else f' {moment.year}'} {moment:%H:%M}"
        )

    def exactly(self, iso: str) -> str:
        """Return the moment with date, time and zone."""
        return f"{self._local(iso):%Y-%m-%d %H:%M:%S %Z}"

    def ago(self, iso: str | None) -> str:
        """Return how long ago the moment was, or how long it is to it; `never` for None."""
        if iso is None:
            return "never"
        seconds = (self.now - self._local(iso)).total_seconds()
        if -1 < seconds < 5:
            return "just now"
        return f"{length(seconds)} ago" if seconds >= 0 else f"in {length(-seconds)}"

    def _local(self, iso: str) -> datetime:
        return datetime.fromisoformat(iso).astimezone(self.zone)


def length(seconds: float) -> str:
    """Return a length of time in one unit: `40 s`, `5 min`, `3 h`, `12 days`."""
    for size, limit, unit in ((1, 120, "s"), (60, 120 * 60, "min"), (3600, 48 * 3600, "h")):
        if seconds < limit:
            return f"{int(seconds) // size} {unit}"
    return f"{int(seconds) // 86400} days"


def state_of(deployment: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a deployment stands, in words, and its tone; what holds it back comes first."""
    word, tone = STATES.get(deployment["state"], (deployment["state"], "quiet"))
    held = deployment.get("held")
    if held is not None and held["kind"] != "remove" and tone != "bad":
        return REASONS.get(held["reason"], held["reason"]), "wait"
    return word, tone


def counted(number: int, one: str, many: str) -> str:
    """Return `1 change` or `3 changes`."""
    return f"{number} {one if number == 1 else many}"
