"""JSON as the documents need it: read defensively, written so that equal values are equal bytes."""

import json
import math
from typing import Any, NoReturn

from edgewright.protocol.errors import MalformedDocumentError
from edgewright.protocol.yaml import MAX_DEPTH, MAX_DIGITS


def load(data: bytes, *, source: str) -> Any:
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
    if _is_deeper_than(MAX_DEPTH, value):
        raise MalformedDocumentError(f"nested deeper than {MAX_DEPTH} levels", source=source)
    return value


def dump(value: Any) -> bytes:
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
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
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
