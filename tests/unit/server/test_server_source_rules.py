"""What a source may be, and when nothing has to be fetched again."""

from datetime import UTC, datetime, timedelta

import pytest

from edgewright.server.catalogue.looking import AFTER_FAILURE, due_at
from edgewright.server.domain.sources import (
    Credentials,
    Kind,
    SourceSpec,
    Standing,
    checked,
    is_settled,
    is_wanted,
    wants_catalog,
)
from edgewright.server.errors import InvalidError
from edgewright.server.store.sources import SourceRecord

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def spec(**members: object) -> SourceSpec:
    given = {"name": "vendor", "kind": Kind.REGISTRY, "location": "registry.example:5000", **members}
    return SourceSpec(**given)  # type: ignore[arg-type]


def source(**members: object) -> SourceRecord:
    given = {
        "name": "vendor",
        "kind": "registry",
        "location": "registry.example",
        "repositories": "[]",
        "every_minutes": 60,
        "plain_http": False,
        "ca": None,
        "username": None,
        "secret": None,
        "prune": False,
        "created": NOW,
        "changed": NOW,
        **members,
    }
    return SourceRecord(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [
        "registry.example:5000",
        "https://registry.example:5000/",
        "oci://registry.example:5000",
        " registry.example:5000 ",
    ],
)
def test_a_host_is_taken_however_people_write_it(written: str) -> None:
    assert checked(spec(location=written)).location == "registry.example:5000"


@pytest.mark.parametrize(
    "location", ["", "registry.example/acme", "ftp://registry.example", "a b", "-x", "x:y"]
)
def test_what_is_no_host_is_refused(location: str) -> None:
    with pytest.raises(InvalidError) as caught:
        checked(spec(location=location))
    assert [fault.field for fault in caught.value.faults] == ["location"]


@pytest.mark.parametrize("location", ["", "packages", "/srv/../etc", "~/packages"])
def test_a_folder_is_an_absolute_path(location: str) -> None:
    with pytest.raises(InvalidError):
        checked(spec(kind=Kind.FOLDER, location=location))


def test_a_folder_takes_no_credentials() -> None:
    with pytest.raises(InvalidError, match="only a registry"):
        checked(spec(kind=Kind.FOLDER, location="/srv"), Credentials(token="x"))


def test_credentials_never_show_in_a_repr() -> None:
    shown = repr(Credentials(username="robot", password="secret-one", token="secret-two"))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("repositories", "asks", "wanted", "unwanted"),
    [
        ((), True, "acme/shop", None),
        (("acme/*",), True, "acme/deep/shop", "other/shop"),
        (("acme/shop", "beta/*"), True, "beta/x", "acme/other"),
        (("acme/shop",), False, "acme/shop", "acme/shop2"),
    ],
)
def test_names_and_patterns_say_which_repositories_are_looked_through(
    repositories: tuple[str, ...], asks: bool, wanted: str, unwanted: str | None
) -> None:
    assert wants_catalog(repositories) is asks
    assert is_wanted(wanted, repositories)
    assert unwanted is None or not is_wanted(unwanted, repositories)


@pytest.mark.parametrize(
    ("standing", "same", "present", "settled"),
    [
        (Standing.IMPORTED, True, True, True),
        (Standing.IMPORTED, True, False, False),
        (Standing.IMPORTED, False, True, False),
        (Standing.BAD, True, True, False),
        (Standing.CHANGED, True, True, False),
        (Standing.GONE, True, True, False),
        (Standing.IGNORED, True, False, True),
        (Standing.IGNORED, False, False, False),
        (Standing.DECLINED, True, False, True),
        (Standing.DECLINED, False, False, False),
    ],
)
def test_only_what_is_as_it_was_and_well_is_not_fetched_again(
    standing: Standing, same: bool, present: bool, settled: bool
) -> None:
    found = is_settled(
        standing,
        kept_upstream="sha256:a",
        upstream="sha256:a" if same else "sha256:b",
        imported="shop",
        present=present,
    )
    assert found is settled


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("members", "due"),
    [
        pytest.param({}, NOW, id="never looked through"),
        pytest.param({"every_minutes": None}, None, id="by hand only"),
        pytest.param({"began": NOW - HOUR, "ended": NOW - HOUR / 2}, NOW + HOUR / 2, id="looked through"),
        pytest.param({"began": NOW - HOUR, "ended": NOW - HOUR * 2}, NOW, id="cut off"),
        pytest.param({"began": NOW - HOUR}, NOW, id="cut off the first time"),
        pytest.param(
            {"began": NOW - HOUR, "ended": NOW, "problem": "no answer", "every_minutes": 1440},
            NOW + AFTER_FAILURE,
            id="failed",
        ),
        pytest.param(
            {"began": NOW, "ended": NOW + 100 * HOUR},
            NOW + HOUR,
            id="looked through while the clock was wrong",
        ),
    ],
)
def test_when_a_source_is_due(members: dict[str, object], due: datetime | None) -> None:
    assert due_at(source(**members), NOW) == due
