"""Lists in pages: at most `limit` entries, and where the next page begins.

Every list of the operator API is `{"items": [...], "next": "..." | null, "total": n}`. `next` is opaque to
callers: they hand it back as `after`, with the same filters.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from edgewright.server.errors import Fault, InvalidError

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
# What a database keeps as a number has fewer.
_DIGITS = 19
Entry = TypeVar("Entry")


class Page(msgspec.Struct, Generic[Entry], frozen=True, kw_only=True):
    """One page of a list: `next` is null on the last one, `total` counts all that the filters let through."""

    items: list[Entry]
    next: str | None
    total: int


def page_of(
    entries: Sequence[Entry],
    key: Callable[[Entry], str],
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[Entry]:
    """Return the page of `entries` behind the cursor `after`; `key` identifies an entry within its list.

    An entry the cursor names may have gone since: then the page begins with the first one. Raises
    `InvalidError` for a limit out of range or a cursor that this server did not make.
    """
    check_limit(limit)
    start = 0
    if after:
        last = read_cursor(after)
        start = next((index + 1 for index, one in enumerate(entries) if key(one) == last), 0)
    items = list(entries[start : start + limit])
    is_last = start + limit >= len(entries)
    return Page(items=items, next=None if is_last else make_cursor(key(items[-1])), total=len(entries))


def contains(text: str, *fields: str) -> bool:
    """Return whether one of `fields` has `text` in it, whatever the case of its letters."""
    return any(text.casefold() in field.casefold() for field in fields)


def check_limit(limit: int) -> int:
    """Return `limit` if a page may be that long."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidError(
            "there is no such page", Fault(field="limit", message=f"expected 1 to {MAX_LIMIT}")
        )
    return limit


def make_cursor(key: str) -> str:
    """Return a cursor behind the entry of that key."""
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def read_cursor(cursor: str) -> str:
    """Return the key that a cursor stands for."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (ValueError, UnicodeDecodeError) as error:
        raise _no_cursor() from error


def read_number(cursor: str) -> int:
    """Return the number that a cursor stands for, where keys are numbers."""
    key = read_cursor(cursor)
    if not (key.isascii() and key.isdecimal() and len(key) < _DIGITS):
        raise _no_cursor()
    return int(key)


def _no_cursor() -> InvalidError:
    fault = Fault(field="after", message="not a cursor of this server; leave it out for the first page")
    return InvalidError("there is no such page", fault)
