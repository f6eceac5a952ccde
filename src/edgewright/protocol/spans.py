"""How a person writes spans of time, read forgivingly; what could mean two things is refused and explained.

    Mon-Fri 06:00-22:00 Europe/Berlin          Sat,Sun 22:00-04:00           over midnight, to the next day
    daily 02:00-05:00, 13:00-14:00             Sat-Sun                       whole days
    Fri 18:00 - Mon 06:00                      one stretch over several days
    2026-12-24 12:00 .. 2027-01-02 06:00       2026-12-24 .. 2027-01-02      the last day too
    2026-12-24 08:00-12:00                     2026-12-24

A text becomes a row of tokens of a few kinds, and which kinds follow each other tells what is meant.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, NoReturn

from edgewright.protocol.calendar import DAY, HOUR, MINUTE, WEEK, Dated, Span, Weekly
from edgewright.protocol.zones import zone_name, zone_of

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_GROUPS: Final = {
    "daily": range(7), "everyday": range(7), "weekday": range(5), "weekdays": range(5),
    "weekend": range(5, 7), "weekends": range(5, 7),
}  # fmt: skip
_ALWAYS: Final = frozenset({"always", "24/7", "any", "anytime", "all"})
_HOURS: Final = "the hours of a day go from 00:00 to 24:00, such as 06:00-19:00"
_LONGEST: Final = 200  # characters
_YEARS: Final = range(1970, 2200)
_EXAMPLE: Final = "write it like 'Mon-Fri 06:00-22:00 Europe/Berlin'"
_DATES: Final = "write it like '2026-12-24 12:00 .. 2027-01-02 06:00 Europe/Berlin'"

_REWRITTEN: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"[\u2010-\u2015\u2212]", "-"),
        (r"\u2026|\.{3}", ".."),
        (r"(?<=[\s\d])(?:to|until|till|through|thru)(?=[\s\d])", "-"),
        (r",?\s+and\s+|\s*[&;]", ", "),
        (r"\b(?:from|on|between|in)\s+", ""),
        (r"\(([^()]*)\)\s*$", r" \1"),
        (r"\bevery\s*day\b", "daily"),
        (r"\bevery\s+", ""),
        (r"(?<=[a-z]):(?=\s|$)", ""),
        (r"(?<=\d)T(?=\d)", " "),
        (r"(?<=:\d\d)\s?h\b", ""),
        (r"/(?=(?:mon|tue|wed|thu|fri|sat|sun)\b)", ","),
        (r"\s+,", ","),
    )
)
_TOKEN: Final = re.compile(
    r"(?P<D>\d{4}-\d{1,2}-\d{1,2}(?!\d))|(?P<T>\d{1,2}:\d{2}(?!\d|:|\.\d))|(?P<W>[A-Za-z]+)|(?P<to>-|\.\.)|(?P<and>,)"
)
_LETTERS: Final = {"to": "~", "and": ","}
# Shapes of a row of tokens: D a date, T a time, W a word, ~ from here to there, and commas.
_WEEKLY: Final = re.compile(
    r"(?P<days>(?:W(?:~W)?,?)*)(?P<times>(?:T~T,?)*)|(?P<times_first>(?:T~T,?)+)(?P<days_last>(?:W(?:~W)?,?)+)"
)
_OVER_DAYS: Final = re.compile(r"WT~WT")
_DATED: Final = re.compile(r"DT?~DT?|D|DT~T")


class _Token(NamedTuple):
    kind: str
    text: str


def parse_span(text: str, zone: str = "UTC") -> Span:
    """Return what `text` means, with `zone` where it names none; raise ValueError with what to write."""
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters; {_EXAMPLE}")
    if text.strip().lower() in _ALWAYS:
        raise ValueError(f"'{text}' is no span; for always leave the list empty, or write 'daily'")
    if re.search(r"\d\s?[ap]m\b", text, re.IGNORECASE):
        raise ValueError(f"'{text}': {_HOURS}")
    plain = _plain(text)
    body, named = _without_zone(plain)
    if not body:
        _refuse_nothing(text)
    zone = zone_name(named) if named else zone
    zone_of(zone)
    said = f"{body} {zone}"
    tokens = tuple(_tokens(body))
    kinds = "".join(token.kind for token in tokens)
    if _DATED.fullmatch(kinds):
        begin, end = _dates(tokens, kinds)
        return Dated(text=said, zone=zone, begin=begin, end=end)
    if _OVER_DAYS.fullmatch(kinds):
        day, time = _over_days(*(token.text for token in tokens if token.kind != "~"))
        return Weekly(text=said, zone=zone, days=(day,), times=(time,))
    if not _WEEKLY.fullmatch(kinds):
        _refuse_shape(body, kinds)
    if "W" not in kinds:
        # '[Mon 06:00-12:00, 13:00-17:00]' is a list of two in YAML: the second must not mean every day.
        raise ValueError(
            f"'{body}' names no day: 'daily {body}'? Where a comma has split it, put it in quotes"
        )
    days = tuple(_days([token for token in tokens if token.kind in "W~,"], kinds))
    times = [token.text for token in tokens if token.kind == "T"]
    pairs = tuple(_times(*pair) for pair in zip(times[::2], times[1::2], strict=True))
    return Weekly(text=said, zone=zone, days=tuple(sorted(set(days))), times=pairs or ((0, DAY),))


def _plain(text: str) -> str:
    """Return `text` with one way of writing where people have several."""
    for pattern, plain in _REWRITTEN:
        text = pattern.sub(plain, text)
    return " ".join(text.split())


def _without_zone(text: str) -> tuple[str, str]:
    """Return days and times, and what stands behind them: the time zone."""
    chunks = text.split()
    count = len(chunks)
    while count and not _says_when(chunks[count - 1]):
        count -= 1
    return " ".join(chunks[:count]), " ".join(chunks[count:])


def _says_when(chunk: str) -> bool:
    if chunk[0].isdigit():
        return True
    return chunk[0] not in "+(" and all(_days_called(word) for word in re.findall(r"[A-Za-z]+", chunk))


def _tokens(body: str) -> Iterator[_Token]:
    at = 0
    while at < len(body):
        found = _TOKEN.match(body, at)
        if found is None:
            _refuse_piece(body, at)
        kind = found.lastgroup or ""
        yield _Token(_LETTERS.get(kind, kind), found[0])
        at = found.end() + (body[found.end() : found.end() + 1] == " ")


def _days_called(word: str) -> Sequence[int]:
    """Return the days `word` means: a group, or a name of at least three letters; none for other words."""
    known = word.lower()
    if known in _GROUPS:
        return _GROUPS[known]
    known = {"weds": "wed"}.get(known, known)
    singular = known.removesuffix("s") if len(known) > 5 else known
    return [
        number
        for number, name in enumerate(DAYS)
        if len(known) >= 3 and (name.lower().startswith(known) or name.lower() == singular)
    ]


def _day(word: str) -> int:
    days = _days_called(word)
    if not days:
        raise ValueError(f"'{word}' is no day; the days are Mon, Tue, Wed, Thu, Fri, Sat, Sun and daily")
    if len(days) > 1:
        raise ValueError(f"'{word}' is more than one day, and here is room for one, such as Mon")
    return days[0]


def _days(tokens: Sequence[_Token], kinds: str) -> Iterator[int]:
    """Yield every day of a list such as `Mon-Wed,Fri`; the tokens of times are left out of `tokens`."""
    words = iter(_day_items(tokens, kinds))
    for first, last in words:
        if last is None:
            found = _days_called(first)
            yield from found or [_day(first)]
        elif _day(first) == _day(last):
            raise ValueError(f"'{first}-{last}' is one day or seven; write '{first}' or 'daily'")
        else:
            yield from ((_day(first) + more) % 7 for more in range((_day(last) - _day(first)) % 7 + 1))


def _day_items(tokens: Sequence[_Token], kinds: str) -> Iterator[tuple[str, str | None]]:
    """Yield (first, last) of every range of days, (day, None) of a single one."""
    found = _WEEKLY.fullmatch(kinds)
    assert found is not None  # noqa: S101 - asked before
    shape = found["days"] or found["days_last"] or ""
    words = iter([token.text for token in tokens if token.kind == "W"])
    for item in re.findall(r"W~W|W", shape):
        yield next(words), next(words) if item == "W~W" else None


def _times(begin: str, end: str) -> tuple[int, int]:
    """Return (begin, end) in seconds of a day, the end beyond 24 hours where it is over midnight."""
    first, last = _begin(begin), _seconds(end)
    if first == last:
        raise ValueError(
            f"'{begin}-{end}' begins and ends at the same time; for a whole day leave the times out"
        )
    return first, last if last > first else last + DAY


def _over_days(first_day: str, begin: str, last_day: str, end: str) -> tuple[int, tuple[int, int]]:
    day, first, last = _day(first_day), _begin(begin), _seconds(end)
    length = ((_day(last_day) - day) * DAY + last - first) % WEEK
    if length == 0:
        raise ValueError("begins and ends at the same moment of the week; for always leave the list empty")
    return day, (first, first + length)


def _begin(text: str) -> int:
    seconds = _seconds(text)
    if seconds == DAY:
        raise ValueError("24:00 can only be an end; a day begins at 00:00")
    return seconds


def _seconds(text: str) -> int:
    hours, _, minutes = text.partition(":")
    seconds = int(hours) * HOUR + int(minutes) * MINUTE
    if int(minutes) > 59 or seconds > DAY:
        raise ValueError(f"'{text}' is no time of day; they go from 00:00 to 24:00")
    return seconds


def _dates(tokens: Sequence[_Token], kinds: str) -> tuple[int, int]:
    """Return begin and end in wall seconds; a date alone is the whole day, the last one included."""
    first = _midnight(tokens[0].text)
    if kinds == "D":
        return first, first + DAY
    if kinds == "DT~T":
        begin, end = _times(tokens[1].text, tokens[3].text)
        return first + begin, first + end
    begin = first + (_begin(tokens[1].text) if tokens[1].kind == "T" else 0)
    final = tokens[-1]
    if final.kind == "T":
        end = _midnight(tokens[-2].text) + _seconds(final.text)
    else:
        end = _midnight(final.text) + DAY
    if end <= begin:
        raise ValueError("ends before it begins, or at the same moment; the earlier date comes first")
    return begin, end


def _midnight(date: str) -> int:
    year, month, day = (int(part) for part in date.split("-"))
    try:
        midnight = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        raise ValueError(f"there is no date {date}; dates are year-month-day, such as 2026-12-24") from None
    if year not in _YEARS:
        raise ValueError(f"the year in {date} is not between {_YEARS[0]} and {_YEARS[-1]}")
    return round(midnight.timestamp())


def _refuse_nothing(text: str) -> NoReturn:
    said = f"'{text}' names" if text.strip() else "names"
    raise ValueError(f"{said} neither a day nor a time; {_EXAMPLE}")


def _refuse_piece(body: str, at: int) -> NoReturn:
    """Refuse the piece of `body` around `at`, which is no token; say why where the mistake is a usual one."""
    piece = body[body.rfind(" ", 0, at) + 1 :].split(maxsplit=1)[0]
    if re.match(r"\d{1,2}:\d{2}:\d{2}", piece):
        raise ValueError(f"'{piece}': times are hours and minutes, such as 06:00")
    if re.match(r"\d{1,2}\.\d{1,2}\.(\d{2}|\d{4})?", piece) or re.match(r"\d{1,4}/\d{1,2}", piece):
        raise ValueError(f"'{piece}': dates are year-month-day; {_DATES}")
    if re.match(r"\d{1,2}-\d{1,2}(?!\d*:)", piece):
        raise ValueError(f"'{piece}': times have minutes (06:00-22:00), and dates a year (2026-12-24)")
    if re.match(r"\d", piece):
        raise ValueError(f"'{piece}' is neither a time such as 06:00 nor a date such as 2026-12-24")
    if piece[0] in "+(" or "/" in piece:
        raise ValueError(f"'{piece}' in '{body}': a time zone comes last, once, and by its name; {_EXAMPLE}")
    raise ValueError(f"'{piece}' in '{body}' is not understood; {_EXAMPLE}")


def _refuse_shape(body: str, kinds: str) -> NoReturn:
    """Refuse tokens that are understood but not in this order."""
    if "D" in kinds and re.search(r"\dZ\b", body, re.IGNORECASE):
        raise ValueError(f"'{body}': a time zone comes last, once, and by its name; {_DATES}")
    if "D" in kinds and "W" in kinds:
        raise ValueError(f"'{body}' has a date and a day of the week; write one of them")
    if "D" in kinds:
        raise ValueError(f"'{body}': dates have a begin and an end; {_DATES}")
    if re.search(r"T,?W", kinds) and re.search(r"W,?T", kinds):
        raise ValueError(f"'{body}' has different times for different days; make each an entry of its own")
    if re.search(r"(?<!~)T(?!~)|~$|^~", kinds):
        raise ValueError(f"'{body}' says when it begins but not when it ends; {_EXAMPLE}")
    raise ValueError(f"'{body}' is not understood; {_EXAMPLE}")
