"""From plain values to typed ones, with errors that name the exact path and what was expected, in words.

msgspec checks; its messages show patterns and leave out the names of members (`[...]`). What is
missing is found by converting again with less, which costs something only when there is an error.
"""

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from edgewright.protocol.errors import DocumentError

T = TypeVar("T")

_IN_WORDS: Final[dict[str, str]] = {}
_MISSING = re.compile(r"Object missing required field `(.+)`\Z")
_NO_MEMBER = re.compile(r"Invalid enum value (.+)\Z", re.DOTALL)
_UNQUOTED = re.compile(r"Expected `str`, got `(int|float|bool|null)`\Z")


def matching(pattern: str, in_words: str) -> msgspec.Meta:
    """Return the rule that text matches `pattern`; errors say `in_words` what was expected."""
    _IN_WORDS[pattern] = in_words
    return msgspec.Meta(pattern=pattern)


def member(path: str, name: str) -> str:
    """Return the path of member `name` of the object at `path`."""
    return f"{path}.{name}" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"{path}[{json.dumps(name)}]"


def convert(plain: Any, cls: type[T], *, source: str, is_yaml: bool = False) -> T:
    """Return `plain` (dicts, lists, scalars) as `cls`; raise DocumentError with the exact path.

    `is_yaml` lets the message advise quotes where text was left unquoted.
    """
    try:
        return msgspec.convert(plain, cls)
    except msgspec.ValidationError as error:
        text = str(error)
    message, _, place = text.rpartition(" - at ")
    if not message:
        message, place = text, "$"
    path, steps = _exact_path(cls, plain, text, place.removeprefix("`key` in ").strip("`"))
    if missing := _MISSING.match(message):
        path, message = member(path, missing[1]), "is required"
    elif value := _NO_MEMBER.match(message):
        choices = ", ".join(_choices(msgspec.inspect.type_info(cls), steps))
        message = f"expected one of {choices}, got {value[1]}"
    else:
        message = _in_words(message) + ("; put it in quotes" if is_yaml and _UNQUOTED.match(message) else "")
    raise DocumentError(message, source=source, path=path)


def _in_words(message: str) -> str:
    for pattern, words in _IN_WORDS.items():
        if message == f"Expected `str` matching regex {pattern!r}":
            return f"expected {words}"
    return message[0].lower() + message[1:].replace("`", "")


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


def _exact_path(cls: Any, plain: Any, error: str, place: str) -> tuple[str, list[int | str]]:
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


def _culprit(cls: Any, plain: Any, steps: list[int | str], error: str) -> str:
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
