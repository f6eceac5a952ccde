"""Labels of devices, and selectors over them: `site=berlin, line in (1, 2), !spare`.

The grammar is the one people know from Kubernetes; all requirements of a selector have to hold. A device's
labels are those it reports, and over them those that operators gave it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from edgewright.server.errors import Fault, InvalidError

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,252}[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?"
_IN_SET = re.compile(rf"(?P<key>{_NAME})\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(rf"(?P<key>{_NAME})\s*(?P<operator>==|=|!=)\s*(?P<value>(?:{_VALUE})?)")
_PRESENCE = re.compile(rf"(?P<negated>!)?\s*(?P<key>{_NAME})")
MAX_SELECTOR = 1_000


class Operator(StrEnum):
    """How a requirement looks at a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `notin` also holds where there is no such label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these labels meets it."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that all have to hold; none at all select every device."""

    text: str
    requirements: tuple[Requirement, ...]

    @classmethod
    def parse(cls, text: str, *, field: str = "selector") -> "Selector":
        """Read a selector; raises `InvalidError` for `field`, saying what was not understood."""
        if len(text) > MAX_SELECTOR:
            raise _wrong(field, f"longer than {MAX_SELECTOR} characters")
        requirements = tuple(_requirement(part, field) for part in _parts(text))
        return cls(text=text.strip(), requirements=requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these labels is selected."""
        return all(requirement.holds(labels) for requirement in self.requirements)


def check_labels(labels: Mapping[str, str], *, field: str = "labels") -> dict[str, str]:
    """Return `labels` if selectors can name them all; raises `InvalidError` naming each that is wrong."""
    faults = [
        Fault(field=f"{field}.{key}", message="expected letters, digits, '-', '_', '.', at most 253")
        for key, value in labels.items()
        if not re.fullmatch(_NAME, key) or (value and not re.fullmatch(_VALUE, value))
    ]
    if faults:
        raise InvalidError("the labels cannot be used", *faults)
    return dict(labels)


def labels_of(
    reported: Iterable[tuple[str, Mapping[str, object]]], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the labels by which a client is selected: those its devices report, and over them those given.

    `reported` are (device id, labels). Of a gateway's children, which carry its id before their own, none
    count. Numbers and booleans count as their text; arrays cannot be selected by.
    """
    labels: dict[str, str] = {}
    for device_id, values in sorted(reported, key=lambda one: one[0]):
        if "/" in device_id:
            continue
        for key, value in values.items():
            match value:
                case bool():
                    labels[key] = "true" if value else "false"
                case str() | int() | float():
                    labels[key] = str(value)
    return {**labels, **given}


def _parts(text: str) -> Iterator[str]:
    """Yield what stands between the commas that are not within brackets."""
    if not text.strip():
        return
    yield from (part.strip() for part in re.split(r",(?![^(]*\))", text))


def _requirement(part: str, field: str) -> Requirement:
    if found := _IN_SET.fullmatch(part):
        values = tuple(value.strip() for value in found["values"].split(","))
        if not all(re.fullmatch(_VALUE, value) for value in values):
            raise _wrong(field, f"'{part}': expected values between the brackets, as in line in (1, 2)")
        return Requirement(found["key"], Operator(found["operator"]), values)
    if found := _EQUALITY.fullmatch(part):
        operator = Operator.NOT_IN if found["operator"] == "!=" else Operator.IN
        return Requirement(found["key"], operator, (found["value"],))
    if found := _PRESENCE.fullmatch(part):
        return Requirement(found["key"], Operator.DOES_NOT_EXIST if found["negated"] else Operator.EXISTS)
    raise _wrong(
        field, f"'{part}' is not understood: write site=berlin, site!=berlin, line in (1, 2), spare or !spare"
    )


def _wrong(field: str, message: str) -> InvalidError:
    return InvalidError("the selector cannot be used", Fault(field=field, message=message))
