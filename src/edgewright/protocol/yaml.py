"""YAML as the documents need it: the core schema of YAML 1.2, read defensively, written unmistakably.

`load` builds the value itself from the parser's events, so that nesting, aliases and duplicates are
bounded before anything is built: no timestamps, no sexagesimal numbers, `on` and `yes` are text.
Merge keys (`<<`) and tags beyond the core schema are refused rather than misread. `dump` writes
block style with the given key order and quotes every text that some reader of YAML 1.1 or 1.2
could take for something else.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from edgewright.protocol.errors import MalformedDocumentError

_Parser: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEFAULT_LIMIT = 1 << 20
MAX_DEPTH = 64
# What a document may grow to through aliases, in nodes: more than any document of one mebibyte needs.
MAX_NODES = 500_000
# Every integer fits a double's range this way, so that comparing and formatting never overflow.
MAX_DIGITS = 300

_INT = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAG = "tag:yaml.org,2002:"


def load(data: bytes, *, source: str, limit: int = DEFAULT_LIMIT) -> Any:
    """Return the one document in `data` as plain dicts, lists and scalars.

    `limit` is in bytes. Raises MalformedDocumentError naming `source` and the line.
    """
    builder = _Builder(source)
    for event in _events(data, source=source, limit=limit):
        builder.take(event)
    if not builder.documents:
        raise MalformedDocumentError("empty, expected one YAML document", source=source)
    return builder.value


def load_all(data: bytes, *, source: str, limit: int = DEFAULT_LIMIT) -> list[tuple[int, Any]]:
    """Return all documents in `data`, each with the line it begins at (from 1); as `load` does otherwise."""
    found: list[tuple[int, _Builder]] = []
    for event in _events(data, source=source, limit=limit):
        if isinstance(event, yaml.DocumentStartEvent):
            line = event.end_mark.line + 1 if event.end_mark else 1
            found.append((line, _Builder(source)))
        if found:
            found[-1][1].take(event)
    return [(line, builder.value) for line, builder in found]


def _events(data: bytes, *, source: str, limit: int) -> Iterator[Any]:
    """Yield what the parser finds; its errors become ours."""
    if len(data) > limit:
        raise MalformedDocumentError(f"larger than {limit} bytes", source=source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedDocumentError(f"not UTF-8 at byte {error.start}", source=source) from None
    try:
        yield from yaml.parse(text, Loader=_Parser)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise MalformedDocumentError(f"{line}{error.problem or error.context}", source=source) from error
    except yaml.reader.ReaderError as error:
        raise MalformedDocumentError(f"character {error.position}: {error.reason}", source=source) from error


def line_of(data: bytes, path: str) -> int | None:
    """Return the line (from 1) of what is at `path`, such as `$.polling.periods[1]`; None for the whole.

    `data` is a document that `load` returned the value of. For a part that is not there it is the line of the
    last one on the way to it that is.
    """
    node, line = yaml.compose(data.decode("utf-8-sig"), Loader=_Parser), None
    for name, index in re.findall(r"\.([A-Za-z0-9_-]+)|\[(\d+|\"(?:[^\"\\\\]|\\\\.)*\")\]", path):
        if isinstance(node, yaml.SequenceNode) and index.isdigit() and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line + 1
            continue
        wanted = name or json.loads(index)
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((key, value) for key, value in pairs if key.value == wanted), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


class _Open:
    """A collection whose end has not been seen yet."""

    __slots__ = ("anchor", "key", "size", "value", "waits_for_value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.size = 1
        self.key = ""
        self.waits_for_value = False


class _Builder:
    """Turns parser events into one plain value, refusing what the module's docstring names."""

    def __init__(self, source: str) -> None:
        self.value: Any = None
        self.documents = 0
        self._source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise self._error(event, "a second document, expected only one")
            case yaml.ScalarEvent():
                value = self._scalar(event)
                self._place(event, value, 1)
                if event.anchor:
                    self._anchors[event.anchor] = (value, 1)
            case yaml.SequenceStartEvent():
                self._start(event, [], "seq")
            case yaml.MappingStartEvent():
                self._start(event, {}, "map")
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self._open.pop()
                if done.anchor:
                    self._anchors[done.anchor] = (done.value, done.size)
                self._place(event, done.value, done.size)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise self._error(event, f"alias *{event.anchor} names nothing finished before it")
                self._place(event, *self._anchors[event.anchor])

    def _start(self, event: Any, value: dict[str, Any] | list[Any], kind: str) -> None:
        if event.tag not in {None, "!", _TAG + kind}:
            raise self._error(event, f"tag {event.tag!r} is not supported")
        if self._open and isinstance(self._open[-1].value, dict) and not self._open[-1].waits_for_value:
            raise self._error(event, "a mapping key has to be text")
        if len(self._open) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        self._open.append(_Open(value, event.anchor))

    def _place(self, event: Any, value: Any, size: int) -> None:
        self._nodes += size if isinstance(event, yaml.AliasEvent) else 1
        if self._nodes > MAX_NODES:
            raise self._error(event, f"expands to more than {MAX_NODES} nodes")
        if not self._open:
            self.value = value
            return
        parent = self._open[-1]
        parent.size += size
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.waits_for_value:
            parent.value[parent.key] = value
            parent.waits_for_value = False
        else:
            parent.key = self._key(event, value, parent.value)
            parent.waits_for_value = True

    def _key(self, event: Any, value: Any, mapping: Mapping[str, Any]) -> str:
        if not isinstance(value, str):
            raise self._error(event, f"a mapping key has to be text, put {json.dumps(value)} in quotes")
        if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            raise self._error(event, "merge keys (<<) are not part of YAML 1.2")
        if value in mapping:
            raise self._error(event, f"key {value!r} appears twice in one mapping")
        return value

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag == "!":
            return text
        if event.tag is None:
            return self._resolve(event, text) if event.implicit[0] else text
        kind = event.tag.removeprefix(_TAG)
        if kind == "str":
            return text
        value = self._resolve(event, text)
        if kind == "float" and type(value) is int:
            return float(value)
        if kind != {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value)):
            raise self._error(event, f"tag {event.tag!r} does not suit {text[:40]!r}")
        return value

    def _resolve(self, event: Any, text: str) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _INT.match(text):
            if len(text) > MAX_DIGITS:
                raise self._error(event, f"a number of more than {MAX_DIGITS} digits")
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _NOT_FINITE.match(text):
            raise self._error(event, f"{text} is not a finite number")
        if _FLOAT.match(text):
            number = float(text)
            if math.isinf(number):
                raise self._error(event, f"{text[:40]} is too large a number")
            return number
        return text

    def _error(self, event: Any, message: str) -> MalformedDocumentError:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        return MalformedDocumentError(f"line {line}, column {column}: {message}", source=self._source)


# Text that no reader takes for anything else: starts with a letter or slash, holds no indicator and is
# no word of YAML 1.1 (`yes`, `off`, `n` …) or 1.2.
_PLAIN = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./@+*()-]|[:](?=[^\s:])| (?=[A-Za-z0-9(/]))*\Z")
_AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Return `value` as JSON that a YAML reader takes for the same.

    YAML knows no surrogate pairs in escapes, and folds or refuses some characters that JSON lets stand.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def dump(value: Any) -> bytes:
    """Return `value` (dicts with text keys, lists, tuples, scalars) as YAML, keys in the given order.

    The same value always gives the same bytes, on every machine.
    """
    return ("\n".join(_lines(value)) + "\n").encode("utf-8")


def _lines(value: Any) -> Iterator[str]:
    """Yield the lines of one node, without the indentation its parent gives it."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _item(f"{_text(key)}:", item, nested="  ")
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar_text(value)


def _item(head: str, value: Any, *, nested: str) -> Iterator[str]:
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        yield head
        yield from (nested + line for line in _lines(value))
    else:
        yield f"{head} {_scalar_text(value)}"


def _scalar_text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return _float_text(value)
        case str():
            return _text(value)
        case Mapping():
            return "{}"
        case Sequence():
            return "[]"
    raise TypeError(f"YAML has no place for {type(value).__name__}")


def _float_text(value: float) -> str:
    """Write a double so that readers of YAML 1.1, who want a point, see a number too."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    mantissa, mark, exponent = repr(value).partition("e")
    return mantissa + (".0" if "." not in mantissa else "") + mark + exponent


def _text(text: str) -> str:
    return text if _PLAIN.match(text) and text.lower() not in _AMBIGUOUS else dump_json(text)
