import json
import string

import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.protocol.errors import MalformedDocumentError


def load(text, **options):
    return yaml.load(text.encode() if isinstance(text, str) else text, source="margo.yaml", **options)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("n", "n"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.0.9", "1.0.9"),
        ("0b11", "0b11"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("! 12", "12"),
        ("--- x", "x"),
        ("18446744073709551615", 2**64 - 1),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("&a [1, 2]", [1, 2]),
        ("x: &a [1]\ny: *a", {"x": [1], "y": [1]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    loaded = load(text)
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' appears twice", id="duplicate key"),
        pytest.param('a: 1\n"a": 3\n', "line 2", id="duplicate key, quoted once"),
        pytest.param("a: 1\n---\nb: 2\n", "second document", id="two documents"),
        pytest.param("", "empty", id="nothing"),
        pytest.param("# only a comment\n", "empty", id="only a comment"),
        pytest.param("1: a", "put 1 in quotes", id="number as key"),
        pytest.param("true: a", "quotes", id="boolean as key"),
        pytest.param("? [a]\n: b", "key has to be text", id="list as key"),
        pytest.param("<<: {a: 1}", "merge keys", id="merge key"),
        pytest.param("a: &x {b: *x}", "finished before", id="alias to itself"),
        pytest.param("a: *x", "alias", id="unknown alias"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "tag", id="python tag"),
        pytest.param("a: !secret x", "tag", id="own tag"),
        pytest.param("a: !!int x", "tag", id="tag that does not suit"),
        pytest.param("a: !!timestamp 2024-01-01", "tag", id="timestamp tag"),
        pytest.param("a: .nan", "finite", id="not a number"),
        pytest.param("a: -.inf", "finite", id="infinity"),
        pytest.param("a: 1e999", "too large", id="beyond doubles"),
        pytest.param("a: " + "9" * 301, "digits", id="too many digits"),
        pytest.param("[" * 65 + "]" * 65, "nested deeper", id="deep lists"),
        # Newer parsers have a limit of their own, and say so in other words.
        pytest.param("[" * 200_000, "nest", id="very deep lists"),
        pytest.param("a: [1, 2", "line", id="cut"),
        pytest.param("a: b: c", "line 1", id="two values"),
        pytest.param("a:\n\t- b", "line 2", id="tab"),
        pytest.param("a: \x01", "character", id="control character"),
        pytest.param(b"a: \xff", "UTF-8", id="not UTF-8"),
        pytest.param("a: b".encode("utf-16"), "UTF-8", id="UTF-16"),
    ],
)
def test_what_could_be_misread_is_refused_with_its_place(text, says):
    with pytest.raises(MalformedDocumentError) as caught:
        load(text)
    assert says in caught.value.detail
    assert caught.value.source == "margo.yaml"


def test_an_alias_bomb_is_refused():
    bomb = "a: &a [" + ", ".join(["x"] * 10) + "]\n"
    for name, before in zip("bcdefghi", "abcdefgh", strict=True):
        bomb += f"{name}: &{name} [" + ", ".join([f"*{before}"] * 10) + "]\n"
    with pytest.raises(MalformedDocumentError, match="expands to more"):
        load(bomb)


def test_a_document_over_the_limit_is_refused_unread():
    with pytest.raises(MalformedDocumentError, match="larger than 10 bytes"):
        load("a: 0123456789", limit=10)


def test_the_same_is_understood_without_the_c_parser(monkeypatch):
    monkeypatch.setattr(yaml, "_Parser", pyyaml.SafeLoader)
    assert load("a: [yes, 1, {b: 2024-01-01}]") == {"a": ["yes", 1, {"b": "2024-01-01"}]}
    with pytest.raises(MalformedDocumentError, match="appears twice"):
        load("a: 1\na: 2")
    with pytest.raises(MalformedDocumentError, match="character"):
        load("a: \x01")


texts = st.one_of(
    st.text(),
    st.text(string.printable),
    st.sampled_from(
        ["yes", "No", "on", "y", "~", "null", "1e3", "0o7", "0b1", "1_0", "12:30", "2024-01-01", "=", "<<",
         "-", "? ", ": ", "#", "a #b", "a: b", "a:", "!x", "&a", "*a", "%", "@", "`", "'", '"', "|", ">",
         "---", "...", " a", "a ", "a\nb", "\t", "\u0085", "\u2028", "\ufeff", "\x7f", "😀", "0x1", ".5",
         "1.", "+1", "NaN", ".inf", "true"]
    ),
)  # fmt: skip
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)


@given(values)
def test_what_is_written_reads_back_as_the_same_value(value):
    assert load(yaml.dump(value)) == value
    assert yaml.dump(load(yaml.dump(value))) == yaml.dump(value)


@given(values)
def test_readers_of_yaml_1_1_understand_the_same(value):
    assert pyyaml.load(yaml.dump(value), Loader=pyyaml.SafeLoader) == value


@given(st.one_of(st.binary(max_size=300), st.text(alphabet="ab:-?[]{}&*!|>'\"%#,\n <0.", max_size=200)))
def test_any_bytes_are_a_value_or_refused_with_our_error(data):
    try:
        value = load(data)
    except MalformedDocumentError:
        return
    assert load(yaml.dump(value)) == value


def test_the_order_of_keys_is_kept():
    assert yaml.dump({"b": 1, "a": [{"d": 1, "c": ()}]}) == b"b: 1\na:\n  - d: 1\n    c: []\n"


def test_values_without_a_place_in_yaml_are_programming_errors():
    with pytest.raises(TypeError):
        yaml.dump({"a": object()})
    with pytest.raises(ValueError, match="finite"):
        yaml.dump([float("nan")])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.none() | st.just(2))
@example("\x7f\x85\u2028\ufeff\ufffe\uffff \U0001f600", None)
def test_json_that_is_written_for_readers_of_yaml_is_the_same_to_both(text, indent):
    written = yaml.dump_json({text: [text]}, indent=indent)
    assert json.loads(written) == {text: [text]}
    assert yaml.load(written.encode(), source="test") == {text: [text]}
