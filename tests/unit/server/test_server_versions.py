"""Versions in the order people expect, by SemVer where they follow it (spec: OP-28)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.domain.versions import is_prerelease, newest, newest_first, version_key

TAGS = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(
            [
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0",
            ],
            id="the example of SemVer",
        ),
        pytest.param(["1.9.0", "1.10.0", "2.0.0", "10.0.0"], id="numbers, not letters"),
        pytest.param(["1.0.0", "1.0.0_1", "1.0.0_build.7", "1.0.1"], id="builds behind their release"),
        pytest.param(["v1.2.0", "1.3.0", "v1.10.0"], id="with and without v"),
        pytest.param(["1", "1.1", "1.1.1", "2"], id="short ones"),
        pytest.param(["2024-09-30", "2024-10-01", "2024-11", "2025"], id="dates with dashes"),
        pytest.param(["2024.9", "2024.10"], id="dates with points"),
        pytest.param(["1.0.0rc1", "1.0.0", "1.0.0a", "1.0.1"], id="early and late words without a dash"),
        pytest.param(["main-2", "main-10", "nightly", "0.0.1"], id="names before numbers"),
    ],
)
def test_versions_are_in_the_order_people_expect(ordered: list[str]) -> None:
    backwards = ordered[::-1]
    assert sorted(backwards, key=version_key) == ordered
    assert newest_first(ordered, str) == backwards


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["2.0.0-rc.1", "2.0.0-rc.2"], "2.0.0-rc.2"),
        (["nightly", "0.1.0"], "0.1.0"),
        (["2024-10-05", "2024-11-05"], "2024-11-05"),
        (["latest"], "latest"),
    ],
)
def test_the_newest_is_a_finished_one_where_there_is_one(versions: list[str], expected: str) -> None:
    assert newest(versions) == expected


@given(st.lists(TAGS, min_size=1))
def test_everything_that_can_be_a_tag_has_one_place(tags: list[str]) -> None:
    ordered = sorted(tags, key=version_key)
    ordered.reverse()
    assert ordered == newest_first(tags, str)
    assert newest(tags) in tags


@given(TAGS, TAGS)
def test_only_equal_versions_share_a_place(one: str, other: str) -> None:
    assert (version_key(one) == version_key(other)) == (one == other)
    assert is_prerelease(one) in {True, False}
