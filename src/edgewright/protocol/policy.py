"""The site's policy: when this device may talk, and when it may change (`policy.yaml`).

A policy is made of layers: what nobody said, what the fleet manager suggests, what the site's own file says.
A later layer outranks an earlier one member by member; a list is one member. Times without a zone are in the
zone of the layer they stand in, so that no layer changes what another one's times mean.

Everything here is pure: what may be done at a moment follows from the policy and that moment.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self

import msgspec

from edgewright.protocol import yaml
from edgewright.protocol.calendar import DAY, WEEK, Interval, Span, intervals, open_at, without
from edgewright.protocol.conversion import member
from edgewright.protocol.durations import Duration, Rate
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.spans import parse_span
from edgewright.protocol.zones import zone_name, zone_of

MAX_BYTES: Final = 64 << 10
MAX_SPANS: Final = 100
HORIZON: Final = 400 * DAY
"""How far ahead of a moment somebody looks for the next one, in seconds."""
DEFAULT: Final = "default"
SUGGESTED: Final = "suggested"
LOCAL: Final = "local"

Spans = Annotated[tuple[Span, ...], msgspec.Meta(max_length=MAX_SPANS)]
Prefetch = (
    Literal["always", "in-window"]
    | Annotated[tuple[Span, ...], msgspec.Meta(min_length=1, max_length=MAX_SPANS)]
)


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of the policy; a member that is not known is a mistake that is told."""


class Polling(_Part, frozen=True, kw_only=True):
    """How often desired state is asked for, and in which periods; always, where there are none."""

    rate: Duration = Duration("60s")
    periods: Spans = ()


class Apply(_Part, frozen=True, kw_only=True):
    """When a change may begin, and whether a person has to allow it; `prefetch`: when it may be fetched."""

    approval: Literal["automatic", "required"] = "automatic"
    approval_valid: Duration = Duration("7d")
    windows: Spans = ()
    prefetch: Prefetch = "always"


class Rollback(_Part, frozen=True, kw_only=True):
    """What becomes of an update that fails; `keep` good revisions besides the running one stay here."""

    automatic: bool = True
    keep: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2


class Report(_Part, frozen=True, kw_only=True):
    """How often the current state is posted again though nothing changed; changes are posted at once."""

    rate: Rate = Rate("1h")


class Policy(_Part, frozen=True, kw_only=True):
    """The whole policy. `downtime`: no contact at all, and none is missed."""

    time_zone: str = "UTC"
    polling: Polling = Polling()
    downtime: Spans = ()
    apply: Apply = Apply()
    rollback: Rollback = Rollback()
    repair: Literal["automatic", "report-only"] = "automatic"
    report: Report = Report()

    @classmethod
    def parse(cls, data: bytes, *, source: str) -> Self:
        """Read a file's bytes; what it leaves out is as by default. Raises DocumentError."""
        return cls.from_plain(parse_layer(data, source=source), source=source)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], *, source: str = "policy") -> Self:
        """Check and convert an already decoded policy. Raises DocumentError with the path."""
        zone = _zone(plain, source)
        try:
            return msgspec.convert(plain, cls, dec_hook=lambda kind, value: _read(kind, value, zone))
        except msgspec.ValidationError as error:
            raise _explained(str(error), source) from None

    def to_plain(self) -> dict[str, Any]:
        """Return it in full as plain values, the times with their zones."""
        return _plain(self)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one `origin` says: the members it sets, as `parse_layer` returns them."""

    origin: str
    plain: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The policy that holds, and who said each member of it, by its dotted path (`polling.rate`)."""

    policy: Policy
    origins: Mapping[str, str]


def parse_layer(data: bytes, *, source: str) -> dict[str, Any]:
    """Return the members that a file sets, checked, its times with their zones. Raises DocumentError.

    A file of comments alone sets nothing, and a name without a value is as good as none.
    """
    loaded = None if _is_silent(data) else yaml.load(data, source=source, limit=MAX_BYTES)
    plain = {} if loaded is None else _said(loaded)
    try:
        if not isinstance(plain, dict):
            raise DocumentError("expected members such as polling: and apply:", source=source)
        whole = Policy.from_plain(plain, source=source)
    except DocumentError as error:
        line = yaml.line_of(data, error.path)
        if line is None:
            raise
        raise DocumentError(error.detail, source=f"{source}:{line}", path=error.path) from None
    return _chosen(whole.to_plain(), plain)


def layered(layers: Sequence[Layer]) -> InForce:
    """Return what `layers` say together, a later one outranking an earlier one."""
    plain = Policy().to_plain()
    origins = dict.fromkeys((path for path, _ in leaves(plain)), DEFAULT)
    for layer in layers:
        for path, value in leaves(layer.plain):
            *parents, name = path.split(".")
            place = plain
            for each in parents:
                place = place[each]
            place[name] = value
            origins[path] = layer.origin
    return InForce(policy=Policy.from_plain(plain), origins=origins)


def leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of every member of a plain policy, in its order."""
    for name, value in plain.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def may_contact(policy: Policy, now: float) -> bool:
    """Whether the device may talk to its fleet manager at all at `now`."""
    return not open_at(policy.downtime, now)


def may_poll(policy: Policy, now: float) -> bool:
    """Whether the device may ask for desired state at `now`."""
    return may_contact(policy, now) and (not policy.polling.periods or open_at(policy.polling.periods, now))


def polling(policy: Policy, start: float, end: float) -> tuple[Interval, ...]:
    """Return when desired state may be asked for from `start` to `end`; downtime is left out."""
    periods = policy.polling.periods
    allowed = intervals(periods, start, end) if periods else ((start, end),)
    return without(allowed, intervals(policy.downtime, start, end))


def next_poll(policy: Policy, now: float) -> float | None:
    """Return the first moment from `now` on at which polling is allowed; None if not within the horizon."""
    return next((begin for begin, _ in _near(lambda end: polling(policy, now, end), now)), None)


def may_apply(policy: Policy, now: float) -> bool:
    """Whether a change may begin at `now`, as far as windows go."""
    return not policy.apply.windows or open_at(policy.apply.windows, now)


def next_window(policy: Policy, now: float) -> Interval | None:
    """Return the window that is open at `now`, or the next one; None when there is none within the horizon.

    Where no windows are set everything from `now` to the horizon is one.
    """
    windows = policy.apply.windows
    if not windows:
        return now, now + HORIZON
    return next(iter(_near(lambda end: intervals(windows, now, end), now)), None)


def may_prefetch(policy: Policy, now: float) -> bool:
    """Whether what a held change needs may be fetched at `now`."""
    match policy.apply.prefetch:
        case "always":
            return True
        case "in-window":
            return may_apply(policy, now)
        case spans:
            return open_at(spans, now)


_Parts = Callable[[float], tuple[Interval, ...]]


def _near(parts: _Parts, now: float) -> tuple[Interval, ...]:
    """Return `parts` up to a week ahead, or up to the horizon where there are none so soon."""
    return parts(now + WEEK + DAY) or parts(now + HORIZON)


def _read(kind: type, value: object, zone: str) -> object:
    """Make what msgspec does not know from the text of a file."""
    if not isinstance(value, str):
        raise ValueError(_EXPECTED[kind] + f", got {value!r}"[:60])
    return parse_span(value, zone) if kind is Span else kind(value)


_EXPECTED: Final = {
    Span: "expected text such as 'Mon-Fri 06:00-22:00 Europe/Berlin'",
    Duration: "expected a duration with its unit, such as 60s, 5m, 1h or 7d",
    Rate: "expected a duration with its unit, such as 60s or 1h, or off",
}
_PARTS: Final[Mapping[str, type[_Part]]] = {
    "$": Policy, "$.polling": Polling, "$.apply": Apply, "$.rollback": Rollback, "$.report": Report,
}  # fmt: skip
_WORDS: Final = {
    "$.apply.approval": "automatic or required",
    "$.apply.prefetch": "always, in-window or a list of times",
    "$.repair": "automatic or report-only",
    "$.rollback.keep": "a whole number from 0 to 100",
    "$.timeZone": "the name of a time zone, such as Europe/Berlin",
}


def _zone(plain: Mapping[str, Any], source: str) -> str:
    """Return the zone of times without one."""
    name = plain.get("timeZone", "UTC")
    if not isinstance(name, str):
        return "UTC"  # the conversion says what is wrong
    try:
        zone_of(zone_name(name))
    except ValueError as error:
        raise DocumentError(str(error), source=source, path="$.timeZone") from None
    return zone_name(name)


def _explained(said: str, source: str) -> DocumentError:
    """Return msgspec's error as one that names the exact path and what to write there."""
    message, _, place = said.rpartition(" - at ")
    path = place.strip("`") if message else "$"
    message = message or said
    if unknown := re.match(r"Object contains unknown field `(.*)`\Z", message, re.DOTALL):
        name = unknown[1]
        return DocumentError(_unknown(name, path), source=source, path=member(path, name))
    if path in _WORDS:
        message = f"expected {_WORDS[path]}"
    elif message.startswith("Expected `array` of length"):
        message = f"expected at most {MAX_SPANS} times"
    elif message.startswith("Expected `array`"):
        message = "expected a list, such as ['Mon-Fri 06:00-22:00 Europe/Berlin']"
    elif message.startswith("Expected `object`"):
        message = f"expected the members {', '.join(_PARTS[path].__struct_encode_fields__)}"
    elif message.startswith("Expected `bool`"):
        message = "expected true or false"
    else:
        message = message[0].lower() + message[1:].replace("`", "")
    return DocumentError(message, source=source, path=path)


def _unknown(name: str, path: str) -> str:
    """Return what to say of a member that does not exist: where it belongs, or the nearest there is."""
    here = _PARTS[path].__struct_encode_fields__
    for place, part in _PARTS.items():
        if name in part.__struct_encode_fields__:
            return f"is not known here; it belongs to {place.removeprefix('$.')}"
    near = get_close_matches(name, here, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(here)}"
    return f"is not known; {hint}"


def _is_silent(data: bytes) -> bool:
    """Whether a file has nothing but comments; to refuse what is too large or no text is for `yaml`."""
    try:
        text = data[: MAX_BYTES + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    lines = (line.strip() for line in text.splitlines())
    return len(data) <= MAX_BYTES and all(not line or line.startswith("#") for line in lines)


def _said(value: Any) -> Any:
    """Return `value` without the names that have no value, at any depth."""
    if isinstance(value, dict):
        return {name: _said(item) for name, item in value.items() if item is not None}
    return value


def _chosen(whole: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of `whole` that `chosen` has as well."""
    return {
        name: _chosen(whole[name], item) if isinstance(item, Mapping) else whole[name]
        for name, item in chosen.items()
    }


def _plain(value: Any) -> Any:
    """Return a policy or a part of it as plain dicts, lists and scalars; what is ours in words."""
    match value:
        case _Part():
            names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
            return {wire: _plain(getattr(value, name)) for name, wire in names}
        case tuple():
            return [_plain(item) for item in value]
        case str() | bool() | int():
            return value
    return str(value)
