"""One change is one transaction; what is refused leaves nothing (spec: DS-7, API-9)."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol import yaml
from edgewright.server.domain.packages import make_package
from edgewright.server.errors import InvalidError
from edgewright.server.fleet import catalogue, deploying, membership, reports
from edgewright.server.problems import ProblemError
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate
from support.foreign_client import capabilities

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = "00000000-0000-4000-8000-000000000001"
DESCRIPTION = yaml.dump(
    {
        "apiVersion": "v1",
        "id": "shop",
        "metadata": {"name": "Shop", "version": "1", "catalog": {"organization": [{"name": "E"}]}},
        "deploymentProfiles": [
            {
                "type": "compose",
                "id": "compose",
                "components": [
                    {"name": "app", "properties": {"repository": "oci://r.test/a", "revision": "1.0.0"}}
                ],
            }
        ],
        "parameters": {"a": {"value": "1", "targets": [{"pointer": "A", "components": ["app"]}]}},
    }
)

Step = Callable[[AsyncConnection], Awaitable[Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one package and one device that has reported itself."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.db"
    migrate(path)
    document = json.dumps(capabilities("edge")).encode()
    run(
        path,
        lambda connection: membership.accept(connection, "edge", actor="operator init", now=NOW),
        lambda connection: reports.put_capabilities(connection, "edge", "edge", document, now=NOW),
        lambda connection: catalogue.add_package(
            connection, make_package(DESCRIPTION, {}), source="upload", actor="operator init", now=NOW
        ),
    )
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path))


def run(path: Path, *steps: Step) -> list[Any]:
    """Run every step in a transaction of its own and return what they returned."""

    async def all_steps() -> list[Any]:
        results = []
        async with Database(path) as database:
            for step in steps:
                async with database.writing() as connection:
                    results.append(await step(connection))
        return results

    return asyncio.run(all_steps())


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def create(**parameters: str) -> Step:
    wish = deploying.Wish(application="shop", version="1", client_id="edge", parameters=parameters)
    return lambda connection: deploying.create(
        connection, wish, deployment_id=ID, actor="operator ada", now=NOW
    )


def change(**parameters: str | None) -> Step:
    wish = deploying.Change(parameters=parameters)
    return lambda connection: deploying.change(connection, ID, wish, actor="operator bo", now=NOW)


def delete(connection: AsyncConnection) -> Awaitable[Any]:
    return deploying.delete(connection, ID, actor="operator cy", now=NOW)


@pytest.mark.requirement("DS-7", "DS-9")
def test_the_audit_says_who_changed_what_to_which_version(path: Path) -> None:
    run(path, create(), change(a="2"), change(a="2"), delete, delete)
    found = rows(path, f"SELECT actor, action, details, before FROM audit WHERE subject = '{ID}' ORDER BY id")
    assert [
        (actor, action, json.loads(details)["manifest_version"]) for actor, action, details, _ in found
    ] == [
        ("operator ada", "create deployment", 2),
        ("operator bo", "change deployment", 3),
        ("operator cy", "delete deployment", 4),
    ]
    assert json.loads(found[1][3])["digest"] == json.loads(found[0][2])["digest"]


def test_what_is_refused_leaves_nothing(path: Path) -> None:
    with pytest.raises(InvalidError):
        run(path, create(colour="red"))
    for table in ("deployments", "documents", "bundles"):
        assert rows(path, f"SELECT * FROM {table}") == []
    assert rows(path, "SELECT version FROM manifests") == [(1,)]


def test_saying_the_default_is_kept_without_a_new_manifest(path: Path) -> None:
    _, changed = run(path, create(), change(a="1"))
    assert (changed.parameters, changed.changed_version) == ('{"a": "1"}', 2)
    assert rows(path, "SELECT version FROM manifests") == [(2,)]


@pytest.mark.requirement("DS-7")
def test_a_client_that_returns_goes_on_with_its_versions(path: Path) -> None:
    run(
        path,
        create(),
        lambda connection: membership.retire(connection, "edge", actor="operator ada", now=NOW),
        lambda connection: membership.accept(connection, "edge", actor="operator ada", now=NOW),
        change(a="2"),
    )
    assert rows(path, "SELECT version FROM manifests") == [(3,)]


def test_retiring_withdraws_open_invitations(path: Path) -> None:
    run(
        path,
        lambda connection: membership.invite(
            connection, "edge", valid=timedelta(hours=1), actor="operator ada", now=NOW
        ),
        lambda connection: membership.retire(connection, "edge", actor="operator ada", now=NOW),
    )
    assert rows(path, "SELECT withdrawn IS NOT NULL FROM enrollments") == [(1,)]


def test_secrets_are_not_in_the_database(path: Path) -> None:
    (invitation,) = run(
        path,
        lambda connection: membership.invite(
            connection, "edge-02", valid=timedelta(hours=1), actor="operator ada", now=NOW
        ),
    )
    with closing(sqlite3.connect(path)) as connection:
        assert invitation.secret not in "\n".join(connection.iterdump())


@pytest.mark.requirement("API-9")
def test_a_client_reports_only_so_many_devices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_DEVICES", 2)

    def report(device_id: str) -> Step:
        document = json.dumps(capabilities(device_id)).encode()
        return lambda connection: reports.put_capabilities(connection, "edge", device_id, document, now=NOW)

    assert run(path, report("second"), report("second")) == [True, False]
    with pytest.raises(ProblemError, match="at most 2"):
        run(path, report("third"))
