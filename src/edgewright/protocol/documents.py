"""The base of every document of the wire: decode with exact paths, keep extensions, render stably.

Decoding is tolerant (unknown members are ignored) and exact (every error names its path in wire names);
rendering is deterministic. Digests never come from a rendering but from the bytes that were served.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec

from edgewright.protocol import json, yaml
from edgewright.protocol.conversion import convert, matching
from edgewright.protocol.errors import DocumentError

EXTENSION_NAME: Final = re.compile(r"x-[a-z][a-z0-9-]*-extensions\Z")
# The struct member extensions are gathered under; no wire name can be this one (spec: EXT-1).
_EXTENSIONS: Final = "x-*-extensions"

MAX_U64: Final = 2**64 - 1
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
        plain = yaml.load(data, source=source) if cls.is_yaml else json.load(data, source=source)
        return cls.from_plain(plain, source=source)

    @classmethod
    def from_plain(cls, plain: Any, *, source: str = "document") -> Self:
        """Check and convert an already decoded value, which is left as it is."""
        plain = _at_places(plain, cls.extension_places, _gather)
        document = convert(plain, cls, source=source, is_yaml=cls.is_yaml)
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
        return yaml.dump(self.to_plain()) if self.is_yaml else json.dump(self.to_plain())


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
