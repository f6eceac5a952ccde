"""The form that deploys: between what people type and what an assignment says.

The form is made from a package's configuration: its sections, and after them the parameters that no section
asks for (spec: CFG-1). An empty field says nothing, so that the layer below counts, at last the package.
Every value is judged by the functions that judge what programs send.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgewright.protocol.description import ApplicationDescription, Setting, coerce_text
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.values import DataType, Schema, Value, value_text
from edgewright.server.domain.assignments import AssignmentSpec, Devices, Matching, parse_spec, render_spec
from edgewright.server.domain.parameters import targets_in
from edgewright.server.errors import Fault, InvalidError

_GROUP = re.compile(r"groups\[(\d+)\]\.parameters\.(.*)", re.DOTALL)
_GROUP_SELECTOR = re.compile(r"groups\[(\d+)\]\.selector")
_BETWEEN = re.compile(r"[\s,;]+")
# How an assignment is rolled out, for who does not want to think about it.
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "once": {},
    "canary": {"canary": 1},
    "careful": {"canary": 1, "batches": ["10%"], "pause_after": "first"},
}
STRATEGY_FIELDS = (
    "canary",
    "batches",
    "pause_after",
    "success_threshold",
    "max_failures",
    "disruption_budget",
    "soak",
    "timeout",
    "patience",
    "absent",
    "on_error",
)
_NUMBERS = frozenset({"canary", "success_threshold", "max_failures", "disruption_budget"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How one parameter is asked for. `index` is its place, by which elements of the page are found.

    `kind` is `text`, `number`, `choice`, `choices` or `list`; `default` is None where there is none.
    """

    parameter: str
    index: int
    name: str
    kind: str
    help: str
    default: str | None
    options: tuple[tuple[str, str], ...] = ()
    least: int | float | None = None
    most: int | float | None = None
    step: str | None = None
    max_length: int | None = None
    is_immutable: bool = False
    is_needed: bool = False
    may_be_empty: bool = False
    is_long: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What stands under one heading."""

    name: str
    fields: tuple[Asked, ...]


@dataclass(slots=True)
class TypedLayer:
    """The values typed for one layer; `key` is `all`, `g0` or `d0`, `name` its selector or device.

    `texts` map parameter to what was typed, several for `choices`. In `empty` are those that are to be empty,
    in `dropped` those that take back what other layers say. If it was not typed but made of an assignment
    (not `is_typed`), the texts of an array are its items. `said` are the values as they were before somebody
    typed: whoever leaves a text as it is leaves the value, also one that no text stands for.
    """

    key: str
    name: str = ""
    texts: dict[str, list[str]] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    said: dict[str, Value] = field(default_factory=dict)
    is_typed: bool = True

    def text(self, parameter: str) -> str:
        """Return what was typed for a parameter."""
        return next(iter(self.texts.get(parameter, ())), "")

    @property
    def count(self) -> int:
        """How many values are said."""
        return sum(any(texts) for texts in self.texts.values()) + len(self.empty)

    def line(self, parameter: str) -> str:
        """Return the values of an array as they are typed into one field."""
        texts = self.texts.get(parameter, [])
        return ",".join(texts) if self.is_typed else _line(texts, self.said.get(parameter))

    def untouched(self, parameter: str) -> Value | None:
        """Return the value from before if what was typed is what was shown for it."""
        value = self.said.get(parameter)
        if value is None or parameter not in self.texts:
            return None
        shown = [_with_plain_breaks(text) for text in texts_of(value)]
        return value if self.texts[parameter] in (shown, [_line(shown, value)]) else None


@dataclass(slots=True, kw_only=True)
class Typed:
    """All that was typed. `where` is `devices`, `selector` or `all`.

    `assignment` is the one to change, `deployment` the id of the single deployment to change; `seen` is the
    revision that was looked at.
    """

    application: str
    version: str
    assignment: str = ""
    deployment: str = ""
    seen: str = ""
    name: str = ""
    profile: str = ""
    where: str = "devices"
    devices: list[str] = field(default_factory=list)
    selector: str = ""
    everywhere: TypedLayer = field(default_factory=lambda: TypedLayer("all"))
    groups: list[TypedLayer] = field(default_factory=list)
    singles: list[TypedLayer] = field(default_factory=list)
    strategy: str = "once"
    fine: dict[str, str] = field(default_factory=lambda: dict.fromkeys(STRATEGY_FIELDS, ""))

    @property
    def layers(self) -> list[TypedLayer]:
        """All layers, in the order they are shown."""
        return [self.everywhere, *self.groups, *self.singles]


def sections_of(description: ApplicationDescription, profile_id: str | None = None) -> list[Section]:
    """Return what a package asks for, as far as the chosen profile, or any, has a use for it."""
    profiles = [one for one in description.deployment_profiles if profile_id in {None, "", one.id}]
    useful = {
        name
        for name, parameter in description.parameters.items()
        if any(targets_in(profile, parameter.targets) for profile in profiles)
    }
    places = {name: index for index, name in enumerate(description.parameters)}
    seen: set[str] = set()
    sections = []
    for section in description.configuration.sections if description.configuration else ():
        fields = []
        for setting in section.settings:
            if setting.parameter in useful - seen:
                seen.add(setting.parameter)
                fields.append(_asked(description, setting.parameter, places[setting.parameter], setting))
        if fields:
            sections.append(Section(name=section.name, fields=tuple(fields)))
    rest = [name for name in description.parameters if name in useful - seen]
    if rest:
        fields = [_asked(description, name, places[name], None) for name in rest]
        name = "Other parameters" if sections else "Parameters"
        sections.append(Section(name=name, fields=tuple(fields)))
    return sections


def read_form(form: Any) -> Typed:
    """Return what was typed; what is missing is empty, and nothing is judged."""

    def one(name: str, default: str = "") -> str:
        return str(form.get(name) or default).strip()

    typed = Typed(
        application=one("application"),
        version=one("version"),
        assignment=one("assignment"),
        deployment=one("deployment"),
        seen=one("seen"),
        name=one("name"),
        profile=one("profile"),
        where=one("where", "devices"),
        selector=one("selector"),
        strategy=one("strategy", "once"),
        fine={name: one(f"s.{name}") for name in STRATEGY_FIELDS},
    )
    pasted = [name for name in _BETWEEN.split(one("devices")) if name]
    typed.devices = list(dict.fromkeys([*form.getall("device", []), *pasted]))
    layers = {"all": typed.everywhere}
    for key in form.getall("layer", []):
        layer = TypedLayer(key, one(f"{key}.name"))
        if key.startswith("g"):
            typed.groups.append(layer)
        elif key.startswith("d"):
            typed.singles.append(layer)
        else:
            continue
        layers[key] = layer
    for name in form:
        what, _, rest = name.partition(".")
        key, _, parameter = rest.partition(".")
        if what not in {"v", "e", "n", "o"} or key not in layers:
            continue
        match what:
            case "v":
                layers[key].texts[parameter] = [_with_plain_breaks(str(text)) for text in form.getall(name)]
            case "e":
                layers[key].empty.add(parameter)
            case "n":
                layers[key].dropped.add(parameter)
            case "o":
                layers[key].said |= _read_said(parameter, str(form.get(name)))
    return typed


def typed_from(application: str, spec: AssignmentSpec) -> Typed:
    """Return the form that says what `spec` says."""
    typed = Typed(application=application, version=spec.version, profile=spec.profile or "")
    match spec.target:
        case Devices(client_ids):
            typed.where, typed.devices = "devices", list(client_ids)
        case Matching(selector):
            typed.where = "selector" if selector.requirements else "all"
            typed.selector = selector.text
    typed.everywhere = _typed_layer("all", "", spec.parameters)
    typed.groups = [
        _typed_layer(f"g{index}", group.selector.text, group.parameters)
        for index, group in enumerate(spec.groups)
    ]
    typed.singles = [
        _typed_layer(f"d{index}", name, values) for index, (name, values) in enumerate(spec.devices.items())
    ]
    plain = dict(spec.strategy)
    typed.strategy = next((name for name, one in STRATEGIES.items() if dict(one) == plain), "own")
    typed.fine = {name: _fine_text(plain.get(name)) for name in STRATEGY_FIELDS}
    return typed


def spec_from(typed: Typed, description: ApplicationDescription) -> tuple[AssignmentSpec | None, list[Fault]]:
    """Return what was typed as a specification, None if it is none, and what is wrong, by form field."""
    faults: list[Fault] = []
    plain: dict[str, Any] = {
        "version": typed.version,
        "profile": typed.profile or None,
        "target": _target(typed, faults),
        "parameters": dict(_values(typed.everywhere, description, faults)),
        "groups": [
            {"selector": layer.name, "parameters": dict(_values(layer, description, faults))}
            for layer in typed.groups
        ],
        "devices": {layer.name: dict(_values(layer, description, faults)) for layer in typed.singles},
        "strategy": _strategy(typed),
    }
    plain["devices"].pop("", None)
    named: set[str] = set()
    for layer in typed.singles:
        if not layer.name:
            faults.append(Fault(field=f"{layer.key}.name", message="say which device"))
        elif layer.name in named:
            faults.append(Fault(field=f"{layer.key}.name", message=f"{layer.name} has values above already"))
        named.add(layer.name)
    try:
        return parse_spec(plain), faults
    except InvalidError as error:
        return None, [*faults, *fields_of(typed, error.faults)]


def fields_of(typed: Typed, faults: Iterable[Fault]) -> list[Fault]:
    """Return faults of an assignment at the fields of the form they are about."""
    return [Fault(field=_field_of(typed, fault.field), message=fault.message) for fault in faults]


def called(typed: Typed, sections: Iterable[Section]) -> dict[str, str]:
    """Return how the fields of all values are called by people, by the names they have in the form."""
    names = {"all": "", **{layer.key: layer.name or layer.key for layer in [*typed.groups, *typed.singles]}}
    return {
        f"v.{key}.{asked.parameter}": f"{asked.name} ({layer})" if layer else asked.name
        for section in sections
        for asked in section.fields
        for key, layer in names.items()
    }


def plain_of(spec: AssignmentSpec) -> dict[str, Any]:
    """Return what is kept in the form while people look at the preview."""
    return render_spec(spec)


def _field_of(typed: Typed, path: str) -> str:
    if path.startswith("parameters."):
        return f"v.all.{path.removeprefix('parameters.')}"
    if found := _GROUP.fullmatch(path):
        return f"v.{typed.groups[int(found[1])].key}.{found[2]}"
    if found := _GROUP_SELECTOR.fullmatch(path):
        return f"{typed.groups[int(found[1])].key}.name"
    if path.startswith("devices."):
        for layer in typed.singles:
            if layer.name and path == f"devices.{layer.name}":
                return f"{layer.key}.name"
            if layer.name and path.startswith(f"devices.{layer.name}."):
                return f"v.{layer.key}.{path.removeprefix(f'devices.{layer.name}.')}"
    if path.startswith("target"):
        return "selector" if path == "target.selector" else "devices"
    if path.startswith("strategy"):
        name = path.removeprefix("strategy.").partition("[")[0]
        return f"s.{name}" if name in STRATEGY_FIELDS else "strategy"
    return path


def _target(typed: Typed, faults: list[Fault]) -> dict[str, Any]:
    match typed.where:
        case "all":
            return {"all": True}
        case "selector":
            if not typed.selector:
                faults.append(Fault(field="selector", message="write which labels, for example site=berlin"))
                return {"devices": []}
            return {"selector": typed.selector}
        case _:
            if not typed.devices:
                faults.append(Fault(field="devices", message="choose at least one device"))
            return {"devices": typed.devices}


def _values(
    layer: TypedLayer, description: ApplicationDescription, faults: list[Fault]
) -> Iterator[tuple[str, Any]]:
    """Yield the values of a layer, as JSON; what cannot be read is a fault."""
    for name in description.parameters:
        texts = [text for text in layer.texts.get(name, ()) if text != ""]
        if name in layer.empty and not texts:
            yield name, [] if _takes_array(description, name) else ""
        elif (said := layer.untouched(name)) is not None and all(
            schema.is_of_type(said) for schema in description.schemas(name)
        ):
            yield name, list(said) if isinstance(said, tuple) else said
        elif texts:
            try:
                value = _value(description, name, texts)
            except DocumentError as error:
                faults.append(Fault(field=f"v.{layer.key}.{name}", message=error.detail))
            else:
                yield name, list(value) if isinstance(value, tuple) else value
        elif name in layer.dropped:
            yield name, None


def _value(description: ApplicationDescription, name: str, texts: Sequence[str]) -> Value:
    """Return what was typed or chosen for a parameter; raises `DocumentError`."""
    schemas = description.schemas(name)
    if not schemas or schemas[0].options is None:
        return coerce_text(description, name, texts[0])
    try:
        return schemas[0].pick(texts)
    except ValueError as error:
        raise DocumentError(str(error), source=f"parameter {name}") from None


def _takes_array(description: ApplicationDescription, name: str) -> bool:
    schemas = description.schemas(name)
    return schemas[0].takes_array if schemas else isinstance(description.parameters[name].value, tuple)


def _strategy(typed: Typed) -> dict[str, Any]:
    if typed.strategy in STRATEGIES:
        return dict(STRATEGIES[typed.strategy])
    plain: dict[str, Any] = {}
    for name, text in typed.fine.items():
        if not text:
            continue
        if name == "batches":
            plain[name] = [_number_or_text(one.strip()) for one in re.split(r",(?![^(]*\))", text)]
        elif name == "pause_after" and re.fullmatch(r"[\d ,]+", text):
            plain[name] = [int(one) for one in _BETWEEN.split(text) if one]
        elif name in _NUMBERS:
            plain[name] = _number_or_text(text)
        else:
            plain[name] = text
    return plain


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


def _fine_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _typed_layer(key: str, name: str, values: Mapping[str, Value | None]) -> TypedLayer:
    layer = TypedLayer(key, name, is_typed=False)
    for parameter, value in values.items():
        if value is None:
            layer.dropped.add(parameter)
        elif value in ("", ()):
            layer.empty.add(parameter)
        else:
            layer.texts[parameter] = texts_of(value)
            layer.said[parameter] = value
    return layer


def _read_said(parameter: str, text: str) -> dict[str, Value]:
    """Return a value that was kept in the page; what no page of ours sends counts as not said."""
    try:
        value = msgspec.json.decode(
            text, type=str | bool | int | float | tuple[str | bool | int | float, ...]
        )
    except msgspec.DecodeError:
        return {}
    return {parameter: value}


def _line(texts: Sequence[str], value: Value | None) -> str:
    """Return the items of an array as they are typed into one field, as JSON where commas would not do."""
    if any(text != text.strip() or text[:1] in {"", "["} or "," in text or "\n" in text for text in texts):
        return json.dumps(value if value is not None else texts, ensure_ascii=False)
    return ",".join(texts)


def _with_plain_breaks(text: str) -> str:
    """Return a text as it comes back from a page: pages know one kind of line break only."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def texts_of(value: Value) -> list[str]:
    """Return what would have to be typed for a value."""
    return [value_text(one) for one in value] if isinstance(value, tuple) else [value_text(value)]


def _asked(description: ApplicationDescription, name: str, index: int, setting: Setting | None) -> Asked:
    default = description.parameters[name].value
    schemas = description.schemas(name)
    schema = schemas[0] if schemas else None
    kind, options = _kind(schema, default)
    may_be_empty = schema.allow_empty if schema else True
    return Asked(
        parameter=name,
        index=index,
        name=setting.name if setting else name,
        kind=kind,
        help=" ".join(_help(schema, setting)),
        default=None if default is None else ", ".join(texts_of(default)),
        options=options,
        least=schema.min_value if schema else None,
        most=schema.max_value if schema else None,
        step=_step(schema),
        max_length=schema.max_length if schema else None,
        is_immutable=name in description.immutable_parameters,
        is_needed=default is None and not may_be_empty,
        may_be_empty=may_be_empty
        and (schema is not None or kind in {"text", "list"})
        and default not in (None, "", ()),
        is_long=isinstance(default, str) and "\n" in default,
    )


def _kind(schema: Schema | None, default: Value | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    if schema is None:
        match default:
            case bool():
                return "choice", (("true", "true"), ("false", "false"))
            case tuple():
                return "list", ()
            case _:
                return "text", ()
    if schema.options is not None:
        options = tuple((value_text(one), value_text(one)) for one in schema.options)
        return ("choices" if schema.takes_array else "choice"), options
    if schema.takes_array:
        return "list", ()
    match schema.data_type:
        case DataType.BOOLEAN:
            return "choice", (("true", "Yes (true)"), ("false", "No (false)"))
        case DataType.INTEGER | DataType.DOUBLE:
            return "number", ()
    return "text", ()


def _step(schema: Schema | None) -> str | None:
    if schema is None:
        return None
    return "1" if schema.data_type is DataType.INTEGER else "any"


def _help(schema: Schema | None, setting: Setting | None) -> Iterator[str]:
    """Yield what the author says, and the rules in words."""
    if setting and setting.description:
        yield setting.description.rstrip(".") + "."
    if schema is None:
        return
    kind = {
        DataType.STRING: "Text",
        DataType.INTEGER: "A whole number",
        DataType.DOUBLE: "A number",
    }.get(schema.data_type.item)
    if schema.options is not None or kind is None:
        return
    words = f"{kind}s, separated by commas" if schema.takes_array else kind
    bounds = _bounds(schema.min_value, schema.max_value)
    lengths = _bounds(schema.min_length, schema.max_length)
    if bounds:
        words += f" {'' if bounds.startswith('at ') else 'from '}{bounds}"
    if lengths:
        words += f" of {lengths} characters"
    if precision := _bounds(schema.min_precision, schema.max_precision):
        words += f", with {precision} digits after the point"
    if schema.regex_match:
        words += f", matching {schema.regex_match}"
    yield words + "."


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{value_text(least)} to {value_text(most)}"
    if least is not None:
        return f"at least {value_text(least)}"
    return f"at most {value_text(most)}" if most is not None else ""


def named_in(profiles: Sequence[Any]) -> list[tuple[str, str]]:
    """Return what can be chosen for the profile."""
    shown = [(one.id, f"{one.id} ({one.type})") for one in profiles]
    return [("", "The first that fits each device"), *shown]
