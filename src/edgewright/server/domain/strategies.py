"""How an assignment reaches its devices: in which batches, how carefully, and what an error means.

A batch is written as a number of devices (`5`), a part of all of them (`10%`), or a selector
(`site=berlin`). Read strictly, so that a mistyped word is told and not taken for a default.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from edgewright.protocol.durations import Duration
from edgewright.server.domain.labels import Selector
from edgewright.server.errors import Fault, InvalidError

MOST_BATCHES: Final = 100
_HOUR: Final = Duration("1h")
_PERCENT = re.compile(r"([0-9]{1,3}) ?%")
_SIZE = re.compile(r"[0-9]{1,9}")


class OnError(StrEnum):
    """What becomes of a rollout with too many failures.

    `stop` begins with no further device, `continue` goes on all the same, `revert` gives every device back
    what it had before.
    """

    STOP = "stop"
    CONTINUE = "continue"
    REVERT = "revert"


class Then(StrEnum):
    """What becomes of a device that is absent or held back on its site for longer than the patience.

    `go-on` goes on without it and watches it still, `wait` stands still until it is there, `fail` counts it
    as failed.
    """

    GO_ON = "go-on"
    WAIT = "wait"
    FAIL = "fail"


class PauseAfter(StrEnum):
    """After which batches a person has to say how it goes on; a tuple of numbers names others."""

    NEVER = "never"
    FIRST = "first"
    EVERY = "every"


@dataclass(frozen=True, slots=True)
class Share:
    """A number of devices, or that many percent of all; never none, and never rounded up."""

    number: int
    is_percent: bool = False

    def of(self, total: int) -> int:
        """Return how many of `total` devices it is, at least 1."""
        return max(1, math.floor(total * self.number / 100) if self.is_percent else self.number)

    @property
    def plain(self) -> int | str:
        """As it is written."""
        return f"{self.number}%" if self.is_percent else self.number

    def __str__(self) -> str:
        return f"{self.number} %" if self.is_percent else str(self.number)


Batch = Share | Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device that a rollout is for; sizes and percents take those first that can be reached."""

    client_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_reachable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How one assignment is rolled out; what is not said is all at once, and a stop at the first failure.

    `canary` is a batch before all others. The last of `batches` is repeated until every device has one, if
    it is a number or a percentage. `success_threshold` is how many percent of a batch must not fail,
    `max_failures` how many devices may fail in all (None: as the threshold says). At most
    `disruption_budget` devices are under way or failed at once. A batch has to stay well for `soak` before
    the next begins. A device that works on it may take `timeout`; one that is silent, or held back on its
    site, is waited for for `patience`, and then `absent` decides.
    """

    canary: Batch | None = None
    batches: tuple[Batch, ...] = ()
    pause_after: PauseAfter | tuple[int, ...] = PauseAfter.NEVER
    success_threshold: int = 100
    max_failures: int | None = None
    disruption_budget: Share | None = None
    soak: Duration | None = None
    timeout: Duration = _HOUR
    patience: Duration = _HOUR
    absent: Then = Then.GO_ON
    on_error: OnError = OnError.STOP

    @classmethod
    def from_plain(cls, plain: object, *, field: str = "strategy") -> "Strategy":
        """Read what JSON or YAML gave; raises `InvalidError` with every fault, each under its path."""
        return _Reader(field).read(plain)

    def to_plain(self) -> dict[str, Any]:
        """Return what `from_plain` reads: what differs from the defaults, and nothing else."""
        default = Strategy()
        return {
            name: _plain(getattr(self, name))
            for name in _NAMES
            if getattr(self, name) != getattr(default, name)
        }

    def in_haste(self) -> "Strategy":
        """Return how what went wrong is taken back: all at once, whatever fails, within the budget."""
        return Strategy(
            disruption_budget=self.disruption_budget, success_threshold=0, on_error=OnError.CONTINUE
        )

    def pauses_after(self, batch: int) -> bool:
        """Whether a person has to say how it goes on after this batch (from 1)."""
        match self.pause_after:
            case PauseAfter.NEVER:
                return False
            case PauseAfter.FIRST:
                return batch == 1
            case PauseAfter.EVERY:
                return True
            case numbers:
                return batch in numbers

    def budget(self, total: int) -> int:
        """Return how many of `total` devices may be under way or failed at once."""
        return total if self.disruption_budget is None else self.disruption_budget.of(total)

    def allowed_failures(self, members: int) -> int:
        """Return how many of a batch of that size may fail."""
        return members * (100 - self.success_threshold) // 100


def in_batches(strategy: Strategy, candidates: Sequence[Candidate]) -> list[list[str]]:
    """Return the client ids batch by batch; each is in exactly one, and none of the batches is empty."""
    left = sorted(candidates, key=lambda one: (not one.is_reachable, one.client_id))
    total = len(left)
    planned: list[list[str]] = []

    def take(batch: Batch) -> None:
        nonlocal left
        if isinstance(batch, Selector):
            taken = [one for one in left if batch.matches(one.labels)]
        else:
            taken = left[: batch.of(total)]
        names = {one.client_id for one in taken}
        left = [one for one in left if one.client_id not in names]
        if taken:
            planned.append([one.client_id for one in taken])

    if strategy.canary is not None:
        take(strategy.canary)
    for batch in strategy.batches:
        take(batch)
    rest = strategy.batches[-1] if strategy.batches else None
    size = rest.of(total) if isinstance(rest, Share) else max(1, len(left))
    names = [one.client_id for one in left]
    return planned + [names[start : start + size] for start in range(0, len(names), size)]


def batch_of(value: object) -> Batch:
    """Read one batch; raises `ValueError` or `InvalidError` for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _checked(Share(value))
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a number of devices (5), a percentage (10%) or a selector (site=berlin)")
    text = value.strip()
    if found := _PERCENT.fullmatch(text):
        return _checked(Share(int(found[1]), is_percent=True))
    return _checked(Share(int(text))) if _SIZE.fullmatch(text) else Selector.parse(text)


def _checked(share: Share) -> Share:
    if share.number < 1 or (share.is_percent and share.number > 100):
        raise ValueError("expected 1% to 100%" if share.is_percent else "expected at least 1")
    return share


def _share(value: object) -> Share:
    try:
        read = batch_of(value)
    except InvalidError:
        read = None
    if not isinstance(read, Share):
        raise ValueError("expected a number of devices (5) or a percentage (10%)")
    return read


def _batches(value: object) -> tuple[Batch, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError('expected a list, for example [1, "10%", "site=berlin"]')
    if len(value) > MOST_BATCHES:
        raise ValueError(f"expected at most {MOST_BATCHES}; the last number or percentage is repeated")
    return tuple(_at(batch_of, one, f"[{index}]") for index, one in enumerate(value))


def _at(read: Any, value: object, where: str) -> Any:
    """Read an entry of a list, naming where it stands if it is wrong."""
    try:
        return read(value)
    except InvalidError as error:
        raise ValueError(f"{where}: {error.faults[0].message}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _pause_after(value: object) -> PauseAfter | tuple[int, ...]:
    if isinstance(value, list | tuple):
        numbers = [_number(one, 1, 1_000_000) for one in value]
        return tuple(sorted(set(numbers))) or PauseAfter.NEVER
    try:
        return PauseAfter(value)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError("expected never, first, every, or numbers of batches such as [1, 3]") from error


def _word(kind: type[StrEnum]) -> Any:
    def read(value: object) -> StrEnum:
        try:
            return kind(str(value))
        except ValueError as error:
            raise ValueError(f"expected {', '.join(kind)}") from error

    return read


def _number(value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"expected a whole number from {least} to {most}")
    return value


def _duration(value: object) -> Duration:
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 60s, 5m, 1h or 7d")
    return Duration(value)


def _plain(value: object) -> object:
    match value:
        case Share():
            return value.plain
        case Selector():
            return value.text
        case Duration():
            return value.text
        case StrEnum():
            return value.value
        case tuple():
            return [_plain(one) for one in value]
        case _:
            return value


_READERS: Final[Mapping[str, Any]] = {
    "canary": batch_of,
    "batches": _batches,
    "pause_after": _pause_after,
    "success_threshold": lambda value: _number(value, 0, 100),
    "max_failures": lambda value: _number(value, 0, 1_000_000),
    "disruption_budget": _share,
    "soak": _duration,
    "timeout": _duration,
    "patience": _duration,
    "absent": _word(Then),
    "on_error": _word(OnError),
}
_NAMES: Final = tuple(_READERS)


class _Reader:
    """Reads one strategy and gathers everything that is wrong with it."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._faults: list[Fault] = []

    def read(self, plain: object) -> Strategy:
        if not isinstance(plain, Mapping):
            raise InvalidError(
                "the strategy cannot be used", Fault(field=self._field, message="expected an object")
            )
        values = {name: self._one(str(name), value) for name, value in plain.items() if value is not None}
        if self._faults:
            raise InvalidError("the strategy cannot be used", *self._faults)
        return Strategy(**values)

    def _one(self, name: str, value: object) -> Any:
        where = f"{self._field}.{name}" if self._field else name
        read = _READERS.get(name)
        if read is None:
            self._faults.append(
                Fault(field=where, message=f"nothing of this name; known: {', '.join(_NAMES)}")
            )
            return None
        try:
            return read(value)
        except InvalidError as error:
            self._faults.append(Fault(field=where, message=error.faults[0].message))
        except ValueError as error:
            self._faults.append(Fault(field=where, message=str(error)))
        return None
