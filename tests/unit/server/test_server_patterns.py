"""Patterns of packages cannot keep the server busy, however they are made (spec: CFG-2)."""

from collections.abc import Iterator

import pytest

from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.values import SlowPatternError
from edgewright.server.catalogue.patterns import Matcher
from edgewright.server.domain.parameters import wrong_with
from support.packages import describing

EXPLOSIVE = [
    r"^(a|a)*$",
    r"^(a|aa)+$",
    r"^(\w+\s?)*$",
    r"(x+x+)+y",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
]


@pytest.fixture
def matcher() -> Iterator[Matcher]:
    made = Matcher()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^[a-z]+$", "abc", True),
        (r"^[a-z]+$", "aBc", False),
        ("b", "abc", True),
        (r"^(?=.*\d)(?=.*[a-z]).{4,}$", "abc1", True),
        (r"^(.)\1$", "aa", True),
        ("^ü\n$", "ü\n", True),
        ("", "", True),
    ],
)
def test_the_dialect_is_pythons(matcher: Matcher, pattern: str, text: str, expected: bool) -> None:
    assert matcher.matches(pattern, text) is expected


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_an_explosive_pattern_ends_and_the_next_one_is_judged(matcher: Matcher, pattern: str) -> None:
    with pytest.raises(SlowPatternError):
        matcher.matches(pattern, "a" * 60 + "x" * 60 + "!")
    assert matcher.matches("^a$", "a")
    with pytest.raises(SlowPatternError):
        matcher.matches(pattern, "a" * 60 + "x" * 60 + "!")
    assert matcher.matches(pattern, "aaa") in {True, False}


def test_a_process_that_was_killed_is_started_again(matcher: Matcher) -> None:
    assert matcher.matches("a", "a")
    assert matcher._process is not None
    matcher._process.kill()
    matcher._process.wait()
    assert matcher.matches("b", "b")


@pytest.mark.requirement("CFG-2")
def test_a_value_that_cannot_be_checked_in_time_is_refused_with_the_pattern() -> None:
    description = ApplicationDescription.parse(
        describing(
            "shop",
            parameters={"name": {"value": "a", "targets": [{"pointer": "NAME", "components": ["app"]}]}},
            configuration={
                "sections": [
                    {"name": "All", "settings": [{"parameter": "name", "name": "Name", "schema": "name"}]}
                ],
                "schema": [{"name": "name", "dataType": "string", "regexMatch": "^(a|aa)+$"}],
            },
        )
    )
    assert wrong_with(description, "name", "aaa") == []
    (message,) = wrong_with(description, "name", "a" * 80 + "!")
    assert "takes too long" in message
    assert "^(a|aa)+$" in message
