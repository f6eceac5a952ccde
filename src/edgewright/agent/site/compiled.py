"""Compiles the policy into the timetable, the plain numbers that the watch compares with its clock.

Pure. A timetable reaches a little back and a year ahead, or as far as a few hundred periods do. It is written
anew only when it says something else or is used up by half: a device's flash does not pay for every round.
"""

import json
from collections.abc import Sequence
from math import floor, isinf
from typing import Any, Final

from edgewright.agent.state.store import Store
from edgewright.agent.talk.timetable import TIMETABLE
from edgewright.protocol.calendar import DAY, Span, intervals
from edgewright.protocol.policy import HORIZON, Policy

BACK: Final = DAY
"""How far it reaches back, in seconds, so that a clock set back a little needs no other."""
MOST_INTERVALS: Final = 800


def compile_timetable(policy: Policy, now: float, before: str | None = None) -> str:
    """Return the timetable at `now` (unix seconds) as JSON: `before` where that will do."""
    compiled = _compile(policy, now)
    if before and _will_do(_read(before), compiled, now):
        return before
    return json.dumps(compiled, separators=(",", ":"))


def keep_timetable(store: Store, policy: Policy, now: float) -> bool:
    """Leave the timetable for the watch; return whether it is a new one."""
    before = store.meta(TIMETABLE)
    text = compile_timetable(policy, now, before)
    store.set_meta(TIMETABLE, text)
    return text != before


def _compile(policy: Policy, now: float) -> dict[str, Any]:
    begin, end = floor(now) - BACK, floor(now) + HORIZON
    periods, downtime = policy.polling.periods, policy.downtime
    polls = _intervals(periods, begin, end) if periods else None
    silent = _intervals(downtime, begin, end)
    too_many = [each[MOST_INTERVALS][0] for each in (polls or [], silent) if len(each) > MOST_INTERVALS]
    end = min([end, *too_many])
    report = policy.report.rate.seconds
    return {
        "poll": policy.polling.rate.seconds,
        "report": None if isinf(report) else report,
        "polls": None if polls is None else _clipped(polls, begin, end),
        "downtime": _clipped(silent, begin, end),
        "from": begin,
        "until": end,
    }


def _intervals(spans: Sequence[Span], begin: int, end: int) -> list[tuple[int, int]]:
    """Return `intervals` in whole seconds, which is what they are between whole seconds."""
    return [(int(opens), int(closes)) for opens, closes in intervals(spans, begin, end)]


def _read(text: str) -> dict[str, Any]:
    """Return what was left before; nothing where that was no timetable of this kind."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _will_do(before: dict[str, Any], compiled: dict[str, Any], now: float) -> bool:
    """Whether `before` says the same as far as both reach, and reaches far enough."""
    if before.keys() != compiled.keys():
        return False
    begin, end = max(before["from"], compiled["from"]), min(before["until"], compiled["until"])
    return bool(
        before["from"] <= now
        and (before["until"] - now) * 2 > compiled["until"] - now
        and all(before[name] == compiled[name] for name in ("poll", "report"))
        and all(_same(before[name], compiled[name], begin, end) for name in ("polls", "downtime"))
    )


def _same(
    before: Sequence[Sequence[float]] | None,
    compiled: Sequence[Sequence[float]] | None,
    begin: float,
    end: float,
) -> bool:
    if before is None or compiled is None:
        return before is compiled
    return _clipped(before, begin, end) == _clipped(compiled, begin, end)


def _clipped(parts: Sequence[Sequence[float]], begin: float, end: float) -> list[list[float]]:
    cut = ([max(opens, begin), min(closes, end)] for opens, closes in parts)
    return [part for part in cut if part[0] < part[1]]
