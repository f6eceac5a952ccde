"""Time zones by their names in the IANA data, and what to say of a name that is none."""

import re
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from math import floor
from zoneinfo import ZoneInfo, available_timezones


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """Return the zone called `name`; UTC needs no data. Raises ValueError that tells a way out."""
    if name == "UTC":
        return UTC
    if name.lower() in {"local", "localtime", "local time"}:
        raise ValueError(f"'{name}' could be any time zone; name it, such as Europe/Berlin or UTC")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no such name can be, a directory of zones
        raise ValueError(_unknown(name)) from None


def zone_name(text: str) -> str:
    """Return the name of the zone that `text` means: UTC for what is the same everywhere."""
    return "UTC" if text.upper() in {"UTC", "GMT", "Z", "ETC/UTC"} else text


def offset_at(zone: str, now: float) -> int:
    """Return how many seconds `zone` is ahead of UTC at `now`; offsets only change at whole seconds."""
    offset = datetime.fromtimestamp(floor(now), zone_of(zone)).utcoffset()
    assert offset is not None  # noqa: S101 - every zone here has one
    return round(offset.total_seconds())


def _unknown(name: str) -> str:
    if re.match(r"(?:(?:utc|gmt)\s*)?[+-]\d", name, re.IGNORECASE):
        return f"'{name}' is an offset, which knows no summer time; name a zone, such as Europe/Berlin or UTC"
    known = [each for each in available_timezones() if "/" in each]
    if not known:
        return (
            f"the time zone '{name}' cannot be looked up: this machine has no time zone data (install tzdata)"
        )
    place = name.lower().replace(" ", "_").rpartition("/")[2]
    near = sorted(each for each in known if each.lower().rpartition("/")[2] == place)
    near = near or get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else "name it by its place, such as Europe/Berlin, or UTC"
    return f"there is no time zone '{name}'; {hint}"
