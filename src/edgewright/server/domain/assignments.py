"""Assignments: which devices are to have an application, in which version, with which values.

Values come in layers, each over the one before: what the package says, `parameters` for every device,
`groups` in their order, `devices` for single ones. A value that is null takes back what the layers below
say. What is stored is what people write: `parse_spec` reads both, `render_spec` writes both.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from edgewright.protocol.values import Value
from edgewright.server.domain.labels import Selector
from edgewright.server.errors import Fault, InvalidError

MAX_GROUPS: Final = 1_000
MAX_DEVICES: Final = 100_000
Layer = Mapping[str, Value | None]

_WRONG = "the assignment cannot be used"


@dataclass(frozen=True, slots=True)
class Devices:
    """These devices, by client id, and no others."""

    client_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """Every device whose labels match, also one that comes later; without requirements: all devices."""

    selector: Selector


Target = Devices | Matching


@dataclass(frozen=True, slots=True)
class Group:
    """Values for the devices whose labels match."""

    selector: Selector
    parameters: Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentSpec:
    """What one revision of an assignment says.

    `profile` is None where the first profile that fits a device is to be used. `devices` map client id to
    values. `strategy` is how it is rolled out, as JSON (`domain/rollouts.py`).
    """

    version: str
    target: Target
    profile: str | None = None
    parameters: Layer = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    devices: Mapping[str, Layer] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)


class OriginKind(StrEnum):
    """Which layer a value comes from; `installed` is one that cannot be changed any more (spec: CFG-3)."""

    PACKAGE = "package"
    ALL = "all"
    GROUP = "group"
    DEVICE = "device"
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: `path` is the layer's place in the assignment, `name` its selector or device.

    Both are empty for layers that are not in the assignment.
    """

    kind: OriginKind
    path: str = ""
    name: str = ""


PACKAGE: Final = Origin(OriginKind.PACKAGE)
INSTALLED: Final = Origin(OriginKind.INSTALLED)
ALL: Final = Origin(OriginKind.ALL, "parameters")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value and the layer that says it."""

    value: Value
    origin: Origin


_Scalar = str | bool | int | float
_Values = dict[str, _Scalar | list[_Scalar] | None]


class TargetDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices: exactly one of a list of client ids, a selector over labels, or all there are."""

    devices: list[str] | msgspec.UnsetType = msgspec.UNSET
    selector: Annotated[
        str | msgspec.UnsetType,
        msgspec.Meta(examples=["site=berlin, line in (1, 2), !spare"]),
    ] = msgspec.UNSET
    all: bool | msgspec.UnsetType = msgspec.UNSET


class GroupDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values for the devices that a selector matches; later groups go over earlier ones."""

    selector: Annotated[str, msgspec.Meta(examples=["line=1"])]
    parameters: _Values


class SpecDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an assignment says: version, devices, values in layers, and how it is rolled out.

    `profile` left out: the first profile of the package that fits the device.
    """

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=["1.2.0"])]
    target: TargetDocument
    profile: str | None = None
    parameters: _Values = {}
    groups: list[GroupDocument] = []
    devices: dict[str, _Values] = {}
    strategy: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description=(
                "How it is rolled out: `canary`, `batches`, `pause_after`, `soak`, `disruption_budget`,"
                " `success_threshold`, `max_failures`, `on_error`, `timeout`, `patience`, `absent`."
                " What is not said is all at once, with a stop at the first failure."
            ),
            examples=[{"canary": 1, "batches": ["10%"], "pause_after": "first", "soak": "30m"}],
        ),
    ] = {}


def parse_spec(plain: Any) -> AssignmentSpec:
    """Return what decoded JSON says; raises `InvalidError` with every fault and its path."""
    try:
        document = msgspec.convert(plain, SpecDocument)
    except msgspec.ValidationError as error:
        raise InvalidError(_WRONG, _fault_of(plain, str(error))) from error
    return read_spec(document)


def read_spec(document: SpecDocument) -> AssignmentSpec:
    """Return what a document says; raises `InvalidError` with every fault and its path."""
    faults: list[Fault] = []
    target = _read_target(document.target, faults)
    if len(document.groups) > MAX_GROUPS:
        faults.append(Fault(field="groups", message=f"expected at most {MAX_GROUPS}"))
    groups = tuple(
        Group(_read_selector(one.selector, f"groups[{index}].selector", faults), _read_values(one.parameters))
        for index, one in enumerate(document.groups[:MAX_GROUPS])
    )
    if faults:
        raise InvalidError(_WRONG, *faults)
    return AssignmentSpec(
        version=document.version,
        target=target,
        profile=document.profile,
        parameters=_read_values(document.parameters),
        groups=groups,
        devices={name: _read_values(values) for name, values in document.devices.items()},
        strategy=document.strategy,
    )


def render_spec(spec: AssignmentSpec) -> dict[str, Any]:
    """Return the JSON of `spec`; what says nothing is left out."""
    rendered = {
        "version": spec.version,
        "profile": spec.profile,
        "target": _render_target(spec.target),
        "parameters": _render_values(spec.parameters),
        "groups": [
            {"selector": group.selector.text, "parameters": _render_values(group.parameters)}
            for group in spec.groups
        ],
        "devices": {name: _render_values(values) for name, values in spec.devices.items()},
        "strategy": dict(spec.strategy),
    }
    return {name: value for name, value in rendered.items() if value or name in {"version", "target"}}


def selects(target: Target, client_id: str, labels: Mapping[str, str]) -> bool:
    """Whether the device is one of those meant."""
    match target:
        case Devices(client_ids):
            return client_id in client_ids
        case Matching(selector):
            return selector.matches(labels)


def matching_groups(spec: AssignmentSpec, labels: Mapping[str, str]) -> tuple[int, ...]:
    """Return the indices of the groups that a device with these labels is in, in their order."""
    return tuple(index for index, group in enumerate(spec.groups) if group.selector.matches(labels))


def layers(spec: AssignmentSpec, client_id: str, groups: tuple[int, ...]) -> Iterator[tuple[Origin, Layer]]:
    """Yield the layers that concern a device, which is in these groups, the lowest first."""
    yield ALL, spec.parameters
    for index in groups:
        group = spec.groups[index]
        yield Origin(OriginKind.GROUP, f"groups[{index}].parameters", group.selector.text), group.parameters
    if (own := spec.devices.get(client_id)) is not None:
        yield Origin(OriginKind.DEVICE, f"devices.{client_id}", client_id), own


def all_layers(spec: AssignmentSpec) -> Iterator[tuple[str, Layer]]:
    """Yield path and values of every layer, whomever it concerns."""
    yield ALL.path, spec.parameters
    for index, group in enumerate(spec.groups):
        yield f"groups[{index}].parameters", group.parameters
    for client_id, own in spec.devices.items():
        yield f"devices.{client_id}", own


def choose(chain: Iterator[tuple[Origin, Layer]]) -> dict[str, Chosen]:
    """Return what layers, the lowest first, say together."""
    chosen: dict[str, Chosen] = {}
    for origin, values in chain:
        for name, value in values.items():
            if value is None:
                chosen.pop(name, None)
            else:
                chosen[name] = Chosen(value, origin)
    return chosen


def _read_target(document: TargetDocument, faults: list[Fault]) -> Target:
    said = [name for name in ("devices", "selector", "all") if getattr(document, name) is not msgspec.UNSET]
    if len(said) != 1 or document.all is False:
        message = "say exactly one: devices: [edge-01, …], selector: 'site=berlin', or all: true"
        faults.append(Fault(field="target", message=message))
    elif isinstance(document.devices, list):
        if len(document.devices) > MAX_DEVICES:
            faults.append(Fault(field="target.devices", message=f"expected at most {MAX_DEVICES}"))
        return Devices(tuple(dict.fromkeys(document.devices)))
    elif isinstance(document.selector, str):
        selector = _read_selector(document.selector, "target.selector", faults)
        return Matching(selector)
    return Matching(Selector.parse(""))


def _read_selector(text: str, path: str, faults: list[Fault]) -> Selector:
    """Return the selector; one without requirements is more often forgotten than meant."""
    if not text.strip():
        way_out = "write all: true" if path.startswith("target") else "put these values under parameters"
        faults.append(Fault(field=path, message=f"is empty; to mean every device, {way_out}"))
        return Selector.parse("")
    try:
        return Selector.parse(text, field=path)
    except InvalidError as error:
        faults.extend(error.faults)
        return Selector.parse("")


def _render_target(target: Target) -> dict[str, Any]:
    match target:
        case Devices(client_ids):
            return {"devices": list(client_ids)}
        case Matching(selector):
            return {"selector": selector.text} if selector.requirements else {"all": True}


def _read_values(values: Mapping[str, Any]) -> dict[str, Value | None]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _render_values(values: Layer) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _fault_of(plain: Any, text: str) -> Fault:
    """Return where a conversion failed; the converter does not name the members of mappings."""
    message, _, path = text.partition(" - at `")
    path = path.rstrip("`").removeprefix("$").lstrip(".")
    while "[...]" in path:
        head, _, tail = path.partition("[...]")
        is_values = head.endswith("parameters") or head.startswith("devices.")
        path = f"{head}.{_wrong_member(_at(plain, head), is_values=is_values)}"
        if not is_values:
            path += tail
    return Fault(field=path, message=message)


def _at(plain: Any, path: str) -> Any:
    """Return what stands at a path as `_fault_of` writes them; names with dots do not come before others."""
    found = plain
    for token in re.findall(r"\[\d+\]|[^.\[]+", path):
        if isinstance(found, dict):
            found = found.get(token)
        elif isinstance(found, list) and token.startswith("["):
            found = found[int(token[1:-1])]
    return found


def _wrong_member(mapping: Any, *, is_values: bool) -> str:
    """Return the first member that is no value, or no mapping of values."""
    kind: Any = _Scalar | list[_Scalar] | None if is_values else _Values
    for name, value in mapping.items() if isinstance(mapping, dict) else ():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return str(name)
    return "…"
