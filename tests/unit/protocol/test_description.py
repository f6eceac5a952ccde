import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.protocol.description import ApplicationDescription, coerce_text, validate_value
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.values import DataType, Schema, pattern_problem

BASE = {
    "apiVersion": "v1",
    "id": "hello-world",
    "metadata": {
        "name": "Hello World",
        "version": "1.0.0",
        "catalog": {
            "application": {"icon": "./resources/logo.png", "site": "https://example.org"},
            "organization": [{"name": "Example"}],
        },
    },
    "deploymentProfiles": [
        {
            "type": "compose",
            "id": "hello-compose",
            "components": [
                {
                    "name": "web",
                    "properties": {
                        "repository": "oci://registry.example/web",
                        "revision": "1.0.0-rc.1_build.5",
                    },
                }
            ],
        }
    ],
    "parameters": {
        "greeting": {"value": "Hello", "targets": [{"pointer": "GREETING", "components": ["web"]}]},
        "rate": {"targets": [{"pointer": "RATE", "components": ["web"]}]},
        "free": {"value": 1.5, "targets": []},
        "names": {"value": ["a"], "targets": []},
        "flag": {"value": False, "targets": []},
        "count": {"value": 3, "targets": []},
    },
    "configuration": {
        "sections": [
            {
                "name": "General",
                "settings": [
                    {"parameter": "greeting", "name": "Greeting", "schema": "text", "immutable": True},
                    {"parameter": "rate", "name": "Rate", "schema": "rate"},
                ],
            }
        ],
        "schema": [
            {"name": "text", "dataType": "string", "maxLength": 10, "regexMatch": "^[A-Z]"},
            {"name": "rate", "dataType": "integer", "minValue": 1, "maxValue": 60},
        ],
    },
}


def base(change=lambda value: None):
    value = copy.deepcopy(BASE)
    change(value)
    return value


def parse(value):
    return ApplicationDescription.parse(yaml.dump(value), source="margo.yaml")


HELLO = parse(BASE)


def test_rendering_is_stable():
    assert ApplicationDescription.parse(HELLO.render()) == HELLO
    assert ApplicationDescription.parse(HELLO.render()).render() == HELLO.render()


def test_lookups_find_what_the_document_says():
    assert HELLO.resources == {"icon": "resources/logo.png"}
    assert HELLO.immutable_parameters == {"greeting"}
    assert HELLO.profile("hello-compose") is HELLO.deployment_profiles[0]
    assert HELLO.profile("other") is None


@pytest.mark.requirement("PKG-4", "EXT-2", "EXT-3")
def test_extensions_and_unknown_members_do_not_fail_an_import():
    def change(value):
        value["x-acme-extensions"] = {"root": 1}
        value["x-other-extensions"] = {}
        value["deploymentProfiles"][0]["x-acme-extensions"] = {"profile": [1]}
        value["deploymentProfiles"][0]["components"][0]["x-acme-extensions"] = {"component": None}
        value["metadata"]["unknown"] = True

    parsed = parse(base(change))
    assert parsed.extensions == {"x-acme-extensions": {"root": 1}, "x-other-extensions": {}}
    assert parsed.deployment_profiles[0].extensions == {"x-acme-extensions": {"profile": [1]}}
    assert parsed.deployment_profiles[0].components[0].extensions == {
        "x-acme-extensions": {"component": None}
    }
    assert ApplicationDescription.parse(parsed.render()) == parsed


def put(path, new):
    def change(value):
        *steps, last = path
        for step in steps:
            value = value[step]
        value[last] = new

    return base(change)


PROFILE = ("deploymentProfiles", 0)
SETTING = ("configuration", "sections", 0, "settings", 0)
SCHEMA = ("configuration", "schema", 0)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param(
            put(["apiVersion"], "margo.org/v1-alpha1"),
            "$.apiVersion",
            id="older API version",
            marks=pytest.mark.requirement("VER-2", "PKG-6"),
        ),
        pytest.param(
            put(["apiVersion"], 1),
            "$.apiVersion",
            id="number as API version",
            marks=pytest.mark.requirement("VER-2"),
        ),
        pytest.param(base(lambda value: value.pop("apiVersion")), "$.apiVersion", id="no API version"),
        pytest.param(put(["id"], "Hello"), "$.id", id="upper case id"),
        pytest.param(put(["id"], "a" * 201), "$.id", id="long id"),
        pytest.param(
            put(["metadata", "version"], "1.0+x"),
            "$.metadata.version",
            id="version that is no tag",
            marks=pytest.mark.requirement("OP-28", "REG-6"),
        ),
        pytest.param(put(["metadata", "version"], 1.0), "$.metadata.version", id="version as a number"),
        pytest.param(base(lambda v: v["metadata"].pop("catalog")), "$.metadata.catalog", id="no catalogue"),
        pytest.param(
            put(["metadata", "catalog", "application", "icon"], "../../etc/passwd"),
            "$.metadata.catalog.application.icon",
            id="resource outside the package",
        ),
        pytest.param(put(["deploymentProfiles"], []), "$.deploymentProfiles", id="no profiles"),
        pytest.param(
            put([*PROFILE, "type"], "docker-compose"), "$.deploymentProfiles[0].type", id="old type"
        ),
        pytest.param(
            base(lambda v: v["deploymentProfiles"].append(v["deploymentProfiles"][0])),
            "$.deploymentProfiles[1].id",
            id="profile twice",
        ),
        pytest.param(
            put([*PROFILE, "components", 0, "name"], "Web_1"),
            "$.deploymentProfiles[0].components[0].name",
            id="component name",
        ),
        pytest.param(
            put([*PROFILE, "components", 0, "properties", "revision"], "v1.0.0"),
            "$.deploymentProfiles[0].components[0].properties.revision",
            id="v before the version",
            marks=pytest.mark.requirement("PKG-1"),
        ),
        pytest.param(
            put([*PROFILE, "components", 0, "properties", "revision"], "1.0"),
            "$.deploymentProfiles[0].components[0].properties.revision",
            id="no SemVer",
            marks=pytest.mark.requirement("PKG-1"),
        ),
        pytest.param(
            put([*PROFILE, "deviceConstraints"], {"capacityRequirements": {"memory": "1024 Mi"}}),
            "$.deploymentProfiles[0].deviceConstraints.capacityRequirements.memory",
            id="blank in a requirement",
        ),
        pytest.param(
            put(["parameters", "greeting", "targets", 0, "components"], ["web", "db"]),
            "$.parameters.greeting.targets[0].components[1]",
            id="target that does not exist",
        ),
        pytest.param(
            put(["parameters", "greeting", "targets", 0, "pointer"], "MY VARIABLE"),
            "$.parameters.greeting.targets[0].pointer",
            id="no name of an environment variable",
        ),
        pytest.param(
            put(["parameters", "greeting", "value"], {}), "$.parameters.greeting.value", id="object value"
        ),
        pytest.param(
            put([*SETTING, "parameter"], "other"),
            "$.configuration.sections[0].settings[0].parameter",
            id="setting of no parameter",
        ),
        pytest.param(
            put([*SETTING, "schema"], "other"),
            "$.configuration.sections[0].settings[0].schema",
            id="no such schema",
        ),
        pytest.param(
            put([*SCHEMA, "dataType"], "float"), "$.configuration.schema[0].dataType", id="data type"
        ),
        pytest.param(put([*SCHEMA, "name"], "rate"), "$.configuration.schema[1].name", id="schema twice"),
        pytest.param(
            put([*SCHEMA, "regexMatch"], "("), "$.configuration.schema[0].regexMatch", id="bad pattern"
        ),
        pytest.param(
            put([*SCHEMA, "regexMatch"], "^(a+)+$"),
            "$.configuration.schema[0].regexMatch",
            id="explosive pattern",
        ),
    ],
)
def test_unusable_descriptions_are_refused_with_their_path(value, path):
    with pytest.raises(DocumentError) as caught:
        parse(value)
    assert caught.value.path == path


def schema(kind="string", **rules):
    return Schema(name="x", data_type=DataType(kind), **rules)


@pytest.mark.requirement("CFG-2")
@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        pytest.param(schema(), ["x", "12"], [1, True, 1.5, ("x",)], id="string"),
        pytest.param(schema("integer"), [0, -5, 2**70], ["1", 1.0, True, (1,)], id="integer"),
        pytest.param(schema("double"), [1, 1.5, -0.1], ["1.5", True, (1.5,)], id="double"),
        pytest.param(schema("boolean"), [True, False], ["true", 1, 0], id="boolean"),
        pytest.param(schema("array[string]"), [("a",), ("a", "b")], ["a", (1,), ("a", 1)], id="strings"),
        pytest.param(schema("array[integer]"), [(1, 2)], [1, (1.5,), (True,), ("1",)], id="integers"),
        pytest.param(schema("array[double]"), [(1, 2.5)], [1.5, (True,)], id="doubles"),
        pytest.param(schema("array[boolean]"), [(True, False)], [True, (1,)], id="booleans"),
        pytest.param(schema(min_length=2, max_length=3), ["ab", "äöü"], ["a", "abcd"], id="lengths"),
        pytest.param(schema(regex_match="b"), ["abc", "b"], ["ac"], id="pattern found anywhere"),
        pytest.param(schema(regex_match="^b$"), ["b"], ["abc", "bb"], id="anchored pattern"),
        pytest.param(
            schema("integer", min_value=30, max_value=360), [30, 360], [29, 361], id="integer range"
        ),
        pytest.param(
            schema("double", min_value=0.5, max_value=1), [0.5, 1, 0.75], [0.4, 1.01], id="double range"
        ),
        pytest.param(schema("double", max_precision=1), [1, 0.5, 2.0], [0.25], id="most digits"),
        pytest.param(schema("double", min_precision=2), [0.25, 1.125], [0.5, 1], id="least digits"),
        pytest.param(schema("array[integer]", max_value=5), [(1, 5)], [(1, 6)], id="rules of elements"),
    ],
)
def test_values_are_judged_by_type_and_every_rule(rules, good, bad):
    assert [list(rules.judge(value)) for value in good] == [[] for _ in good]
    assert all(list(rules.judge(value)) for value in bad)


@pytest.mark.requirement("CFG-5")
@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        pytest.param(schema(options=("a", "b")), ["a"], ["c", ("a",)], id="one of several"),
        pytest.param(
            schema(options=("a", "b"), multiselect=True),
            [("a",), ("b", "a")],
            ["a", ("a", "c")],
            id="several",
        ),
        pytest.param(schema("integer", options=(1, 2)), [1], [3, "1", True], id="numbers"),
        pytest.param(schema("integer", options=("1", "2")), [1], [3], id="numbers written as text"),
        pytest.param(schema("boolean", options=(True,)), [True], [False], id="booleans"),
        pytest.param(
            schema("array[integer]", options=(1, 2), multiselect=True), [(1, 2)], [(3,), 1], id="array type"
        ),
    ],
)
def test_choices_come_from_the_options(rules, good, bad):
    assert [list(rules.judge(value)) for value in good] == [[] for _ in good]
    assert all(list(rules.judge(value)) for value in bad)


@pytest.mark.requirement("CFG-4", "OP-12")
@pytest.mark.parametrize("kind", list(DataType))
def test_an_empty_value_is_good_only_where_it_is_allowed_and_of_the_types_kind(kind):
    lenient = schema(kind, allow_empty=True, min_length=5, min_value=1)
    empty, other = ((), "") if lenient.takes_array else ("", ())
    assert list(schema(kind).judge(empty)) == list(schema(kind).judge(other)) == ["a value is needed"]
    assert list(lenient.judge(empty)) == []
    assert "expected a" in next(lenient.judge(other))


@pytest.mark.requirement("CFG-2")
def test_values_of_a_description_are_judged_by_its_settings():
    assert validate_value(HELLO, "greeting", "Hi") == []
    assert validate_value(HELLO, "greeting", "hi there, world") == [
        "takes at most 10 characters",
        "does not match the pattern ^[A-Z]",
    ]
    assert validate_value(HELLO, "rate", 61) == ["has to be at most 60"]
    assert validate_value(HELLO, "free", "anything") == []
    assert validate_value(HELLO, "nothing", 1) == ["there is no parameter nothing"]


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ("greeting", "12", "12"),
        ("rate", "12", 12),
        ("rate", "-3", -3),
        ("rate", "", ""),
        ("free", "2", 2),
        ("free", "2.0", 2.0),
        ("free", "9223372036854775807", 2**63 - 1),
        ("free", "1e-300", 1e-300),
        ("free", "1e3", 1000.0),
        ("names", "a,b", ("a", "b")),
        ("names", '["a,b", "c"]', ("a,b", "c")),
        ("names", "", ()),
        ("flag", "true", True),
        ("flag", "false", False),
        ("count", "7", 7),
    ],
)
def test_typed_text_becomes_a_value_of_the_parameters_type(parameter, text, value):
    coerced = coerce_text(HELLO, parameter, text)
    assert coerced == value
    assert type(coerced) is type(value)


@pytest.mark.parametrize(
    ("parameter", "text", "says"),
    [
        ("rate", "x", "a whole number"),
        ("rate", "1.5", "a whole number"),
        ("rate", "٣", "a whole number"),
        ("free", "1,5", "a number"),
        ("free", "nan", "a number"),
        ("flag", "yes", "true or false"),
        ("names", "[1]", "array of string"),
        ("names", "[", "JSON array"),
        ("nothing", "x", "no such parameter"),
    ],
)
def test_text_of_another_type_is_refused_naming_the_parameter(parameter, text, says):
    with pytest.raises(DocumentError, match=says) as caught:
        coerce_text(HELLO, parameter, text)
    assert parameter in str(caught.value)


@given(st.sampled_from(sorted(HELLO.parameters)), st.text(max_size=30))
def test_any_text_is_a_value_or_refused_with_our_error(parameter, text):
    try:
        value = coerce_text(HELLO, parameter, text)
    except DocumentError:
        return
    validate_value(HELLO, parameter, value)


@pytest.mark.requirement("CFG-6")
@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*)*", "([a-z]+)*$", r"(\w+){2,}", "(.*)*x", "a" * 1001])
def test_patterns_that_could_run_for_ever_are_refused(pattern):
    assert pattern_problem(pattern)


@pytest.mark.requirement("CFG-6")
@pytest.mark.parametrize(
    "pattern",
    [
        ".*@[a-z0-9.-]*",
        r"^(http(s):\/\/.)[-a-zA-Z0-9@:%._\+~#=]{2,256}\.[a-z]{2,6}\b([-a-zA-Z0-9@:%_\+.~#?&//=]*)$",
        r"^[a-z]+(\.[a-z]+)*$",
        r"^(?=.*\d).{8,}$",
        r"([a-z]+\.)+com",
    ],
)
def test_usual_patterns_are_accepted(pattern):
    assert pattern_problem(pattern) is None


@pytest.mark.requirement("CFG-6")
def test_text_too_long_for_a_pattern_is_not_matched():
    assert list(schema(regex_match="a").judge("a" * 1001)) == [
        "takes at most 1000 characters where a pattern is set"
    ]
