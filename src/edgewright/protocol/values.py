"""Parameter values: their types, the rules an author sets for them, and their text forms (spec: 15.3, 15.4).

Regular expressions come from packages and run on what people type: pattern and value lengths are
bounded, and the plainest form of catastrophic backtracking, a quantified group around one
quantified item such as `(a+)+`, is refused on import. Who judges for others hands in a `matches` that
has an end (`server/catalogue/patterns.py`); the default is for a person's own command line.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from edgewright.protocol import json
from edgewright.protocol.documents import Part
from edgewright.protocol.errors import DocumentError, EdgewrightError
from edgewright.protocol.yaml import MAX_DIGITS

Scalar = str | bool | int | float
Value = Scalar | tuple[Scalar, ...]

MAX_PATTERN: Final = 1000
MAX_MATCHED_TEXT: Final = 1000
_NESTED_QUANTIFIER = re.compile(r"\((?:\?:)?(?:\[\^?\]?[^\]]*\]|\\.|[^()\[\]\\])[+*][+?]?\)[+*{]")


Matches = Callable[[str, str], bool]
"""Whether a pattern is found in a text; may raise `SlowPatternError`."""


class SlowPatternError(EdgewrightError):
    """Looking for a pattern in a text takes longer than anybody should wait."""

    code = "pattern.slow"

    def __init__(self, pattern: str) -> None:
        super().__init__(f"takes too long to be checked against the pattern {pattern}")


def found_in(pattern: str, text: str) -> bool:
    """Return whether `pattern` is found in `text`, however long that takes."""
    return re.search(pattern, text) is not None


def unwritable(value: Value) -> str | None:
    """Return why no document can hold `value`, or no process be given it; None where one can."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, str) and "\x00" in item:
            return "cannot contain NUL characters, which no environment variable can have"
        if isinstance(item, int) and abs(item) >= 10**MAX_DIGITS:
            return f"takes at most {MAX_DIGITS} digits"
    return None


class DataType(StrEnum):
    """Types of parameter values, in the documents' words."""

    STRING = "string"
    INTEGER = "integer"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    STRINGS = "array[string]"
    INTEGERS = "array[integer]"
    DOUBLES = "array[double]"
    BOOLEANS = "array[boolean]"

    @property
    def item(self) -> "DataType":
        """The type of one element; a scalar type is its own."""
        return DataType(self.removeprefix("array[").removesuffix("]"))


class Schema(Part, frozen=True, kw_only=True):
    """The rules for one kind of value; only those that suit the data type have a meaning.

    Lengths are in characters, precisions in digits after the point of the shortest form.
    """

    name: str
    data_type: DataType
    allow_empty: bool = False
    min_length: int | None = None
    max_length: int | None = None
    regex_match: str | None = None
    min_value: int | float | None = None
    max_value: int | float | None = None
    min_precision: int | None = None
    max_precision: int | None = None
    multiselect: bool = False
    options: tuple[Scalar, ...] | None = None

    @property
    def takes_array(self) -> bool:
        """Whether values are arrays: by type, or because several options may be chosen (spec: CFG-5)."""
        return self.multiselect or self.data_type is not self.data_type.item

    def is_of_type(self, value: Value) -> bool:
        """Whether `value` is of this type, whatever the rules say about it."""
        items = value if isinstance(value, tuple) else (value,)
        is_array = isinstance(value, tuple)
        return is_array == self.takes_array and all(_has_type(self.data_type.item, item) for item in items)

    def judge(self, value: Value, matches: Matches = found_in) -> Iterator[str]:
        """Yield for people what is wrong with `value` (spec: CFG-2, CFG-4, CFG-5)."""
        if value in {"", ()} and not self.allow_empty:
            yield "a value is needed"
        elif self.takes_array != isinstance(value, tuple):
            yield f"expected {'an array' if self.takes_array else 'a single value'} of {self.data_type.item}"
        elif value != "":
            for item in value if isinstance(value, tuple) else (value,):
                yield from self._judge_item(item, matches)

    def coerce(self, text: str) -> Value:
        """Return `text` as a value of this type; raise ValueError when it is none. Rules are not judged.

        Blanks around items between commas, and around what is no text, mean nothing.
        """
        if not self.takes_array:
            return _coerce_item(self.data_type, text)
        if not text.lstrip().startswith("["):
            return tuple(_coerce_item(self.data_type.item, item.strip()) for item in text.split(",") if text)
        try:
            items = json.load(text.encode(), source="array")
        except DocumentError as error:
            raise ValueError(f"expected a JSON array or values separated by commas: {error.detail}") from None
        if not isinstance(items, list) or not all(_has_type(self.data_type.item, item) for item in items):
            raise ValueError(f"expected an array of {self.data_type.item}")
        return tuple(items)

    def pick(self, texts: Sequence[str]) -> Value:
        """Return what was picked among the options, which are written as these texts, in their type.

        Raises ValueError for a text of another type. Whether it is an option is not judged.
        """
        item = self.data_type.item
        options = {value_text(one): one for one in self.options or () if _has_type(item, one)}
        picked = tuple(options[text] if text in options else _coerce_item(item, text) for text in texts)
        return picked if self.takes_array else picked[0]

    def _judge_item(self, item: Scalar, matches: Matches) -> Iterator[str]:
        if not _has_type(self.data_type.item, item):
            yield f"expected {self.data_type.item}, got {item!r}"
            return
        if self.options is not None and not any(_is_option(option, item) for option in self.options):
            yield f"{value_text(item)!r} is none of {', '.join(map(value_text, self.options))}"
        if isinstance(item, str):
            yield from self._judge_text(item, matches)
        elif not isinstance(item, bool):
            yield from self._judge_number(item)

    def _judge_text(self, text: str, matches: Matches) -> Iterator[str]:
        if self.min_length is not None and len(text) < self.min_length:
            yield f"needs at least {self.min_length} characters"
        if self.max_length is not None and len(text) > self.max_length:
            yield f"takes at most {self.max_length} characters"
        if self.regex_match is None:
            return
        if len(text) > MAX_MATCHED_TEXT:
            yield f"takes at most {MAX_MATCHED_TEXT} characters where a pattern is set"
            return
        try:
            if not matches(self.regex_match, text):
                yield f"does not match the pattern {self.regex_match}"
        except SlowPatternError as error:
            yield str(error)

    def _judge_number(self, number: int | float) -> Iterator[str]:
        if self.min_value is not None and number < self.min_value:
            yield f"has to be at least {value_text(self.min_value)}"
        if self.max_value is not None and number > self.max_value:
            yield f"has to be at most {value_text(self.max_value)}"
        digits = _precision(number)
        if self.min_precision is not None and digits < self.min_precision:
            yield f"needs at least {self.min_precision} digits after the point"
        if self.max_precision is not None and digits > self.max_precision:
            yield f"takes at most {self.max_precision} digits after the point"


def pattern_problem(pattern: str) -> str | None:
    """Return why `pattern` cannot be used as a rule, None when it can."""
    if len(pattern) > MAX_PATTERN:
        return f"longer than {MAX_PATTERN} characters"
    if _NESTED_QUANTIFIER.search(pattern):
        return "a repeated group around one repeated item takes exponential time"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    return None


def value_text(value: Value) -> str:
    """Return a value as text of an environment variable (docs/spec-notes.md, Parameter values).

    Texts as they are, `true` and `false`, numbers in their shortest form, arrays joined by commas.
    """
    match value:
        case tuple():
            return ",".join(map(value_text, value))
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
    return str(value)


def _has_type(data_type: DataType, value: Any) -> bool:
    match data_type:
        case DataType.STRING:
            return isinstance(value, str)
        case DataType.BOOLEAN:
            return isinstance(value, bool)
        case DataType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _coerce_item(data_type: DataType, text: str) -> Scalar:
    if data_type is not DataType.STRING:
        text = text.strip()
    match data_type:
        case DataType.BOOLEAN if text in {"true", "false"}:
            return text == "true"
        case DataType.INTEGER if re.fullmatch(r"[-+]?[0-9]{1,300}", text):
            return int(text)
        case DataType.DOUBLE if re.fullmatch(
            r"[-+]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,3})?", text
        ):
            # A whole number stays one, as in YAML and JSON: neither 5 nor 2**63 becomes another number.
            number = float(text)
            if math.isinf(number):
                raise ValueError(f"{text[:80]!r}: too large for a number")
            return int(text) if text.lstrip("+-").isdigit() else number
        case DataType.STRING:
            return text
    if not text:
        return text
    example = {DataType.BOOLEAN: "true or false", DataType.INTEGER: "a whole number"}.get(
        data_type, "a number"
    )
    raise ValueError(f"{text[:80]!r}: expected {example}")


def _is_option(option: Scalar, value: Scalar) -> bool:
    """Tell whether `value` is `option`; the data model writes options as text whatever the type."""
    if isinstance(option, str) and not isinstance(value, str):
        return option == value_text(value)
    return isinstance(option, bool) == isinstance(value, bool) and option == value


def _precision(number: int | float) -> int:
    """Return how many digits follow the point in the shortest form."""
    exponent = Decimal(value_text(number)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
