"""The base of every document of the wire: decode with exact paths, keep extensions, render stably.

Decoding is tolerant (unknown members are ignored) and exact (every error names its path in wire names);
rendering is deterministic. Digests never come from a rendering but from the bytes that were served.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, NoReturn, Self

import msgspec

from edgewright.protocol import yaml
from edgewright.protocol.errors import DocumentError, MalformedDocumentError

EXTENSION_NAME: Final = re.compile(r"x-[a-z][a-z0-9-]*-extensions\Z")
# The struct member extensions are gathered under; no wire name can be this one (spec: EXT-1).
_EXTENSIONS: Final = "x-*-extensions"

MAX_U64: Final = 2**64 - 1
_IN_WORDS: Final[dict[str, str]] = {}


def matching(pattern: str, in_words: str) -> msgspec.Meta:
    """Return the rule that text matches `pattern`; errors say `in_words` what was expected."""
    _IN_WORDS[pattern] = in_words
    return msgspec.Meta(pattern=pattern)


Uuid = Annotated[str, matching(r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z", "a UUID")]
ApplicationId = Annotated[
    str, matching(r"^[-a-z0-9]{1,200}\Z", "at most 200 lower-case letters, digits and dashes")
]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Number = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]

Violation = tuple[str, str]
"""A path such as `$.spec.parameters` and what is wrong there."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A value inside a document; members left at their default are not written."""


class ExtensiblePart(Part, frozen=True, kw_only=True):
    """A part that may carry `x-<name>-extensions` members, kept by their wire names (spec: EXT-1)."""

    extensions: Mapping[str, Any] = msgspec.field(default_factory=dict, name=_EXTENSIONS)


class Document(Part, frozen=True, kw_only=True):
    """A whole document: `parse` makes one from bytes, `render` writes it."""

    is_yaml: ClassVar[bool] = False
    # Where extensions may stand, as paths of wire names; "*" is every item of a list (spec: EXT-3).
    extension_places: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @classmethod
    def parse(cls, data: bytes, *, source: str = "document") -> Self:
        """Decode `data`; raise DocumentError (MalformedDocumentError when it is no JSON or YAML at all)."""
        plain = yaml.load(data, source=source) if cls.is_yaml else load_json(data, source=source)
        return cls.from_plain(plain, source=source)

    @classmethod
    def from_plain(cls, plain: Any, *, source: str = "document") -> Self:
        """Check and convert an already decoded value, which is left as it is."""
        plain = _at_places(plain, cls.extension_places, _gather)
        try:
            document = msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            _raise_exact(cls, plain, error, source)
        if problems := tuple(document.violations()):
            path, message = problems[0]
            raise DocumentError(message, source=source, path=path, problems=problems)
        return document

    def violations(self) -> Iterator[Violation]:
        """Yield what is wrong beyond the types, in document order."""
        yield from ()

    def to_plain(self) -> dict[str, Any]:
        """Return the document as plain dicts and lists in wire names."""
        plain = _listed(msgspec.to_builtins(self))
        return _at_places(plain, self.extension_places, _spread)  # type: ignore[no-any-return]

    def render(self) -> bytes:
        """Return the document's bytes; equal documents give equal bytes (spec: DS-22)."""
        return yaml.dump(self.to_plain()) if self.is_yaml else dump_json(self.to_plain())


def member(path: str, name: str) -> str:
    """Return the path of member `name` of the object at `path`."""
    return f"{path}.{name}" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"{path}[{json.dumps(name)}]"


def load_json(data: bytes, *, source: str) -> Any:
    """Return the JSON value in `data`; duplicate members, NaN and lone surrogates are refused."""
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_bounded,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates end here
    except UnicodeError:
        raise MalformedDocumentError("not UTF-8 text throughout", source=source) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedDocumentError(f"{where}: not JSON: {error.msg}", source=source) from None
    except RecursionError:
        raise MalformedDocumentError("nested too deeply", source=source) from None
    except ValueError as error:
        raise MalformedDocumentError(f"not usable JSON: {error}", source=source) from None
    if _is_deeper_than(yaml.MAX_DEPTH, value):
        raise MalformedDocumentError(f"nested deeper than {yaml.MAX_DEPTH} levels", source=source)
    return value


def dump_json(value: Any) -> bytes:
    """Return `value` as JSON: sorted members, no blanks, whole numbers without a point (after RFC 8785)."""
    plain = _whole(value)
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"member {twice!r} appears twice in one object")
    return members


def _is_deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        collections = [each for each in level if isinstance(each, dict | list)]
        level = [item for each in collections for item in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in level)


def _bounded(text: str) -> int:
    if len(text) > yaml.MAX_DIGITS:
        raise ValueError(f"a number of more than {yaml.MAX_DIGITS} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case list() | tuple():
            return [_whole(item) for item in value]
    return value


def _listed(value: Any) -> Any:
    """Return `value` with lists in place of the tuples that frozen documents hold."""
    match value:
        case dict():
            return {key: _listed(item) for key, item in value.items()}
        case list() | tuple():
            return [_listed(item) for item in value]
    return value


def _at_places(
    value: Any, places: tuple[tuple[str, ...], ...], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Any:
    """Return `value` with every object at one of `places` changed; untouched parts are shared."""
    if not places:
        return value
    if isinstance(value, list):
        inner = tuple(place[1:] for place in places if place[:1] == ("*",))
        return [_at_places(item, inner, change) for item in value]
    if not isinstance(value, dict):
        return value
    changed = change(value) if () in places else dict(value)
    for name in {place[0] for place in places if place} & changed.keys():
        inner = tuple(place[1:] for place in places if place[:1] == (name,))
        changed[name] = _at_places(changed[name], inner, change)
    return changed


def _gather(members: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in members.items() if EXTENSION_NAME.match(name)}
    rest = {name: value for name, value in members.items() if name not in found and name != _EXTENSIONS}
    return {**rest, _EXTENSIONS: found} if found else rest


def _spread(members: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in members.items() if name != _EXTENSIONS}
    return {**rest, **members.get(_EXTENSIONS, {})}


_MISSING = re.compile(r"Object missing required field `(.+)`\Z")
_NO_MEMBER = re.compile(r"Invalid enum value (.+)\Z", re.DOTALL)
_UNQUOTED = re.compile(r"Expected `str`, got `(int|float|bool|null)`\Z")


def _raise_exact(cls: type[Document], plain: Any, error: msgspec.ValidationError, source: str) -> NoReturn:
    """Turn msgspec's error into ours, with the names its paths leave out (`[...]`) filled in."""
    message, _, place = str(error).rpartition(" - at ")
    place = place.removeprefix("`key` in ").strip("`")
    if not message:
        message, place = str(error), "$"
    path, steps = _exact_path(cls, plain, str(error), place)
    if missing := _MISSING.match(message):
        path, message = member(path, missing[1]), "is required"
    else:
        message = _in_words(cls, message, steps)
    raise DocumentError(message, source=source, path=path)


def _in_words(cls: type[Document], message: str, steps: list[int | str]) -> str:
    """Return msgspec's `message` for people: what was expected, not by which pattern or enumeration."""
    if value := _NO_MEMBER.match(message):
        return f"expected one of {', '.join(_choices(msgspec.inspect.type_info(cls), steps))}, got {value[1]}"
    for pattern, words in _IN_WORDS.items():
        if message == f"Expected `str` matching regex {pattern!r}":
            return f"expected {words}"
    hint = "; put it in quotes" if cls.is_yaml and _UNQUOTED.match(message) else ""
    return "e" + message.removeprefix("E").replace("`", "") + hint if message[0] == "E" else message


def _choices(info: Any, steps: list[int | str]) -> list[str]:
    """Return the words an enumeration at `steps` inside the type `info` allows."""
    for step in steps:
        match info:
            case msgspec.inspect.StructType():
                info = next(field.type for field in info.fields if field.encode_name == step)
            case msgspec.inspect.DictType():
                info = info.value_type
            case _:
                info = info.item_type
        if isinstance(info, msgspec.inspect.UnionType):
            info = next(each for each in info.types if not isinstance(each, msgspec.inspect.NoneType))
    return [str(each) for each in info.cls]


def _exact_path(cls: type[Document], plain: Any, error: str, place: str) -> tuple[str, list[int | str]]:
    """Return `place` with every `[...]` replaced by the member that causes `error`, and as steps."""
    first, *others = place.split("[...]")
    path, steps = first, _steps(first)
    for part in others:
        name = _culprit(cls, plain, steps, error)
        plain = _replaced(plain, steps, {name: _at(plain, steps)[name]})
        path = member(path, name) + part
        steps += [name, *_steps(part)]
    return path, steps


def _steps(path: str) -> list[int | str]:
    names = re.findall(r"\[\d+\]|[^.\[\]$]+", path)
    return [int(name[1:-1]) if name[0] == "[" else name for name in names]


def _culprit(cls: type[Document], plain: Any, steps: list[int | str], error: str) -> str:
    """Return the member of the object at `steps` that alone gives the same error."""
    names: list[str] = list(_at(plain, steps))
    for name in names:
        try:
            msgspec.convert(_replaced(plain, steps, {name: _at(plain, steps)[name]}), cls)
        except msgspec.ValidationError as again:
            if str(again) == error:
                return name
    return names[0]


def _at(value: Any, steps: list[int | str]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _replaced(value: Any, steps: list[int | str], new: Any) -> Any:
    """Return a copy of `value` with `new` at `steps`."""
    if not steps:
        return new
    copy = value.copy()
    copy[steps[0]] = _replaced(value[steps[0]], steps[1:], new)
    return copy
