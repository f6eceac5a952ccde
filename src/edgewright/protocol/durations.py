"""Lengths of time as a person writes them: `500ms`, `60s`, `5m`, `1h30m`, `7d`."""

import re
from math import inf
from typing import Final

LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 3660 * 86400.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS: Final = r"(ms)|(s)(?:ec(?:ond)?s?)?|(m)(?:in(?:ute)?s?)?|(h)(?:(?:ou)?rs?)?|(d)(?:ays?)?"
_PART: Final = rf"([0-9]{{1,7}}(?:\.[0-9]{{1,3}})?) ?(?:{_WORDS})"


class Duration:
    """A length of time; `text` is it as written. Equal lengths are equal however they are written."""

    __slots__ = ("seconds", "text")

    def __init__(self, text: str) -> None:
        """Read `text`; raise ValueError where it is no duration."""
        self.text = text
        self.seconds = self._read(text)

    @staticmethod
    def _read(text: str) -> float:
        return seconds_of(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.seconds == self.seconds

    def __hash__(self) -> int:
        return hash(self.seconds)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class Rate(Duration):
    """How often something is done again; `off` is never, and its seconds are infinite."""

    __slots__ = ()

    @staticmethod
    def _read(text: str) -> float:
        if text == "off":
            return inf
        try:
            return seconds_of(text)
        except ValueError as error:
            raise ValueError(f"{error}, or off") from None


def seconds_of(text: str) -> float:
    """Return the seconds that `text` means: a tenth of one to ten years. Raise ValueError otherwise."""
    seconds = 0.0
    if re.fullmatch(rf"{_PART}(?: ?{_PART})*", text):
        seconds = sum(float(part[0]) * _UNITS["".join(part[1:])] for part in re.findall(_PART, text))
    if LEAST_SECONDS <= seconds <= MOST_SECONDS:
        return seconds
    raise ValueError(f"{text[:40]!r}: expected a duration such as 60s, 5m, 1h or 7d, from 100ms to ten years")


def length(seconds: float) -> str:
    """Return `seconds` for people to read: `90 s`, `1 h 30 min`, `7 days`, `0.5 s`."""
    if seconds < 120:
        return f"{seconds:g} s"
    left, words = round(seconds), []
    for size, name in ((86400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {name}s" if name == "day" and count > 1 else f"{count} {name}")
    return " ".join(words)
