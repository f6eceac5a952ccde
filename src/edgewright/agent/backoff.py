"""How long to wait before the next attempt: arithmetic, and the chance that goes into it (spec: RT-4, RT-5).

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os

FIRST_SECONDS = 2.0
CEILING_SECONDS = 300.0
NOT_RETRYABLE_SECONDS = 900.0


def pause(
    failures: int,
    jitter: float,
    *,
    first: float = FIRST_SECONDS,
    ceiling: float = CEILING_SECONDS,
    at_least: float | None = None,
    fixed: bool = False,
) -> float:
    """Return the seconds to wait after `failures` (1 or more) attempts in a row went wrong.

    Doubles from `first` up to `ceiling`; `jitter` (0 to 1) spreads a fleet over the upper half of it.
    `at_least` is what the other side asked for (Retry-After): growth starts there, nothing is ever
    shorter, and with `fixed` it does not grow.
    """
    start = first if at_least is None else max(at_least, 0.001)
    doublings = 0 if fixed else min(max(failures, 1) - 1, 30)
    whole = min(start * 2.0**doublings, max(ceiling, start))
    if at_least is None:
        return whole * (0.5 + 0.5 * jitter)
    return max(at_least, whole) + min(whole, ceiling) * 0.1 * jitter


def spread(seconds: float, jitter: float) -> float:
    """Return `seconds`, give or take a twentieth: devices started together do not poll together."""
    return seconds * (0.95 + 0.1 * jitter)


def jitter() -> float:
    """Return a random number from 0 to 1."""
    return int.from_bytes(os.urandom(2), "big") / 65535
