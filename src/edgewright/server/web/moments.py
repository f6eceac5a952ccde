"""Times in words that stay true while somebody reads them: "5 min ago", "in 2 h"; far away, the date.

The browser says the same by the same rules (`static/app.js`), and more exactly in the title.
"""

from datetime import UTC, datetime, timedelta

_NOW = timedelta(seconds=45)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_FAR = timedelta(days=30)


def relative(moment: datetime, now: datetime) -> str:
    """Return `moment` as seen from `now`; beyond a month the date alone says more."""
    distance = abs(now - moment)
    if distance < _NOW:
        return "just now" if moment <= now else "in a moment"
    if distance >= _FAR:
        shown = moment.astimezone(UTC)
        return f"{shown.day} {shown:%b %Y}"
    text = _distance(distance)
    return f"in {text}" if moment > now else f"{text} ago"


def exact(moment: datetime) -> str:
    """Return `moment` to the second, in UTC and saying so."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: datetime) -> str:
    """Return `moment` as machines read it, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _distance(distance: timedelta) -> str:
    if distance < _HOUR:
        return f"{max(1, round(distance.total_seconds() / 60))} min"
    if distance < _DAY:
        return f"{round(distance.total_seconds() / 3600)} h"
    days = round(distance.total_seconds() / 86_400)
    return "1 day" if days == 1 else f"{days} days"
