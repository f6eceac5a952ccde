"""What a profile asks of a device, in words (spec: section 16)."""

from collections.abc import Iterator
from typing import Any

from edgewright.protocol.constraints import (
    CapacityRequirements,
    DeviceConstraints,
    EligibilityRule,
    MatchExpression,
    Operator,
    Selector,
)


def in_words(constraints: DeviceConstraints | None) -> list[str]:
    """Return what a device has to offer, one sentence each; empty means that every device will do."""
    if constraints is None:
        return []
    told = list(_capacity(constraints.capacity_requirements))
    rules = [_rule(one) for one in constraints.eligibility_rules]
    if len(rules) == 1:
        told.append(rules[0])
    elif rules:
        told.append("one of these: " + "; or ".join(rules))
    return told


def _capacity(required: CapacityRequirements | None) -> Iterator[str]:
    if required is None:
        return
    if required.cpu is not None:
        cores = f"{required.cpu.cores:g}"
        kinds = " or ".join(required.cpu.architectures)
        noun = "core" if cores == "1" else "cores"
        yield f"a CPU with at least {cores} {noun}" + (f" ({kinds})" if kinds else "")
    if required.memory is not None:
        yield f"at least {_amount(required.memory)} memory"
    if required.storage is not None:
        yield f"at least {_amount(required.storage)} storage"


def _amount(quantity: str) -> str:
    """Return `512Mi` as people write it."""
    number = quantity.rstrip("KMGTPEi")
    return f"{number} {quantity[len(number) :]}B"


def _rule(rule: EligibilityRule) -> str:
    told = [
        *_expressions(rule.property_selector, "the property"),
        *_expressions(rule.label_selector, "the label"),
    ]
    return " and ".join(told) or "any device"


def _expressions(selector: Selector | None, noun: str) -> list[str]:
    return [_expression(one, noun) for one in (selector.match_expressions if selector else ())]


def _expression(expression: MatchExpression, noun: str) -> str:
    what = f"{noun} {expression.key.lstrip('/')}"
    values = [_value(one) for one in expression.values or ()]
    match expression.operator:
        case Operator.IN:
            return f"{what} is {_any_of(values)}"
        case Operator.NOT_IN:
            return f"{what} is there and not {_any_of(values)}"
        case Operator.EXISTS:
            return f"{what} is there"
        case Operator.DOES_NOT_EXIST:
            return f"{what} is not there"
        case Operator.GT:
            return f"{what} is more than {_any_of(values)}"
        case Operator.LT:
            return f"{what} is less than {_any_of(values)}"
        case Operator.CONTAINS_ALL | Operator.CONTAINS_ANY:
            inner = _expressions(expression.item_selector, "its")
            between = " and " if expression.operator is Operator.CONTAINS_ALL else " or "
            return f"one of {noun} {expression.key.lstrip('/')} has: {between.join(inner)}"


def _any_of(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
