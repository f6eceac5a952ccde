"""Parameter values: what the operator chose, what the package says, and what may not change (spec: CFG-2
to CFG-5).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from edgewright.protocol import yaml
from edgewright.protocol.description import (
    ApplicationDescription,
    DescriptionProfile,
    validate_value,
)
from edgewright.protocol.profiles import Target
from edgewright.protocol.values import Value, value_text
from edgewright.server.catalogue.patterns import matches
from edgewright.server.errors import Fault, InvalidError

# Of the 1 MiB that a document may have at most; the rest is for what the package says.
MAX_VALUES: Final = 512 * 1024


def effective_values(
    description: ApplicationDescription, profile: DescriptionProfile, chosen: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the value of every parameter that the profile has a use for: chosen, else the default.

    A parameter with neither is left out. Raises `InvalidError` with every fault of every value.
    """
    faults = list(_unknown(description, chosen))
    values: dict[str, Value] = {}
    for name, parameter in description.parameters.items():
        value = chosen.get(name, parameter.value)
        has_use = bool(targets_in(profile, parameter.targets))
        if value is None:
            if has_use and any(not schema.allow_empty for schema in description.schemas(name)):
                faults.append(_fault(name, "a value is needed"))
        else:
            if has_use or name in chosen:
                faults += (_fault(name, message) for message in wrong_with(description, name, value))
            if has_use:
                values[name] = value
    faults += _too_large(values)
    if faults:
        raise InvalidError("the parameters are not as the application wants them", *faults)
    return values


def wrong_with(description: ApplicationDescription, parameter: str, value: Value) -> list[str]:
    """Return for people what is wrong with a value, in bounded time whatever pattern the package has.

    The one way the server judges values: of forms while somebody types, of requests, and before it installs.
    """
    return validate_value(description, parameter, value, matches)


def changed_choice(
    description: ApplicationDescription,
    chosen: Mapping[str, Value],
    given: Mapping[str, Value | None],
    installed: Mapping[str, Value],
) -> dict[str, Value]:
    """Return the operator's choice after a change: `given` over `chosen`, None meaning back to the default.

    `installed` maps parameter to the value deployed now. An immutable parameter keeps it, also when a newer
    version of the application has another default; asking for another value is a fault (spec: CFG-3).
    """
    choice = {name: value for name, value in {**chosen, **given}.items() if value is not None}
    faults = [
        _fault(name, "there is no such parameter")
        for name, value in given.items()
        if value is None and name not in description.parameters and name not in chosen
    ]
    for name in sorted(description.immutable_parameters & installed.keys()):
        wanted = choice.get(name, description.parameters[name].value)
        if _is_same(wanted, installed[name]):
            continue
        if name in given:
            faults.append(
                _fault(name, f"cannot be changed any more, it was installed with {installed[name]!r}")
            )
        choice[name] = installed[name]
    if faults:
        raise InvalidError("the parameters cannot be changed like this", *faults)
    return choice


def targets_in(profile: DescriptionProfile, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the targets that lie in this profile, without the components of others (spec: PAR-1)."""
    names = {component.name for component in profile.components}
    kept = (
        Target(pointer=target.pointer, components=tuple(name for name in target.components if name in names))
        for target in targets
    )
    return tuple(target for target in kept if target.components)


def _too_large(values: Mapping[str, Value]) -> Iterator[Fault]:
    """Yield a fault where values are more than a device would take as part of one document."""
    sizes = {name: len(value_text(value)) for name, value in values.items()}
    # Nothing is written down in more than 16 bytes for each character, or for each item with its indentation.
    if sum(sizes.values()) * 16 <= MAX_VALUES:
        return
    nested = {"spec": {"parameters": {name: {"value": value} for name, value in values.items()}}}
    if len(yaml.dump(nested)) <= MAX_VALUES:
        return
    largest = max(sizes, key=sizes.__getitem__)
    yield _fault(largest, f"is too long: all values together take more than {MAX_VALUES // 1024} KiB")


def _unknown(description: ApplicationDescription, chosen: Mapping[str, Value]) -> Iterator[Fault]:
    for name in chosen:
        if name not in description.parameters:
            yield _fault(
                name, f"{description.id} {description.metadata.version} has no such parameter; null drops it"
            )


def _is_same(left: Value | None, right: Value) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _fault(parameter: str, message: str) -> Fault:
    return Fault(field=f"parameters.{parameter}", message=message)
