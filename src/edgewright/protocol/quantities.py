"""Amounts of memory and storage: text of the documents to bytes and back (spec: MAT-4, OP-7)."""

import re
from fractions import Fraction
from typing import Final

UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_QUANTITY = re.compile(r"([0-9]{1,200}(?:\.[0-9]{1,9})?) ?(Ki|Mi|Gi|Ti|Pi|Ei)\Z")


def parse_quantity(text: str) -> int:
    """Return the bytes `text` means, such as `512Mi`, `59 Gi` or `1.5Gi`; raise ValueError otherwise.

    Blank and decimals are accepted (OP-7), `render_quantity` writes neither. As many digits are read as
    requirements may have (MAT-4 sets no limit, so ours is far beyond what there is).
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text[:40]!r}: expected digits and one of {', '.join(UNITS)}")
    return int(Fraction(match[1]) * UNITS[match[2]])


def render_quantity(amount_bytes: int) -> str:
    """Return the shortest exact text for a whole number of KiB, rounding down to it."""
    unit = max(
        (unit for unit, size in UNITS.items() if amount_bytes >= size and amount_bytes % size == 0),
        key=UNITS.__getitem__,
        default="Ki",
    )
    return f"{amount_bytes // UNITS[unit]}{unit}"
