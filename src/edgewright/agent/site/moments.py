"""Moments as people type them: `2h`, `18:00`, `tomorrow`, `Mon 06:00`, `2026-12-01 06:00`. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final

_LENGTH: Final = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m(?:in)?)?")
_WALL: Final = re.compile(r"(?:(?P<day>[a-z]+)\b ?)?(?:(?P<hour>\d{1,2}):(?P<minute>\d{2}))?")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MORNING: Final = time(6)
EXPECTED: Final = "expected a time such as 2h, 18:00, tomorrow, 'Mon 06:00' or '2026-12-01 06:00'"


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means to somebody whose wall clock shows `now` (aware).

    A time of day is the next one, a day alone is its morning, a date without a zone is meant on that wall.
    Raises ValueError.
    """
    words = " ".join(text.lower().split())
    length = _LENGTH.fullmatch(words)
    if words and length:
        days, hours, minutes = (int(each or 0) for each in length.groups())
        ahead = timedelta(days=days, hours=hours, minutes=minutes)
        return (now.astimezone(UTC) + ahead).astimezone(now.tzinfo)
    wall = _WALL.fullmatch(words)
    if words and wall:
        return _on_the_wall(wall, now)
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:40]!r}: {EXPECTED}") from None
    return given if given.tzinfo is not None else given.replace(tzinfo=now.tzinfo)


def _on_the_wall(found: re.Match[str], now: datetime) -> datetime:
    if found["hour"] is not None and (int(found["hour"]) > 23 or int(found["minute"]) > 59):
        raise ValueError(f"{found[0]!r}: there is no such time of day; {EXPECTED}")
    at = time(int(found["hour"]), int(found["minute"])) if found["hour"] else _MORNING
    day = found["day"]
    if day is None:
        ahead = 0 if at > now.time() else 1
    elif day == "today":
        ahead = 0
    elif day == "tomorrow":
        ahead = 1
    elif day[:3] in _DAYS and ("monday tuesday wednesday thursday friday saturday sunday".find(day) >= 0):
        ahead = (_DAYS.index(day[:3]) - now.weekday()) % 7
        ahead += 7 if ahead == 0 and at <= now.time() else 0
    else:
        raise ValueError(f"{found[0]!r}: {EXPECTED}")
    return (now + timedelta(days=ahead)).replace(
        hour=at.hour, minute=at.minute, second=0, microsecond=0, fold=0
    )
