"""Which devices a deployment profile fits: the constraint documents and their evaluation (spec: section 16).

Both ends evaluate: the fleet manager before it chooses, the device because the last word is its own (MAT-3).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from edgewright.protocol.conversion import matching
from edgewright.protocol.documents import Number, Part, Violation
from edgewright.protocol.quantities import parse_quantity

if TYPE_CHECKING:
    from edgewright.protocol.capabilities import DeviceCapabilities

Memory = Annotated[str, matching(r"^[0-9]{1,200}(Mi|Gi|Ki)\Z", "digits and Ki, Mi or Gi, without a blank")]
Storage = Annotated[
    str,
    matching(r"^[0-9]{1,200}(Mi|Gi|Ki|Ti|Pi|Ei)\Z", "digits and Ki, Mi, Gi, Ti, Pi or Ei, without a blank"),
]
_ABSENT = object()
_MOST_SHOWN = 120
_WORDS = frozenset({"true", "false", "absent"})


class CpuRequirement(Part, frozen=True, kw_only=True):
    """What one single processor has to offer (spec: MAT-5)."""

    cores: Number
    architectures: tuple[str, ...] = ()


class CapacityRequirements(Part, frozen=True, kw_only=True):
    """Least capacity; all given ones have to be met (spec: MAT-4)."""

    cpu: CpuRequirement | None = None
    memory: Memory | None = None
    storage: Storage | None = None


class Operator(StrEnum):
    """How a match expression compares (spec: section 16, Operators)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"
    CONTAINS_ALL = "ContainsAll"
    CONTAINS_ANY = "ContainsAny"


class MatchExpression(Part, frozen=True, kw_only=True):
    """One condition; `key` is a JSON Pointer for properties and items, a plain name for labels."""

    key: str
    operator: Operator
    values: tuple[str | bool | int | float, ...] | None = None
    item_selector: "Selector | None" = None


class Selector(Part, frozen=True, kw_only=True):
    """Conditions that all have to hold (spec: MAT-7), except under ContainsAny, where one has to."""

    match_expressions: tuple[MatchExpression, ...]


class EligibilityRule(Part, frozen=True, kw_only=True):
    """A missing selector counts as true (spec: MAT-6)."""

    property_selector: Selector | None = None
    label_selector: Selector | None = None


class DeviceConstraints(Part, frozen=True, kw_only=True):
    """What a device has to offer; among the rules one has to hold, no rules ask nothing (spec: MAT-6)."""

    capacity_requirements: CapacityRequirements | None = None
    eligibility_rules: tuple[EligibilityRule, ...] = ()


def unmet(constraints: DeviceConstraints | None, capabilities: "DeviceCapabilities") -> list[str]:
    """Return for people why the device does not fit; empty means it fits."""
    if constraints is None:
        return []
    reasons = list(_unmet_capacity(constraints.capacity_requirements, capabilities))
    if constraints.eligibility_rules:
        reasons += _unmet_rules(constraints.eligibility_rules, capabilities)
    return reasons


def _unmet_capacity(
    required: CapacityRequirements | None, capabilities: "DeviceCapabilities"
) -> Iterator[str]:
    if required is None:
        return
    offered = capabilities.properties
    if required.cpu is not None:
        wanted = " or ".join(required.cpu.architectures) or "any architecture"
        if not any(
            cpu.cores >= required.cpu.cores
            and (not required.cpu.architectures or cpu.architecture in required.cpu.architectures)
            for cpu in offered.cpus or ()
        ):
            yield f"no single CPU has {required.cpu.cores:g} cores ({wanted})"
    for name, need, have in (
        ("memory", required.memory, offered.memory),
        ("storage", required.storage, offered.storage),
    ):
        if need is not None and (have is None or parse_quantity(have) < parse_quantity(need)):
            yield f"{name}: {need} needed, {have or 'none'} offered"


def _unmet_rules(rules: Sequence[EligibilityRule], capabilities: "DeviceCapabilities") -> list[str]:
    plain = capabilities.to_plain()
    properties, labels = plain["properties"], plain.get("labels", {})
    reasons = []
    for number, rule in enumerate(rules, 1):
        failed = [
            *_failed(rule.property_selector, "property", lambda key: resolve_pointer(properties, key)),
            *_failed(rule.label_selector, "label", lambda key: labels.get(key, _ABSENT)),
        ]
        if not failed:
            return []
        reasons.append(f"eligibility rule {number}: {'; '.join(failed)}")
    return reasons


def _failed(selector: Selector | None, kind: str, look_up: Any) -> Iterator[str]:
    for expression in selector.match_expressions if selector else ():
        value = look_up(expression.key)
        if not _holds(expression, value):
            yield f"{kind} {expression.key}: {_describe(expression)} does not hold, it is {_shown(value)}"


def _describe(expression: MatchExpression) -> str:
    if expression.item_selector is not None:
        inner = ", ".join(
            f"{item.key} {_describe(item)}" for item in expression.item_selector.match_expressions
        )
        return f"{expression.operator} ({inner})"
    if expression.values is None:
        return expression.operator.value
    return f"{expression.operator} {', '.join(map(_in_words, expression.values))}"


def _shown(value: Any) -> str:
    """Return for people what a device reports, shortened."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, list):
        return _shortened(", ".join(map(_in_words, value)), _MOST_SHOWN) or "an empty list"
    return _shortened(_in_words(value), _MOST_SHOWN)


def _in_words(value: Any) -> str:
    """Return a value as people write it; texts that could be taken for something else in quotes."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_in_words(item)}" for name, item in value.items())
    if isinstance(value, str) and re.fullmatch(r"[^\W\d][\w ./-]*(?<! )", value) and value not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str, most: int) -> str:
    """Return at most `most` characters of a text, with a sign that something is missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _holds(expression: MatchExpression, value: Any) -> bool:
    """Evaluate one condition; whatever the table does not provide for is false (spec: MAT-9)."""
    present = value is not _ABSENT
    match expression.operator:
        case Operator.EXISTS:
            return present
        case Operator.DOES_NOT_EXIST:
            return not present
        case Operator.CONTAINS_ALL | Operator.CONTAINS_ANY:
            return present and _contains(expression, value)
    candidates = _candidates(value) if present else None
    if candidates is None:
        return False
    values = expression.values or ()
    match expression.operator:
        case Operator.IN:
            return any(_same(candidate, one) for candidate in candidates for one in values)
        case Operator.NOT_IN:
            return not any(_same(candidate, one) for candidate in candidates for one in values)
    if isinstance(value, list) or len(values) != 1 or not (_is_number(value) and _is_number(values[0])):
        return False
    return bool(value > values[0] if expression.operator is Operator.GT else value < values[0])


def _contains(expression: MatchExpression, value: Any) -> bool:
    """Tell whether one element of an array of objects meets all, or any, of the item conditions."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    quantifier = all if expression.operator is Operator.CONTAINS_ALL else any
    items = expression.item_selector.match_expressions if expression.item_selector else ()
    return bool(items) and any(
        quantifier(_holds(inner, resolve_pointer(item, inner.key)) for inner in items) for item in value
    )


def _candidates(value: Any) -> list[Any] | None:
    """Return the scalars a value stands for: itself or its elements; None when it has no place here."""
    if isinstance(value, list):
        uniform = all(isinstance(item, str) for item in value) or all(map(_is_number, value))
        return value if uniform else None
    return [value] if isinstance(value, str | bool) or _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    """Compare exactly: `True` is no number, text is case-sensitive (spec: MAT-10)."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def resolve_pointer(value: Any, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) names inside `value`, or a marker of absence."""
    if pointer and not pointer.startswith("/"):
        return _ABSENT
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and _is_index(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return _ABSENT
    return value


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 10 and (name == "0" or name[0] != "0")


def constraint_violations(constraints: DeviceConstraints | None, path: str) -> Iterator[Violation]:
    """Yield expressions whose `values` or `itemSelector` do not suit their operator."""
    for index, rule in enumerate(constraints.eligibility_rules if constraints else ()):
        for name, selector, pointers in (
            ("propertySelector", rule.property_selector, True),
            ("labelSelector", rule.label_selector, False),
        ):
            yield from _selector_violations(
                selector, f"{path}.eligibilityRules[{index}].{name}", pointers=pointers
            )


def _selector_violations(selector: Selector | None, path: str, *, pointers: bool) -> Iterator[Violation]:
    for index, expression in enumerate(selector.match_expressions if selector else ()):
        here = f"{path}.matchExpressions[{index}]"
        if pointers and expression.key and not expression.key.startswith("/"):
            yield f"{here}.key", "expected a JSON Pointer, starting with '/'"
        yield from _expression_violations(expression, here)
        yield from _selector_violations(expression.item_selector, f"{here}.itemSelector", pointers=True)


def _expression_violations(expression: MatchExpression, path: str) -> Iterator[Violation]:
    operator, values, items = expression.operator, expression.values, expression.item_selector
    takes_items = operator in {Operator.CONTAINS_ALL, Operator.CONTAINS_ANY}
    if takes_items and not (items and items.match_expressions):
        yield f"{path}.itemSelector", f"{operator} needs at least one expression"
    if not takes_items and items is not None:
        yield f"{path}.itemSelector", f"{operator} takes none"
    match operator:
        case Operator.IN | Operator.NOT_IN:
            if not _suits_in(values):
                yield f"{path}.values", f"{operator} needs texts, numbers or one boolean, all of one type"
        case Operator.GT | Operator.LT:
            if values is None or len(values) != 1 or not _is_number(values[0]):
                yield f"{path}.values", f"{operator} needs exactly one number"
        case _:
            if values is not None:
                yield f"{path}.values", f"{operator} takes none"


def _suits_in(values: tuple[Any, ...] | None) -> bool:
    if not values:
        return False
    if all(isinstance(value, bool) for value in values):
        return len(values) == 1
    return all(isinstance(value, str) for value in values) or all(map(_is_number, values))
